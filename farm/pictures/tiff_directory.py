"""Directories of TIFF (Adobe, "TIFF 6.0"): tags of a page, read from a file and written behind one."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import TiffImagePlugin

PAGES = 64  # directories that are looked at
HEADER = 8  # bytes

SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
OFFSETS, ORIENTATION, SAMPLES, ROWS, COUNTS, PLANAR, PREDICTOR, PALETTE = (
    *(273, 274, 277, 278, 279, 284, 317, 320),
)
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
SUBDIRECTORIES, EXTRA, FORMAT, TABLES, PROFILE, DNG = 330, 338, 339, 347, 34675, 50706
COEFFICIENTS, REFERENCE = 529, 532  # of YCbCr, rational
Page = TiffImagePlugin.ImageFileDirectory_v2


def iterate_pages(data: bytes) -> Iterator[Page]:
    """Yield the directory of each page, the file's first ones at most."""
    header = data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8]
    at, seen = Page(header).next, set[int]()
    while at and at not in seen and len(seen) < PAGES:
        seen.add(at)
        page = read_page(data, header, at)
        yield page
        at = page.next


def read_page(data: bytes, header: bytes, at: int) -> Page:
    """Read the directory that begins at a byte of the file."""
    page, file = Page(header), io.BytesIO(data)
    file.seek(at)
    page.load(file)
    return page


def get_numbers(page: Page, tag: int, default: Sequence[int] = ()) -> tuple[int, ...]:
    """Return a tag's whole numbers, whatever types they were written with."""
    value = page.get(tag)
    values = value if isinstance(value, (tuple, bytes)) else () if value is None else (value,)
    return tuple(int(each) for each in values) or tuple(default)


def get_number(page: Page, tag: int, default: int | None = None) -> int:
    """Return a tag's first whole number.

    Raises:
        ValueError: it has none, and there is no default.
    """
    values = get_numbers(page, tag, () if default is None else (default,))
    if not values:
        raise ValueError(f"its tag {tag} is missing")
    return values[0]


def write_directory(data: bytes, entries: dict[int, Any]) -> bytes:
    """Put a directory behind a file's bytes, and an ordinary header before them."""
    order = "<" if data[:1] == b"I" else ">"
    start = len(data) + len(data) % 2
    table, tail = struct.pack(order + "H", len(entries)), b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, value in sorted(entries.items()):
        kind, count, packed = _pack(order, tag, value)
        if len(packed) > 4:
            place, packed = struct.pack(order + "I", behind + len(tail)), packed + bytes(len(packed) % 2)
            tail += packed
        else:
            place = packed.ljust(4, b"\0")
        table += struct.pack(order + "HHI", tag, kind, count) + place
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return b"".join((header, memoryview(data)[HEADER:], bytes(len(data) % 2), table, bytes(4), tail))


def _pack(order: str, tag: int, value: Any) -> tuple[int, int, bytes]:
    """Pack a tag's value: its type, how many there are, and the bytes."""
    if isinstance(value, bytes):
        return 7, len(value), value
    values = value if isinstance(value, tuple) else (value,)
    if tag in (COEFFICIENTS, REFERENCE):
        pairs = [part for each in values for part in (round(float(each) * 1_000_000), 1_000_000)]
        return 5, len(values), struct.pack(f"{order}{len(pairs)}I", *pairs)
    numbers = [int(each) for each in values]
    kind, form = (3, "H") if max(numbers, default=0) < 65536 else (4, "I")
    return kind, len(numbers), struct.pack(f"{order}{len(numbers)}{form}", *numbers)
