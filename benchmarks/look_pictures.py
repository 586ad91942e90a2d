"""Pictures of the farm's looks, as the form shows them: the same photograph and painting in each.

    python -m benchmarks.look_pictures [LOOK ...] [--size 480] [--pair mountain_lake brushwork]
                                       [--out web/static/looks] [--sheet build/looks.jpg]

Renders those named, or all, and writes each at 240 x 180 px; the sheet has all of this run side by side.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.looks import SAMPLES, draw_sheet, find_picture, render_picture
from farm.engine.loaded import Engine
from farm.looks.built_in import FOLDER, find_built_in, list_built_in
from farm.looks.look import Look, LookFile
from farm.pictures.decode import decode
from farm.pictures.pixels import Picture
from farm.settings import settings

SIZE = (240, 180)  # px, as the form shows them
MAX_BYTES = 40_000
QUALITIES = (88, 80, 70)


def main() -> None:
    """Render, and write the pictures and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("looks", nargs="*", metavar="LOOK", help=f"of {FOLDER}, or a look's file")
    parser.add_argument("--size", type=int, default=480)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--features", default="vgg16")
    parser.add_argument("--pair", nargs=2, default=("mountain_lake", "brushwork"))
    parser.add_argument("--out", type=Path, default=Path("web/static/looks"))
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    files = [find_picture(name, {SAMPLES}) for name in asked.pair]
    photograph, painting = (decode(file.read_bytes(), file.name, 100) for file in files if file)
    engine = Engine.load(asked.features, "auto", settings().weights_dir, print)
    made: dict[str, Picture] = {}
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.looks or [each.id for each in list_built_in()]:
        given = {"size": asked.size, "preset": asked.preset, "features": asked.features}
        picture, seconds = render_picture(photograph, painting, read_look(name).resolve(given), engine)
        made[Path(name).stem] = picture
        path = asked.out / f"{Path(name).stem}.jpg"
        path.write_bytes(shrink(picture))
        print(f"{path}: {path.stat().st_size} bytes, {seconds:.0f} s", flush=True)
    if asked.sheet:
        draw_sheet(made, photograph, painting).save(asked.sheet, quality=90)


def read_look(name: str) -> Look:
    """Return the farm's look of this id, or that of a file."""
    known = find_built_in(name)
    if known:
        return known.look
    values = json.loads(Path(name).read_text())
    return Look.from_file(LookFile.model_validate({k: v for k, v in values.items() if k != "words"}))


def shrink(picture: Picture) -> bytes:
    """Return a small JPEG of the middle of a picture (H, W, 3)."""
    image = Image.fromarray((np.asarray(picture) * 255 + 0.5).clip(0, 255).astype("uint8"))
    scale = max(SIZE[0] / image.width, SIZE[1] / image.height)
    image = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )
    left, top = (image.width - SIZE[0]) // 2, (image.height - SIZE[1]) // 2
    image = image.crop((left, top, left + SIZE[0], top + SIZE[1]))
    for quality in QUALITIES:
        image.save(file := io.BytesIO(), "JPEG", quality=quality, optimize=True)
        if file.tell() <= MAX_BYTES:
            break
    return file.getvalue()


if __name__ == "__main__":
    main()
