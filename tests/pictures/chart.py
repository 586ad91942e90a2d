"""A small chart, and files of it byte by byte: what no encoder at hand writes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float64]
Samples = NDArray[Any]  # numbers of any type
PATCH = 8  # px

COLOURS = [
    [(0, 0, 0), (51, 51, 51), (102, 102, 102), (153, 153, 153), (204, 204, 204), (255, 255, 255)],
    [(200, 40, 40), (40, 160, 60), (40, 70, 190), (220, 200, 50), (180, 60, 170), (60, 180, 190)],
    [(230, 190, 160), (120, 80, 60), (90, 110, 70), (150, 170, 200), (250, 240, 230), (20, 25, 40)],
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)],
]


def spread(patches: Samples) -> Samples:
    """(4, 6, ..) -> (32, 48, ..)."""
    return patches.repeat(PATCH, axis=0).repeat(PATCH, axis=1)


CHART = spread(np.array(COLOURS, np.uint8)).astype(np.uint8)  # (32, 48, 3)
RGB: Pixels = CHART / 255
GREY: Pixels = spread(np.linspace(0, 1, 24).reshape(4, 6)).astype(np.float64)  # (32, 48)
ALPHA: Pixels = np.where(np.arange(48) < 24, 1.0, 0.5) * np.ones((32, 1))  # (32, 48)


def encode_srgb(light: Pixels) -> Pixels:
    """Linear light in [0, 1] -> sRGB."""
    return np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    )


def decode_srgb(signal: Pixels) -> Pixels:
    """sRGB -> linear light in [0, 1]."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def quantise(values: Pixels, kind: str) -> Samples:
    """Values in [0, 1] as numbers of a type: white is the largest integer, or 1."""
    if np.dtype(kind).kind == "f":
        return values.astype(kind)
    return (values * float(np.iinfo(kind).max) * (1 - 1e-16)).round().astype(kind)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# PNG ---------------------------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_rows(
    rows: bytes, size: tuple[int, int], bits: int, colour: int, *others: bytes, interlaced: bool = False
) -> bytes:
    """A PNG of filtered rows; other chunks stand before them."""
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, interlaced)
    body = chunk(b"IDAT", zlib.compress(rows, 1))
    parts = (chunk(b"IHDR", header), *others, body, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png(samples: Samples, *others: bytes, bits: int | None = None, interlaced: bool = False) -> bytes:
    """A PNG of (H, W) or (H, W, C) integers; fewer than 8 bits are packed."""
    samples = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = samples.shape
    bits = bits or samples.dtype.itemsize * 8
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    rows = b"".join(
        b"\0" + pack_bits(row.ravel(), bits)
        for left, top, across, down in passes
        for row in samples[top::down, left::across]
        if row.size
    )
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png_of_rows(rows, (width, height), bits, colour, *others, interlaced=interlaced)


ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def pack_bits(values: Samples, bits: int) -> bytes:
    """Integers, highest bit first; the last byte is filled."""
    wide = values.astype(np.uint64)[:, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint64)
    return np.packbits((wide & np.uint64(1)).astype(np.uint8).ravel()).tobytes()


def profile(space: bytes, gamma: float = 1.0) -> bytes:
    """An ICC profile (ICC.1:2001-04), GRAY or with sRGB's primaries; its curve is a power."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + fixed(*values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    parts = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"a\0" + bytes(78),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
    }
    if space == b"GRAY":
        parts[b"kTRC"] = curve
    else:
        parts |= {b"rXYZ": xyz(0.43607, 0.22249, 0.01392), b"gXYZ": xyz(0.38515, 0.71687, 0.09708)}
        parts |= {b"bXYZ": xyz(0.14307, 0.06061, 0.71410)} | dict.fromkeys(
            (b"rTRC", b"gTRC", b"bTRC"), curve
        )
    at, table, body = 132 + 12 * len(parts), struct.pack(">I", len(parts)), b""
    for name, content in parts.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
    return head + table + body


# TIFF --------------------------------------------------------------------------------------------

SHORT, LONG = 3, 4


def directory(order: str, entries: dict[int, object], start: int, following: int = 0) -> bytes:
    """A directory of tags at `start`: whole numbers, tuples of them, or bytes (UNDEFINED)."""
    table, tail = struct.pack(order + "H", len(entries)), b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, value in sorted(entries.items()):
        if isinstance(value, bytes):
            kind, count, packed = 7, len(value), value
        else:
            numbers = value if isinstance(value, tuple) else (value,)
            kind, count, packed = LONG, len(numbers), struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(packed) > 4:
            packed, tail = struct.pack(order + "I", behind + len(tail)), tail + packed
        table += struct.pack(order + "HHI", tag, kind, count) + packed.ljust(4, b"\0")
    return table + struct.pack(order + "I", following) + tail


def tiff(
    segments: Sequence[bytes],
    size: tuple[int, int],
    bits: int,
    samples: int,
    photometric: int,
    order: str = "<",
    **tags: object,
) -> bytes:
    """A TIFF of one page whose segments are as they will lie in it; more tags are named `tag_258`."""
    offsets, body = [], b""
    for segment in segments:
        offsets.append(8 + len(body))
        body += segment + bytes(len(segment) % 2)
    more = {int(name.removeprefix("tag_")): value for name, value in tags.items()}
    entries = {
        256: size[0],
        257: size[1],
        258: (bits,) * samples,
        259: 1,
        262: photometric,
        277: samples,
    }
    if 322 in more:
        entries |= {324: tuple(offsets), 325: tuple(map(len, segments))}
    else:
        rows = -(-size[1] * (samples if more.get(284) == 2 else 1) // len(segments))
        entries |= {273: tuple(offsets), 278: rows, 279: tuple(map(len, segments))}
    entries |= more
    start = 8 + len(body)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + body + directory(order, entries, start)


def compress_lzw(data: bytes) -> bytes:
    """LZW of nothing but literals: the table is cleared before its codes grow beyond 9 bits."""
    codes = []
    for at in range(0, len(data), 200):
        codes += [256, *data[at : at + 200]]
    return pack_bits(np.array([*codes, 257]), 9)


def differentiate(samples: Samples) -> Samples:
    """Predictor 2 of (H, W, C) integers."""
    out = samples.copy()
    out[:, 1:] -= samples[:, :-1]
    return out


def differentiate_floats(samples: Samples) -> bytes:
    """Predictor 3 of (H, W, C) floats."""
    height, _, channels = samples.shape
    size = samples.dtype.itemsize
    big = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    planes = (
        big.view(np.uint8).reshape(height, -1, size).transpose(0, 2, 1).reshape(height, -1, channels)
    )
    return differentiate(np.ascontiguousarray(planes)).tobytes()
