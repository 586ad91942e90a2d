"""Files taken apart by readers, one for each format: what a decoder needs, and what the samples mean.

All else, such as comments, text and what a camera wrote, is neither read nor kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from farm.pictures.pixels import Raster

ORIENTATION = 0x0112
MOST_TAGS = 1000
MAX_PROFILE = 32_000_000  # bytes; those of printers have 4 MB
EXIF = b"Exif\0\0"


@dataclass(frozen=True)
class Opened:
    """A file whose header was read."""

    # Width and height, px, before it is turned.
    size: tuple[int, int]
    # An animation, or several pages.
    is_several: bool
    # Decodes to the end: the picture, and EXIF's orientation. Given px of the longest side that suffice,
    # it may make fewer pixels of all codes. Raises ValueError, OSError, SyntaxError and Unsupported.
    read: Callable[[int | None], tuple[Raster, int]]


def write_orientation(orientation: int) -> bytes:
    """Write EXIF that holds this one tag, without a format's own prefix."""
    entry = struct.pack("<HHIHH", ORIENTATION, 3, 1, orientation, 0)
    return b"II*\0\x08\0\0\0\x01\0" + entry + bytes(4)


def read_orientation(exif: bytes) -> int:
    """Read the one tag that matters of EXIF; 1, upright, if it is missing or makes no sense."""
    exif = exif.removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for number in range(min(count, MOST_TAGS)):
            tag, kind, _ = struct.unpack_from(order + "HHI", exif, at + 2 + 12 * number)
            if tag == ORIENTATION:
                form = {1: "B", 3: "H", 4: "I"}.get(kind)
                return struct.unpack_from(order + form, exif, at + 10 + 12 * number)[0] if form else 1
    except struct.error:
        pass
    return 1
