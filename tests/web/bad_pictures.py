"""Pictures for the tests, good and bad, made on the spot."""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.pictures import chart

EXIF_ORIENTATION = 0x0112


def picture(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """A smooth gradient; no two sizes look alike."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (x * 255 // width, y * 255 // height, (x + y) % 256)
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@functools.cache
def photo(width: int = 160, height: int = 120) -> bytes:
    return encoded(picture(width, height))


def rotated_photo() -> bytes:
    """Stored 160 x 120, to be looked at as 120 x 160."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    return encoded(picture(), exif=exif)


def grey_16_bit() -> bytes:
    ramp = np.linspace(0, 65535, 160 * 120).reshape(120, 160).astype(np.uint16)
    return encoded(Image.fromarray(ramp), "PNG")


def truncated_photo() -> bytes:
    whole = encoded(picture(640, 480), quality=95)
    return whole[: len(whole) // 2]


def glued_photo() -> bytes:
    """A truncated one with the marker of its end."""
    return truncated_photo() + b"\xff\xd9"


def half_a_png() -> bytes:
    """One that ends in order, after half of its rows."""
    return chart.png_of_rows(bytes(60 * (1 + 3 * 160)), (160, 120), 8, 2)


def raw_camera_file() -> bytes:
    """A DNG, whose first page is a preview."""
    return chart.tiff([bytes(160 * 120 * 3)], (160, 120), 8, 3, 2, tag_50706=b"\1\4\0\0")


def planar_tiff() -> bytes:
    """16 bits, planes apart."""
    planes = np.asarray(picture(), np.uint16).transpose(2, 0, 1) * np.uint16(257)
    return chart.tiff([plane.tobytes() for plane in planes], (160, 120), 16, 3, 2, tag_284=2)


def huge_png(side: int = 60_000) -> bytes:
    """Few bytes that claim to be 3.6 gigapixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1024))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


TEXT = b"This is no picture, whatever its name says.\n" * 50
