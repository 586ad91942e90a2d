"""RGB and RGBA in PNG of 8 or 16 bits, filtered and compressed strip by strip on all processors.

W3C Recommendation, "Portable Network Graphics (PNG) Specification (Third Edition)". Each row is filtered
by Average or Paeth, whichever leaves less: the other filters are seldom best for pictures with noise.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from farm.pictures import deflate
from farm.pictures.deflate import ReadRows

Bytes = NDArray[np.uint8]

COLOUR_TYPES = {3: 2, 4: 6}  # by channels: RGB, RGB and alpha
AVERAGE, PAETH = 3, 4  # filters


@dataclass(frozen=True)
class _Strip:
    """Compressed rows."""

    # A chunk with a part of the stream.
    chunk: bytes
    # Adler-32 of the filtered rows, and their bytes.
    checksum: int
    length: int


def write_png(
    file: BinaryIO,
    width: int,
    height: int,
    bits: int,
    read_rows: ReadRows,
    profile: bytes,
    text: dict[str, str],
    channels: int = 3,
) -> None:
    """Write a whole PNG.

    Args:
        bits: 8 or 16. read_rows: returns uint8 or uint16 in sRGB. profile: ICC. text: by keyword, each
            as iTXt. channels: 3, or 4 with alpha.
    """
    file.write(b"\x89PNG\r\n\x1a\n")
    kind = COLOUR_TYPES[channels]
    file.write(_build_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)))
    file.write(_build_chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(profile)))
    for keyword, value in text.items():
        file.write(_build_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + value.encode()))
    file.write(_build_chunk(b"IDAT", deflate.HEADER))
    rows, checksum = deflate.choose_strip_rows(width * channels * bits // 8), zlib.adler32(b"")
    compress = partial(_compress_strip, read_rows, rows, height)
    for strip in deflate.map_in_order(compress, range(0, height, rows)):
        file.write(strip.chunk)
        checksum = deflate.combine_checksums(checksum, strip.checksum, strip.length)
    file.write(_build_chunk(b"IDAT", deflate.end_stream(checksum)))
    file.write(_build_chunk(b"IEND", b""))


def _build_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)))


def _compress_strip(read_rows: ReadRows, rows: int, height: int, top: int) -> _Strip:
    """Read, filter and compress a strip, whose first row is filtered by the one above it."""
    samples = read_rows(max(0, top - 1), min(height, top + rows))
    if top == 0:
        samples = np.concatenate((np.zeros_like(samples[:1]), samples))  # above the first, all is 0
    filtered = _filter(samples)
    chunk = _build_chunk(b"IDAT", deflate.compress_part(filtered))
    return _Strip(chunk, zlib.adler32(filtered.data), filtered.size)


def _filter(samples: NDArray[Any]) -> Bytes:
    """Filter rows but the first, which is above them: (1 + R, W, C) to bytes (R, 1 + a row's).

    A filtered row stands behind its filter's number.
    """
    pixel = samples.shape[2] * samples.itemsize  # bytes
    big_endian = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8)
    padded = np.pad(big_endian.reshape(len(samples), -1), ((0, 0), (pixel, 0)))  # left of all is 0, too
    values, left, up, corner = (
        padded[1:, pixel:],
        padded[1:, :-pixel],
        padded[:-1, pixel:],
        padded[:-1, :-pixel],
    )
    average, paeth = values - predict_average(left, up), values - predict_paeth(left, up, corner)
    better = _sum_distances(paeth) < _sum_distances(average)
    out = np.empty((len(values), 1 + values.shape[1]), np.uint8)
    out[:, 0] = np.where(better, PAETH, AVERAGE)
    out[:, 1:] = average
    out[better, 1:] = paeth[better]
    return out


def predict_average(left: Bytes, up: Bytes) -> Bytes:
    """Return the mean of two bytes, rounded down: what they share, and half of what they do not."""
    return (left & up) + ((left ^ up) >> 1)


def predict_paeth(left: Bytes, up: Bytes, corner: Bytes) -> Bytes:
    """Return left, up or corner, whichever is nearest to left + up - corner, in this order.

    Between the lower and the higher of left and up, corner is nearest until it is twice as near to one
    as to the other, then the other; beyond the lower the higher is, beyond the higher the lower. In
    terms of `bound` that is one comparison with each, whose result chooses bits, without a branch.
    """
    lower: Bytes = np.minimum(left, up)
    higher: Bytes = np.maximum(left, up)
    bound = corner.astype(np.int16) * 3
    bound -= left
    bound -= up
    take_higher, take_lower = _to_mask(bound <= lower), _to_mask(bound >= higher)
    out: Bytes = corner & ~(take_higher | take_lower)
    out |= higher & take_higher
    out |= lower & take_lower  # where both are taken, they are equal
    return out


def _to_mask(chosen: NDArray[np.bool_]) -> Bytes:
    """Return 255 where True, 0 elsewhere."""
    mask: Bytes = np.negative(chosen.view(np.uint8))
    return mask


def _sum_distances(filtered: Bytes) -> NDArray[np.uint32]:
    """Return the sum of a row's bytes as distances from 0, either way: what a filter is chosen by."""
    distances = np.abs(filtered.view(np.int8)).view(np.uint8)  # -128 stays, and is 128 without a sign
    sums: NDArray[np.uint32] = distances.sum(axis=1, dtype=np.uint32)
    return sums
