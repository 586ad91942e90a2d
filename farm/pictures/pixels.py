"""Conversion of any pixels a file may have to 8-bit RGB in sRGB, strip by strip."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Picture = NDArray[np.float32]
STRIP = 64  # rows that are worked on at once


def simplify(image: Image.Image) -> Image.Image:
    """Convert to 8 bits a channel with transparency as a channel: pixels that can be averaged."""
    image = _convert_to_eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def convert_to_srgb(image: Image.Image) -> Image.Image:
    """Convert a simplified picture with any profile to RGB in sRGB; transparency over white."""
    profile = image.info.get("icc_profile")
    rgb = _apply_profile(image, profile) if profile else None
    if rgb is None:
        rgb = image if image.mode == "RGB" else image.convert("RGB")  # which copies even RGB
    if image.mode == "RGBA":
        white = Image.new("RGB", rgb.size, "white")
        return Image.composite(rgb, white, image.getchannel("A"))
    return rgb


def _convert_to_eight_bits(image: Image.Image) -> Image.Image:
    """Rescale 16-bit grey and floats (Pillow's own conversion clips them); resolve palettes."""
    if image.mode.startswith("I"):
        return _convert_to_grey(
            image, lambda values: (np.clip(values, 0, 65535).astype(np.uint32) + 128) // 257
        )
    if image.mode == "F":  # TIFF: white is 1, or whatever is brightest
        top = max(
            1.0,
            *(float(_replace_non_finite(values).max(initial=0.0)) for values in _iterate_rows(image)),
        )
        return _convert_to_grey(
            image, lambda values: np.clip(_replace_non_finite(values) / top, 0, 1) * 255 + 0.5
        )
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image


def _iterate_rows(image: Image.Image) -> Iterator[NDArray[Any]]:
    """Yield one channel in strips (rows, W)."""
    for top in range(0, image.height, STRIP):
        yield np.asarray(image.crop((0, top, image.width, min(top + STRIP, image.height))))


def _convert_to_grey(
    image: Image.Image, to_bytes: Callable[[NDArray[Any]], NDArray[Any]]
) -> Image.Image:
    """Convert one channel of any type to 8-bit grey."""
    grey = Image.new("L", image.size)
    for number, values in enumerate(_iterate_rows(image)):
        grey.paste(Image.fromarray(to_bytes(values).astype(np.uint8)), (0, number * STRIP))
    return grey


def _replace_non_finite(values: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isfinite(values), values, 0)


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert the picture's colours to sRGB, in place if it is RGB.

    Returns:
        The converted picture; None if the profile is broken or for another mode.
    """
    source = image.convert("RGB") if image.mode == "RGBA" else image
    in_place = source.mode == "RGB"
    try:
        converted = ImageCms.profileToProfile(
            source,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
            inPlace=in_place,
        )
        return source if in_place else converted
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
