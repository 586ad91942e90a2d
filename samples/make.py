"""Make the samples: two scenes to be painted, three paintings to borrow a style from, a short clip.

Run `python samples/make.py [NAME ...] [--out DIR]`; without names, all six are made. Every
picture comes from a fixed seed, so it is the same file each time. Needs NumPy and Pillow, and PyAV for
the clip.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from brushes import Array
from clip import save_clip
from paintings import make_brushwork, make_ink_wash, make_mosaic
from PIL import Image, ImageCms
from scenes import make_mountain_lake, make_street

PICTURES: dict[str, Callable[[], Array]] = {
    "mountain_lake": make_mountain_lake,
    "street": make_street,
    "brushwork": make_brushwork,
    "ink_wash": make_ink_wash,
    "mosaic": make_mosaic,
}
CLIP = "flight"  # its name
LARGEST_FILE = 450_000
NAMES = (*PICTURES, CLIP)
QUALITIES = (90, 88, 85, 82, 78)


def make_srgb_profile() -> bytes:
    """Make the sRGB colour profile, without the time of day that it would otherwise carry."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07e8 0001 0001 0000 0000 0000")
    return bytes(profile)


def save(picture: Array, path: Path) -> None:
    """Write float32 HWC in [0, 1] as JPEG, at the best quality that keeps the file small."""
    grain = np.random.default_rng(0).uniform(-0.5, 0.5, picture.shape)  # against banding
    image = Image.fromarray(np.clip(picture * 255 + 0.5 + grain, 0, 255).astype(np.uint8))
    for quality in QUALITIES:
        image.save(path, quality=quality, optimize=True, icc_profile=make_srgb_profile())
        if path.stat().st_size <= LARGEST_FILE:
            return


def main() -> None:
    """Read the command line and make what it asks for."""
    parser = argparse.ArgumentParser(description="Make the samples.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="DIR")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no such picture: {', '.join(sorted(unknown))}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or NAMES:
        start = time.perf_counter()
        path = options.out / (f"{name}.mp4" if name == CLIP else f"{name}.jpg")
        if name == CLIP:
            save_clip([make_mountain_lake(), make_street()], path)
        else:
            save(PICTURES[name](), path)
        seconds = time.perf_counter() - start
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB  {seconds:.1f} s")


if __name__ == "__main__":
    main()
