"""Samples of any kind of TIFF, from the bytes of its rows: Adobe, "TIFF 6.0", and its "Photoshop TIFF
Technical Notes" for floating point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farm.pictures.pixels import STRIP

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, _, CMYK, YCBCR, _, LAB = range(9)
FILTER_ARRAY, LINEAR_RAW = 32803, 34892  # what a camera's sensor saw
CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, CMYK: 4}
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
PREMULTIPLIED, STRAIGHT, COREL = 1, 2, 999  # of EXTRA: alpha
PLAIN = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}
FLOATS = {2: "f2", 4: "f4", 8: "f8"}
DIFFERENCES, FLOAT_DIFFERENCES = 2, 3  # of PREDICTOR
DEEP_TOP = 65535
BRIGHT = 95  # percentile that is white, where floating point goes beyond 1
SEEN = 512  # rows and columns that are looked at for it


@dataclass(frozen=True)
class Layout:
    """The arrangement of a page's samples."""

    width: int
    height: int
    photometric: int
    samples: int
    bits: int
    format: int
    extra: tuple[int, ...]
    planar: bool
    predictor: int
    # Columns that are compressed together, and a row's columns with those that fill its last tile.
    tile_width: int
    padded_width: int
    # Of integers: < or >.
    order: str

    @property
    def channels(self) -> int:
        """Channels of colour; what comes behind them may be alpha."""
        return CHANNELS[self.photometric]

    @property
    def alpha(self) -> int | None:
        """The kind of alpha, if the sample behind the colours is."""
        if self.samples <= self.channels:
            return None
        if not self.extra and self.photometric == RGB and self.samples == 4:
            return STRAIGHT  # as many programs write it
        kind = self.extra[0] if self.extra else 0
        return {PREMULTIPLIED: PREMULTIPLIED, STRAIGHT: STRAIGHT, COREL: STRAIGHT}.get(kind)

    def count_row_bytes(self, columns: int) -> int:
        """Count the bytes of so many columns of one plane."""
        samples = 1 if self.planar else self.samples
        return -(-columns * samples * self.bits // 8)


# Yields the bytes of a plane, (rows, bytes of a row), STRIP rows at a time, each time from the top.
Plane = Callable[[], Iterator[NDArray[np.uint8]]]


def convert_planes(planes: Sequence[Plane], layout: Layout) -> Image.Image | NDArray[np.uint16]:
    """Convert the bytes of all planes to samples.

    Returns:
        uint16 (H, W, C), C with alpha, or a picture in CMYK.
    """
    white = _find_white(planes, layout) if layout.format == FLOAT else 1.0
    kept = layout.channels + (layout.alpha is not None)
    if layout.photometric == CMYK:
        inks = Image.new("CMYK", (layout.width, layout.height))
        for top, values in _iterate_strips(planes, layout):
            inks.paste(_mix_inks(_scale(values[..., :kept], layout, white), layout), (0, top))
        return inks
    out = np.empty((layout.height, layout.width, kept), np.uint16)
    for top, values in _iterate_strips(planes, layout):
        strip = _scale(values[..., :kept], layout, white)
        if layout.alpha == PREMULTIPLIED:
            strip = _divide_by_alpha(strip)
        out[top : top + len(strip)] = strip
    return out


def _iterate_strips(planes: Sequence[Plane], layout: Layout) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the first row and the samples (rows, W, S) of each strip, in the numbers of the file."""
    for number, strips in enumerate(zip(*(plane() for plane in planes), strict=True)):
        parts = [_parse(strip, layout) for strip in strips]
        samples = np.concatenate(parts, axis=-1) if parts[1:] else parts[0]
        yield number * STRIP, samples[:, : layout.width]


def _parse(rows: NDArray[np.uint8], layout: Layout) -> NDArray[Any]:
    """Turn bytes (rows, bytes) into samples (rows, padded W, samples of the plane)."""
    height, samples = len(rows), 1 if layout.planar else layout.samples
    size = layout.bits // 8
    if layout.bits not in (8, 16, 32, 64):
        return _unpack_bits(rows, layout).reshape(height, -1, samples)
    tiles = np.split(rows, rows.shape[1] // layout.count_row_bytes(layout.tile_width), axis=1)
    if layout.predictor == FLOAT_DIFFERENCES:
        parts = [_undo_float_differences(tile, samples, size) for tile in tiles]
        return np.concatenate(parts, axis=1).reshape(height, -1, samples)
    values = np.ascontiguousarray(rows).view(layout.order + PLAIN[size]).reshape(height, -1, samples)
    if layout.predictor == DIFFERENCES:
        tile_columns = np.split(values, values.shape[1] // layout.tile_width, axis=1)
        values = np.concatenate(
            [np.cumsum(tile, axis=1, dtype=PLAIN[size]) for tile in tile_columns], axis=1
        )
        return values.view(FLOATS[size]) if layout.format == FLOAT else values
    return values.view(layout.order + FLOATS[size]) if layout.format == FLOAT else values


def _undo_float_differences(tile: NDArray[np.uint8], samples: int, size: int) -> NDArray[Any]:
    """Undo technical note 3: bytes of floats, all the highest first, as differences; big-endian floats
    (rows, columns of the tile)."""
    rows = len(tile)
    sums = np.cumsum(tile.reshape(rows, -1, samples), axis=1, dtype=np.uint8).reshape(rows, size, -1)
    return np.ascontiguousarray(sums.transpose(0, 2, 1)).view(f">{FLOATS[size]}")[..., 0]


def _unpack_bits(rows: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint16]:
    """Unpack samples of 1 to 15 bits, the highest bit first; each row of each tile ends with a byte."""
    tiles = np.split(rows, rows.shape[1] // layout.count_row_bytes(layout.tile_width), axis=1)
    in_tile = layout.tile_width * (1 if layout.planar else layout.samples)
    parts = []
    for tile in tiles:
        bits = np.unpackbits(np.ascontiguousarray(tile), axis=1)[:, : in_tile * layout.bits]
        weights = 1 << np.arange(layout.bits - 1, -1, -1, dtype=np.uint16)
        parts.append(
            (bits.reshape(len(rows), in_tile, layout.bits) * weights).sum(axis=-1, dtype=np.uint16)
        )
    return np.concatenate(parts, axis=1)


def _find_white(planes: Sequence[Plane], layout: Layout) -> float:
    """Find the value that becomes white: 1, or where values go beyond it one that few exceed."""
    step = max(1, layout.height // SEEN, layout.width // SEEN)
    brightest, seen = 0.0, []
    for _, values in _iterate_strips(planes, layout):
        colours = np.nan_to_num(
            values[..., : layout.channels].astype(np.float64), posinf=0, neginf=0
        ).max(-1)
        brightest = max(brightest, float(colours.max()))
        seen.append(colours[::step, ::step].ravel())
    return max(1.0, float(np.percentile(np.concatenate(seen), BRIGHT))) if brightest > 1 else 1.0


def _scale(values: NDArray[Any], layout: Layout, white: float) -> NDArray[np.uint16]:
    """Scale samples (rows, W, C) to uint16, black to 0 and white to 65535."""
    if layout.format == FLOAT:
        floats = np.nan_to_num(values.astype(np.float64), posinf=white, neginf=0)
        floats[..., : layout.channels] /= white  # alpha has its own range
        scaled = (np.clip(floats, 0, 1) * DEEP_TOP + 0.5).astype(np.uint16)
    elif layout.bits > 16:
        scaled = (values >> (layout.bits - 16)).astype(np.uint16)
    else:
        most = 2**layout.bits - 1
        scaled = ((values.astype(np.uint32) * DEEP_TOP + most // 2) // most).astype(np.uint16)
    if layout.photometric == WHITE_IS_ZERO:
        scaled[..., 0] = DEEP_TOP - scaled[..., 0]
    return scaled


def _divide_by_alpha(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Undo that colours were multiplied by alpha, the last channel."""
    alpha = samples[..., -1:].astype(np.uint64)
    colours = samples[..., :-1].astype(np.uint64) * DEEP_TOP // np.maximum(alpha, 1)
    return np.concatenate([np.minimum(colours, DEEP_TOP).astype(np.uint16), samples[..., -1:]], axis=-1)


def _mix_inks(samples: NDArray[np.uint16], layout: Layout) -> Image.Image:
    """Return CMYK of 8 bits; where there is alpha, over paper without ink."""
    inks = samples[..., :4].astype(np.uint32)
    if layout.alpha == STRAIGHT:
        inks = inks * samples[..., 4:5] // DEEP_TOP
    height, width = inks.shape[:2]
    return Image.frombytes("CMYK", (width, height), ((inks + 128) // 257).astype(np.uint8).tobytes())
