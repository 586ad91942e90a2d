"""WebP (RFC 9649), by Pillow."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image

from farm.pictures.colour import Colour
from farm.pictures.parts import MAX_PROFILE, Opened, read_orientation, write_orientation
from farm.pictures.pixels import Raster, simplify

KEPT = (b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L")
HAS_EXIF, HAS_XMP = 0x08, 0x04  # of VP8X's flags


def clean(data: bytes) -> bytes:
    """Return the same picture with its profile and its orientation, and nothing else."""
    chunks = list(_iterate_chunks(data))
    exif = next((body for kind, body in chunks if kind == b"EXIF"), b"")
    orientation = read_orientation(exif)
    pieces = []
    for kind, body in chunks:
        if kind == b"VP8X":
            flags = body[0] & ~(HAS_EXIF | HAS_XMP) | (HAS_EXIF if orientation != 1 else 0)
            pieces.append(_build_chunk(kind, bytes((flags,)) + body[1:]))
        elif kind in KEPT:
            pieces.append(_build_chunk(kind, body))
    if orientation != 1:
        pieces.append(_build_chunk(b"EXIF", write_orientation(orientation)))
    inside = b"WEBP" + b"".join(pieces)
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def _iterate_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _build_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def open_picture(data: bytes) -> Opened:
    """Read the header.

    Raises:
        ValueError, OSError, SyntaxError: it is damaged.
    """
    image = Image.open(io.BytesIO(data), formats=["WEBP"])
    return Opened(image.size, bool(getattr(image, "is_animated", False)), lambda enough: _read(image))


def _read(image: Image.Image) -> tuple[Raster, int]:
    """Decode to the end: the picture, and EXIF's orientation."""
    profile, exif = image.info.get("icc_profile"), image.info.get("exif")
    image.load()
    image.info = {}
    colour = Colour(profile=profile) if profile and len(profile) <= MAX_PROFILE else Colour()
    return Raster(simplify(image), colour), read_orientation(exif) if exif else 1
