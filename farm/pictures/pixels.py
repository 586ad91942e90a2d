"""Decoded pictures in the samples of their files, and their conversion to sRGB, strip by strip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farm.pictures.colour import SRGB, Colour, convert_samples

Picture = NDArray[np.float32]
Pixels = NDArray[np.uint8]
STRIP = 64  # rows that are worked on at once
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of sRGB as it is stored
ONE_COLOUR = 3 / 255  # between colours that a lossy format makes of one

MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "LAB")  # that pictures of 8 bits are worked on in
TURNS = {  # EXIF's orientation: what makes a picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Raster:
    """A decoded picture in the samples of its file."""

    # 8 bits a sample, in one of MODES; or uint16 (H, W, C): grey, grey and alpha, RGB, or RGB and alpha.
    samples: Image.Image | NDArray[np.uint16]
    colour: Colour = SRGB

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        if isinstance(self.samples, Image.Image):
            return self.samples.size
        return self.samples.shape[1], self.samples.shape[0]


def simplify(image: Image.Image) -> Image.Image:
    """Convert to 8 bits a channel with transparency as a channel: pixels that can be averaged.

    Args:
        image: of at most 8 bits a channel. Its `info` is read for transparency alone.
    """
    if image.mode in ("P", "1", "L", "RGB") and "transparency" in image.info:
        if image.mode == "1":
            image = image.convert("L")
        return image.convert("RGBA")
    if image.mode in MODES:
        return image
    return image.convert({"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA"}.get(image.mode, "RGB"))


def turn_upright(raster: Raster, orientation: int) -> Raster:
    """Turn a picture by EXIF's orientation; other numbers than 2 to 8 mean that it is upright."""
    if (how := TURNS.get(orientation)) is None:
        return raster
    if isinstance(raster.samples, Image.Image):
        return Raster(raster.samples.transpose(how), raster.colour)
    samples = raster.samples.transpose(1, 0, 2) if orientation >= 5 else raster.samples
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return Raster(samples[::down, ::right], raster.colour)


def iterate_srgb(raster: Raster) -> Iterator[Picture]:
    """Yield a picture in strips, float32 (rows, W, 3) sRGB in [0, 1]; transparency over white."""
    for samples, model, has_alpha in _iterate_strips(raster):
        if has_alpha:
            yield _lay_over_white(samples, model, raster.colour)
        else:
            yield convert_samples(samples, model, raster.colour)


def _lay_over_white(samples: NDArray[Any], model: str, colour: Colour) -> Picture:
    """Convert samples (rows, W, C) whose last channel is alpha."""
    rgb = convert_samples(samples[..., :-1], model, colour)
    alpha = np.divide(samples[..., -1:], np.iinfo(samples.dtype).max, dtype=np.float32)
    return np.asarray(rgb * alpha + (1 - alpha))


def convert_to_image(raster: Raster) -> Image.Image:
    """Convert to RGB of 8 bits in sRGB, rounded to nearest; transparency over white."""
    image = raster.samples
    if isinstance(image, Image.Image) and image.mode == "RGB" and raster.colour.is_srgb:
        return image
    return _assemble("RGB", raster.size, iterate_srgb(raster))


def _assemble(mode: str, size: tuple[int, int], strips: Iterable[Picture]) -> Image.Image:
    """Put strips, float32 in [0, 1], together as an image of 8 bits, rounded to nearest."""
    out = Image.new(mode, size)
    for number, strip in enumerate(strips):
        out.paste(Image.fromarray(quantise(strip)), (0, number * STRIP))
    return out


def quantise(strip: Picture) -> Pixels:
    """Convert float32 in [0, 1] to bytes, rounded to nearest."""
    return (strip * 255 + 0.5).astype(np.uint8, order="C")


# Transparency ------------------------------------------------------------------------------------


def is_transparent(raster: Raster) -> bool:
    """Check whether any pixel is less than opaque."""
    image = raster.samples
    if isinstance(image, Image.Image):
        return image.mode in ("LA", "RGBA") and _find_extremes(image, "A")[0] < 255
    return image.shape[2] in (2, 4) and int(image[..., -1].min()) < np.iinfo(image.dtype).max


def shows_nothing(raster: Raster) -> bool:
    """Check whether every pixel is transparent altogether."""
    image = raster.samples
    if isinstance(image, Image.Image):
        return image.mode in ("LA", "RGBA") and _find_extremes(image, "A")[1] == 0
    return image.shape[2] in (2, 4) and not image[..., -1].any()


def _find_extremes(image: Image.Image, channel: str) -> tuple[int, int]:
    low, high = image.getchannel(channel).getextrema()
    assert isinstance(low, int), "a channel has bytes"
    assert isinstance(high, int), "a channel has bytes"
    return low, high


def iterate_straight(raster: Raster) -> Iterator[Picture]:
    """Yield a picture in strips, float32 (rows, W, 4) in [0, 1]: sRGB as it is under its alpha, white
    where nothing of it shows, and alpha."""
    for samples, model, has_alpha in _iterate_strips(raster):
        colours = samples[..., :-1] if has_alpha else samples
        out = np.ones((*samples.shape[:2], 4), np.float32)
        out[..., :3] = convert_samples(colours, model, raster.colour)
        if has_alpha:
            np.divide(samples[..., -1], np.iinfo(samples.dtype).max, out=out[..., 3], dtype=np.float32)
            out[out[..., 3] == 0] = (1, 1, 1, 0)
        yield out


def convert_to_straight(raster: Raster) -> Image.Image:
    """Convert to RGBA of 8 bits in sRGB, rounded to nearest."""
    return _assemble("RGBA", raster.size, iterate_straight(raster))


def convert_to_map(raster: Raster) -> Image.Image:
    """Convert to a map, 8 bits of grey: 255 where it holds.

    Where all that shows of a transparent picture has one colour, such as strokes on an empty layer, its
    alpha is the map; else its brightness (luma of BT.709), over black.
    """
    by_alpha = is_transparent(raster) and _has_one_colour(raster)
    strips = iterate_straight(raster)
    return _assemble(
        "L",
        raster.size,
        (strip[..., 3] if by_alpha else (strip[..., :3] @ LUMA) * strip[..., 3] for strip in strips),
    )


def _has_one_colour(raster: Raster) -> bool:
    """Check whether all that shows has one colour, but for rounding."""
    lowest, highest = np.ones(3, np.float32), np.zeros(3, np.float32)
    for strip in iterate_straight(raster):
        shown = strip[strip[..., 3] > 0][:, :3]
        lowest = np.minimum(lowest, shown.min(axis=0, initial=1))
        highest = np.maximum(highest, shown.max(axis=0, initial=0))
    return bool((highest - lowest).max() <= ONE_COLOUR)


def _iterate_strips(raster: Raster) -> Iterator[tuple[NDArray[Any], str, bool]]:
    """Yield samples (rows, W, C), their model, and whether the last channel is alpha."""
    width, height = raster.size
    if isinstance(raster.samples, Image.Image):
        mode = raster.samples.mode
        model, has_alpha = (mode[:-1], True) if mode in ("LA", "RGBA") else (mode, False)
    else:
        model, has_alpha = (("L", False), ("L", True), ("RGB", False), ("RGB", True))[
            raster.samples.shape[2] - 1
        ]
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        if isinstance(raster.samples, Image.Image):
            rows: NDArray[Any] = np.asarray(raster.samples.crop((0, top, width, bottom)))
        else:
            rows = raster.samples[top:bottom]
        yield rows.reshape(bottom - top, width, -1), model, has_alpha
