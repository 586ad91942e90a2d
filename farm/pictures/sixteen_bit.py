"""16-bit RGB files, which Pillow reads but cannot write: PNG and TIFF, one strip of rows at a time.

PNG: W3C Recommendation, "Portable Network Graphics (PNG) Specification (Third Edition)".
TIFF: Adobe, "TIFF 6.0", with Deflate and the horizontal predictor of its section 14.

A strip is uint16 (rows, W, 3) in sRGB; all strips of a picture but the last have the same rows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Strip = NDArray[np.uint16]

LEVEL = 4  # of Deflate: the low bytes of 16 bits are mostly noise, which no level makes small
RGB = 2  # PNG's colour type
SUB = 1  # PNG's filter: each byte less the one a pixel to the left; needs no row but its own
PREDICTOR = 2  # TIFF's: the same with whole samples


def write_png(
    file: BinaryIO,
    width: int,
    height: int,
    strips: Iterable[Strip],
    profile: bytes,
    text: dict[str, str],
) -> None:
    """Write a whole PNG.

    Args:
        profile: ICC. text: by keyword, each as iTXt.
    """
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, RGB, 0, 0, 0))
    _write_chunk(file, b"iCCP", b"sRGB\0\0" + zlib.compress(profile))
    for keyword, value in text.items():
        _write_chunk(file, b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + value.encode())
    deflate = zlib.compressobj(LEVEL)
    for strip in strips:
        _write_chunk(file, b"IDAT", deflate.compress(_filter(strip).data))
    _write_chunk(file, b"IDAT", deflate.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    if not data and kind == b"IDAT":  # Deflate still keeps what it was given
        return
    file.write(struct.pack(">I", len(data)))
    file.write(kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _filter(strip: Strip) -> NDArray[np.uint8]:
    """Filter a strip into big-endian rows, each behind its filter's number: uint8 (rows, 1 + 6 W)."""
    rows, width, _ = strip.shape
    samples = strip.astype(">u2").view(np.uint8).reshape(rows, 6 * width)
    out = np.empty((rows, 1 + 6 * width), np.uint8)
    out[:, 0] = SUB
    out[:, 1:7] = samples[:, :6]
    np.subtract(samples[:, 6:], samples[:, :-6], out=out[:, 7:])
    return out


def write_tiff(
    file: BinaryIO,
    width: int,
    height: int,
    strips: Iterable[Strip],
    rows: int,
    profile: bytes,
    text: str,
) -> None:
    """Write a whole little-endian TIFF.

    Args:
        file: seekable. rows: of each strip but the last. profile: ICC. text: the image's description.
    """
    import tifffile  # only here: it takes a tenth of a second

    with tifffile.TiffWriter(file, byteorder="<") as tiff:
        tiff.write(
            _compress_differences(strips),
            shape=(height, width, 3),
            dtype="<u2",
            photometric="rgb",
            rowsperstrip=rows,
            compression="adobe_deflate",
            predictor=PREDICTOR,
            iccprofile=profile,
            description=text.encode() or None,
            metadata=None,
            software=False,
        )


def _compress_differences(strips: Iterable[Strip]) -> Iterator[bytes]:
    """Yield each strip as Deflate of its differences to the left."""
    for strip in strips:
        differences = strip.astype("<u2")
        np.subtract(strip[:, 1:], strip[:, :-1], out=differences[:, 1:])
        yield zlib.compress(differences.data, LEVEL)
