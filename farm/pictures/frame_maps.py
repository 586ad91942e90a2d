"""Maps of a film's frame in a file: one grey PNG, one map below the other."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

from farm.pictures.pixels import Pixels


def write_maps(maps: Pixels, file: BinaryIO) -> None:
    """Write maps (n, H, W)."""
    Image.fromarray(maps.reshape(-1, maps.shape[2])).save(file, "PNG")


def read_maps(file: BinaryIO, count: int) -> Pixels:
    """Return so many maps, (count, H, W).

    Raises:
        OSError, SyntaxError: the file is not as it was written.
    """
    with Image.open(file, formats=["PNG"]) as image:
        pixels = np.array(image.convert("L"))
    height, width = pixels.shape
    if height % count:
        raise OSError(f"{height} rows are not {count} maps")
    return pixels.reshape(count, height // count, width)
