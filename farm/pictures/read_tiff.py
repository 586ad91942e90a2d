"""TIFF taken apart: Adobe, "TIFF 6.0".

Of the tags only those that pixels are made of are kept, in a directory of our own that is put behind the
file's bytes. Pillow reads pictures of 8 bits a sample. Most others it does not read right, so their
bytes are decompressed as if they were a grey picture, and become samples here.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farm.pictures.colour import Colour, Unsupported
from farm.pictures.libtiff import decompress_fax, watch_decompression
from farm.pictures.parts import MAX_PROFILE, Opened
from farm.pictures.pixels import STRIP, Raster, simplify
from farm.pictures.tiff_directory import (
    BITS,
    COEFFICIENTS,
    COMPRESSION,
    COUNTS,
    DNG,
    EXTRA,
    FILL_ORDER,
    FORMAT,
    HEADER,
    LENGTH,
    OFFSETS,
    ORIENTATION,
    PALETTE,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    PROFILE,
    REFERENCE,
    ROWS,
    SAMPLES,
    SUBDIRECTORIES,
    SUBFILE,
    TABLES,
    TILE_COUNTS,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Page,
    get_number,
    get_numbers,
    iterate_pages,
    read_page,
    write_directory,
)
from farm.pictures.tiff_samples import (
    BLACK_IS_ZERO,
    CHANNELS,
    DIFFERENCES,
    FILTER_ARRAY,
    FLOAT,
    FLOAT_DIFFERENCES,
    FLOATS,
    LINEAR_RAW,
    UNDEFINED,
    UNSIGNED,
    YCBCR,
    Layout,
    Plane,
    convert_planes,
)

PREFIXES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SUBPAGES = 8

KEPT = (
    *(WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, OFFSETS, SAMPLES, ROWS, COUNTS, PLANAR),
    *(292, 293, PREDICTOR, PALETTE, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, EXTRA, TABLES),
    *(*range(512, 522), COEFFICIENTS, 530, 531, REFERENCE),
)
REDUCED, MASK = 1, 4  # bits of SUBFILE

OLD_JPEG = 6  # compression whose parts may lie anywhere
JPEGS = (6, 7)
FAXES = (2, 3, 4, 32771)
DEFLATE = (8, 32946)
INFLATED_AT_ONCE = 1 << 14  # bytes of a file, which may be a thousand times as many
LOSSLESS = (1, 5, 8, 32946, 32773, 34925, 50000)  # compressions that give back the very bytes

RAW = "is a raw camera file; develop it and send a JPEG, PNG or TIFF"
ADVICE = "save it as RGB with 8 or 16 bits"


def open_picture(data: bytes) -> Opened:
    """Read the directories.

    Raises:
        Unsupported: it is a raw camera file. ValueError: it has no page.
    """
    pages = _find_pages(data)
    size = get_number(pages[0], WIDTH), get_number(pages[0], LENGTH)
    return Opened(size, len(pages) > 1, lambda enough: _read(data, pages[0]))


def clean(data: bytes) -> bytes:
    """Return the same picture with its profile and its orientation, and nothing else.

    Raises:
        ValueError: where its pixels are is not said plainly.
    """
    page = _find_pages(data)[0]
    tiled = TILE_OFFSETS in page
    place, size = (TILE_OFFSETS, TILE_COUNTS) if tiled else (OFFSETS, COUNTS)
    offsets, counts = get_numbers(page, place), get_numbers(page, size)
    if get_number(page, COMPRESSION, 1) == OLD_JPEG or not offsets or len(offsets) != len(counts):
        raise ValueError("its pixels cannot be told from the rest")
    if sum(counts) > len(data):
        raise ValueError("its pixels are said to lie in one place many times")
    entries = {tag: page[tag] for tag in (*KEPT, ORIENTATION, PROFILE) if tag in page}
    segments = [data[offset : offset + count] for offset, count in zip(offsets, counts, strict=True)]
    entries[place] = tuple(accumulate(counts[:-1], initial=HEADER))
    return write_directory(b"".join((data[:HEADER], *segments)), entries)


def _find_pages(data: bytes) -> list[Page]:
    """Find the pages that are pictures: no thumbnails and no masks, unless there is nothing else.

    Raises:
        Unsupported: it is a raw camera file. ValueError: it has no page.
    """
    pages = list(iterate_pages(data))
    if not pages:
        raise ValueError("it has no page")
    if data[8:10] == b"CR" or any(_is_raw(data, page) for page in pages):
        raise Unsupported(RAW)
    full = [page for page in pages if not get_number(page, SUBFILE, 0) & (REDUCED | MASK)]
    return full or pages[:1]


def _read(data: bytes, page: Page) -> tuple[Raster, int]:
    """Decode to the end: the picture, and the orientation that its tag names."""
    profile = page.get(PROFILE)
    usable = isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE
    colour = Colour(profile=profile if usable else None)
    layout = _read_layout(data, page)
    samples: Image.Image | NDArray[np.uint16]
    with watch_decompression():
        if _is_plain(page, layout):
            samples = _read_plain(data, page)
        else:
            _check_kind(page, layout)
            samples = convert_planes(_open_planes(data, page, layout), layout)
    return Raster(samples, colour), get_number(page, ORIENTATION, 1)


# Pages -------------------------------------------------------------------------------------------


def _is_raw(data: bytes, page: Page) -> bool:
    """Tell what a camera's sensor saw, in this page or in those below it, whose preview it may be."""
    if DNG in page or get_number(page, PHOTOMETRIC, 0) in (FILTER_ARRAY, LINEAR_RAW):
        return True
    below = get_numbers(page, SUBDIRECTORIES)[:SUBPAGES]
    header = data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8]
    found = (read_page(data, header, at) for at in below if 0 < at < len(data))
    return any(get_number(each, PHOTOMETRIC, 0) in (FILTER_ARRAY, LINEAR_RAW) for each in found)


def _read_layout(data: bytes, page: Page) -> Layout:
    """Read how the samples are arranged.

    Raises:
        Unsupported: samples of one pixel differ in kind.
    """
    samples = get_number(page, SAMPLES, 1)
    bits, formats = set(get_numbers(page, BITS, [1])), set(get_numbers(page, FORMAT, [UNSIGNED]))
    if len(bits) > 1 or len(formats) > 1:
        raise Unsupported(f"is a TIFF whose channels differ in bits; {ADVICE}")
    width = get_number(page, WIDTH)
    tile = get_number(page, TILE_WIDTH, width) if TILE_OFFSETS in page else width
    if min(width, tile, samples) < 1:
        raise ValueError("it has no columns")
    return Layout(
        width,
        get_number(page, LENGTH),
        get_number(page, PHOTOMETRIC, BLACK_IS_ZERO),
        samples,
        bits.pop(),
        formats.pop(),
        get_numbers(page, EXTRA),
        get_number(page, PLANAR, 1) == 2 and samples > 1,
        get_number(page, PREDICTOR, 1),
        tile,
        -(-width // tile) * tile,
        "<" if data[:1] == b"I" else ">",
    )


# Pictures of 8 bits ------------------------------------------------------------------------------


def _is_plain(page: Page, layout: Layout) -> bool:
    """Tell what Pillow reads right."""
    if get_number(page, COMPRESSION, 1) in JPEGS or layout.photometric == YCBCR:
        return True
    if layout.format not in (UNSIGNED, UNDEFINED):
        return False
    match layout.photometric:
        case 0 | 1 | 3:
            return layout.samples == 1 and layout.bits in (1, 2, 4, 8)
        case 2:
            return layout.bits == 8 and layout.samples in (3, 4)
        case 5:
            return layout.bits == 8 and layout.samples == 4
        case 8:
            return layout.bits == 8 and layout.samples == 3
    return False


def _read_plain(data: bytes, page: Page) -> Image.Image:
    entries = {tag: page[tag] for tag in KEPT if tag in page}
    file = write_directory(data, entries)
    image = Image.open(io.BytesIO(file), formats=["TIFF"])
    image.load()
    image.info = {}
    if get_number(page, COMPRESSION, 1) in FAXES:
        decompress_fax(file)
    return simplify(image)


# Samples of any kind -----------------------------------------------------------------------------


def _check_kind(page: Page, layout: Layout) -> None:
    """Check that `convert_planes` knows these samples.

    Raises:
        Unsupported: it does not.
    """
    wrong = None
    if layout.photometric not in CHANNELS:
        wrong = f"of another kind of colour (photometric interpretation {layout.photometric})"
    elif layout.format not in (UNSIGNED, FLOAT, UNDEFINED):
        wrong = "of signed or complex numbers"
    elif layout.format == FLOAT and layout.bits // 8 not in FLOATS:
        wrong = f"of {layout.bits}-bit floats"
    elif layout.format != FLOAT and layout.bits > 16 and layout.bits not in (32, 64):
        wrong = f"of {layout.bits} bits a sample"
    elif layout.samples < layout.channels:
        wrong = "of too few channels"
    elif layout.predictor not in (1, DIFFERENCES, FLOAT_DIFFERENCES) or (
        layout.predictor != 1 and layout.bits not in (8, 16, 32, 64)
    ):
        wrong = f"with a predictor that is not known ({layout.predictor})"
    elif (compression := get_number(page, COMPRESSION, 1)) not in LOSSLESS:
        wrong = f"of {layout.bits} bits with compression {compression}"
    if wrong:
        raise Unsupported(f"is a TIFF {wrong}; {ADVICE}")


def _open_planes(data: bytes, page: Page, layout: Layout) -> list[Plane]:
    """Return the planes of a page, of which each is decompressed as its rows are asked for."""
    tiled = TILE_OFFSETS in page
    offsets = get_numbers(page, TILE_OFFSETS if tiled else OFFSETS)
    counts = get_numbers(page, TILE_COUNTS if tiled else COUNTS)
    planes = layout.samples if layout.planar else 1
    each = len(offsets) // planes
    owns = [slice(plane * each, (plane + 1) * each) for plane in range(planes)]
    plain = not tiled and get_number(page, FILL_ORDER, 1) == 1 and len(counts) == len(offsets)
    if plain and get_number(page, COMPRESSION, 1) in DEFLATE:
        rows = min(get_number(page, ROWS, layout.height), layout.height)
        return [
            partial(_inflate, data, list(zip(offsets[own], counts[own], strict=True)), rows, layout)
            for own in owns
        ]
    return [_decompress(data, page, layout, offsets[own], counts[own]) for own in owns]


def _inflate(
    data: bytes, places: Sequence[tuple[int, int]], rows: int, layout: Layout
) -> Iterator[NDArray[np.uint8]]:
    """Yield the rows of a plane in deflated strips. libtiff would hold a whole strip, and one may be the
    whole picture.

    Args:
        places: first byte and number of bytes of each strip. rows: of each but the last.

    Raises:
        ValueError: a strip is missing or ends early. zlib.error: it is damaged.
    """
    size, held, left = layout.count_row_bytes(layout.padded_width), bytearray(), layout.height
    for offset, count in places:
        for piece in _inflate_strip(memoryview(data)[offset : offset + count], min(rows, left) * size):
            held += piece
            while len(held) >= STRIP * size:
                yield np.frombuffer(held[: STRIP * size], np.uint8).reshape(STRIP, size)
                del held[: STRIP * size]
        left -= min(rows, left)
    if left:
        raise ValueError("it has too few strips")
    if held:
        yield np.frombuffer(held, np.uint8).reshape(-1, size)


def _inflate_strip(strip: memoryview, size: int) -> Iterator[bytes]:
    """Yield the `size` bytes that are deflated in a strip, piece by piece.

    Raises:
        ValueError: they are fewer. zlib.error: the strip is damaged.
    """
    stream = zlib.decompressobj()
    for first in range(0, len(strip), INFLATED_AT_ONCE):
        if not size:
            return
        piece = stream.decompress(strip[first : first + INFLATED_AT_ONCE], size)
        size -= len(piece)
        yield piece
    if size:
        raise ValueError("a strip ends early")


def _decompress(
    data: bytes, page: Page, layout: Layout, offsets: Sequence[int], counts: Sequence[int]
) -> Plane:
    """Decompress a plane as if it were a grey picture, a byte of each row after another."""
    tiled = TILE_OFFSETS in page
    width = layout.count_row_bytes(layout.padded_width)
    entries: dict[int, Any] = {
        WIDTH: width,
        LENGTH: layout.height,
        BITS: 8,
        PHOTOMETRIC: BLACK_IS_ZERO,
        SAMPLES: 1,
    }
    entries |= {
        COMPRESSION: get_number(page, COMPRESSION, 1),
        FILL_ORDER: get_number(page, FILL_ORDER, 1),
    }
    entries |= {TILE_OFFSETS if tiled else OFFSETS: tuple(offsets)}
    if counts:
        entries |= {TILE_COUNTS if tiled else COUNTS: tuple(counts)}
    if tiled:
        entries |= {TILE_WIDTH: layout.count_row_bytes(layout.tile_width)}
        entries |= {TILE_LENGTH: get_number(page, TILE_LENGTH)}
    else:
        entries |= {ROWS: min(get_number(page, ROWS, layout.height), layout.height)}
    image = Image.open(io.BytesIO(write_directory(data, entries)), formats=["TIFF"])
    image.load()

    def iterate() -> Iterator[NDArray[np.uint8]]:
        for top in range(0, layout.height, STRIP):
            yield np.asarray(image.crop((0, top, width, min(top + STRIP, layout.height))))

    return iterate
