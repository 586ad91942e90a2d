"""WebP (RFC 9649), by Pillow."""

from __future__ import annotations

import io

from PIL import Image

from farm.pictures.colour import Colour
from farm.pictures.parts import MAX_PROFILE, Opened, read_orientation
from farm.pictures.pixels import Raster, simplify


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
