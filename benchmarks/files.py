"""Cost of writing finished pictures, side by side in one run: JSON lines, and ratios.

    python -m benchmarks.files [--width 7680] [--height 4320] [--rounds 3]

One picture, a photograph and a painting enlarged, blended, and with a little noise, is written in every
format in turns. `pillow` is Pillow's own PNG at level 4, which one processor writes, as the farm did up
to 0.2. Seconds are medians of this run, of the clock and of all processors together; what is lossless is
read back and compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from PIL import Image

from farm.pictures import deflate, encode
from farm.pictures.jpeg import SRGB
from farm.pictures.pixels import STRIP, Picture
from farm.recipe.formats import FORMATS

SAMPLES = Path(__file__).parent.parent / "samples"
NOISE = 2 / 255  # standard deviation


def main() -> None:
    """Write in every way, print a line for each, then the ratios to `pillow`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=7680)
    parser.add_argument("--height", type=int, default=4320)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    picture = build_picture(asked.width, asked.height)
    ways: dict[str, Callable[[IO[bytes]], None]] = {"pillow": partial(write_by_pillow, picture)}
    ways |= {
        name: partial(encode.write, picture, kind.name, recipe="{}") for name, kind in FORMATS.items()
    }
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    sizes = {}
    for _ in range(asked.rounds):
        for way, write in ways.items():
            with tempfile.NamedTemporaryFile(suffix=way) as file:
                took[way].append(measure(write, file))
                sizes[way] = file.tell()
                check(way, Path(file.name), picture)
    print_rows(took, sizes)


def build_picture(width: int, height: int) -> Picture:
    """Blend the enlarged lake and strokes, with noise; float32 (H, W, 3) in [0, 1]."""
    lake, strokes = (
        Image.open(SAMPLES / f"{name}.jpg")
        .convert("RGB")
        .resize((width, height), Image.Resampling.BICUBIC)
        for name in ("mountain_lake", "brushwork")
    )
    blend = Image.blend(lake, strokes, 0.4)
    picture = np.empty((height, width, 3), np.float32)
    chance = np.random.default_rng(0)
    for top in range(0, height, STRIP):
        rows = np.asarray(blend.crop((0, top, width, min(height, top + STRIP))), np.float32) / 255
        rows += NOISE * chance.standard_normal(rows.shape, dtype=np.float32)
        picture[top : top + STRIP] = rows.clip(0, 1)
    return picture


def write_by_pillow(picture: Picture, file: IO[bytes]) -> None:
    encode.to_image(picture).save(file, "PNG", icc_profile=SRGB, compress_level=4)


def measure(write: Callable[[IO[bytes]], None], file: IO[bytes]) -> tuple[float, float]:
    """Return seconds, by the clock and of all processors."""
    began, worked = time.perf_counter(), time.process_time()
    write(file)
    return time.perf_counter() - began, time.process_time() - worked


def check(way: str, path: Path, picture: Picture) -> None:
    """Check that what others read from a lossless file of 8 or of TIFF's 16 bits is the picture."""
    if way in ("pillow", "png"):
        with Image.open(path) as image:
            same = np.array_equal(np.asarray(image), np.asarray(encode.to_image(picture)))
    elif way == "tiff16":
        same = bool(np.abs(tifffile.imread(path) / np.float32(65535) - picture).max() < 1e-5)
    else:
        return
    if not same:
        raise SystemExit(f"{way}: other pixels than the picture's")


def print_rows(took: dict[str, list[tuple[float, float]]], sizes: dict[str, int]) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for way, seconds in took.items():
        wall, worked = (statistics.median(column) for column in zip(*seconds, strict=True))
        rows[way] = {"seconds": round(wall, 3), "processor_seconds": round(worked, 3)}
        rows[way]["bytes"] = sizes[way]
        print(json.dumps({"way": way, "threads": deflate.count_threads()} | rows[way]), flush=True)
    old, new = rows["pillow"], rows["png"]
    print(json.dumps({"png to pillow": {key: round(new[key] / old[key], 3) for key in old}}))


if __name__ == "__main__":
    main()
