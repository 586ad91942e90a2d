"""JPEGs in sRGB; apart from `encode.py`, because decoders make thumbnails and import little."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from PIL import Image, ImageCms


def write_jpeg(image: Image.Image, file: BinaryIO, quality: int, **options: Any) -> None:
    """Write a JPEG with an sRGB profile; `options` are Pillow's."""
    image.save(file, "JPEG", quality=quality, icc_profile=SRGB, **options)


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode a JPEG for a page."""
    buffer = io.BytesIO()
    write_jpeg(image, buffer, quality, optimize=True)
    return buffer.getvalue()


def _build_srgb_profile() -> bytes:
    """Build an sRGB profile without its creation time (header bytes 24 to 35, ICC.1:2010, 7.2.1), so
    that the same picture gives the same file."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


SRGB = _build_srgb_profile()
