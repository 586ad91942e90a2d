"""TIFF taken apart: Adobe, "TIFF 6.0", and its "Photoshop TIFF Technical Notes" for floating point.

Of the tags only those that pixels are made of are kept, in a directory of our own that is put behind the
file's bytes. Pillow reads pictures of 8 bits a sample. Most others it does not read right, so their
bytes are decompressed as if they were a grey picture, and become samples here.
"""

from __future__ import annotations

import ctypes
import io
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, _imaging

from farm.pictures.colour import Colour, Unsupported
from farm.pictures.parts import MAX_PROFILE, Opened
from farm.pictures.pixels import STRIP, Raster, simplify

PREFIXES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PAGES = 64  # directories that are looked at
SUBPAGES = 8
DEEP_TOP = 65535

SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
OFFSETS, ORIENTATION, SAMPLES, ROWS, COUNTS, PLANAR, PREDICTOR, PALETTE = (
    273,
    274,
    277,
    278,
    279,
    284,
    317,
    320,
)
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
SUBDIRECTORIES, EXTRA, FORMAT, TABLES, PROFILE, DNG = 330, 338, 339, 347, 34675, 50706
COEFFICIENTS, REFERENCE = 529, 532  # of YCbCr, rational
KEPT = (
    *(WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, OFFSETS, SAMPLES, ROWS, COUNTS, PLANAR),
    *(292, 293, PREDICTOR, PALETTE, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, EXTRA, TABLES),
    *(*range(512, 522), COEFFICIENTS, 530, 531, REFERENCE),
)
REDUCED, MASK = 1, 4  # bits of SUBFILE

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, _, CMYK, YCBCR, _, LAB = range(9)
FILTER_ARRAY, LINEAR_RAW = 32803, 34892  # what a camera's sensor saw
CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, CMYK: 4}
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
PREMULTIPLIED, STRAIGHT, COREL = 1, 2, 999  # of EXTRA: alpha
PLAIN = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}
FLOATS = {2: "f2", 4: "f4", 8: "f8"}
OLD_JPEG = 6  # compression whose parts may lie anywhere
HEADER = 8  # bytes
LOSSLESS = (1, 5, 8, 32946, 32773, 34925, 50000)  # compressions that give back the very bytes
JPEGS = (6, 7)
DIFFERENCES, FLOAT_DIFFERENCES = 2, 3  # of PREDICTOR
BRIGHT = 95  # percentile that is white, where floating point goes beyond 1
SEEN = 512  # rows and columns that are looked at for it

RAW = "is a raw camera file; develop it and send a JPEG, PNG or TIFF"
ADVICE = "save it as RGB with 8 or 16 bits"

Page = TiffImagePlugin.ImageFileDirectory_v2


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


def open_picture(data: bytes) -> Opened:
    """Read the directories.

    Raises:
        Unsupported: it is a raw camera file. ValueError: it has no page.
    """
    pages = _find_pages(data)
    size = _get_number(pages[0], WIDTH), _get_number(pages[0], LENGTH)
    return Opened(size, len(pages) > 1, lambda enough: _read(data, pages[0]))


def clean(data: bytes) -> bytes:
    """Return the same picture with its profile and its orientation, and nothing else.

    Raises:
        ValueError: where its pixels are is not said plainly.
    """
    page = _find_pages(data)[0]
    tiled = TILE_OFFSETS in page
    place, size = (TILE_OFFSETS, TILE_COUNTS) if tiled else (OFFSETS, COUNTS)
    offsets, counts = _get_numbers(page, place), _get_numbers(page, size)
    if _get_number(page, COMPRESSION, 1) == OLD_JPEG or not offsets or len(offsets) != len(counts):
        raise ValueError("its pixels cannot be told from the rest")
    if sum(counts) > len(data):
        raise ValueError("its pixels are said to lie in one place many times")
    entries = {tag: page[tag] for tag in (*KEPT, ORIENTATION, PROFILE) if tag in page}
    segments = [data[offset : offset + count] for offset, count in zip(offsets, counts, strict=True)]
    entries[place] = tuple(accumulate(counts[:-1], initial=HEADER))
    return _write_directory(b"".join((data[:HEADER], *segments)), entries)


def _find_pages(data: bytes) -> list[Page]:
    """Find the pages that are pictures: no thumbnails and no masks, unless there is nothing else.

    Raises:
        Unsupported: it is a raw camera file. ValueError: it has no page.
    """
    pages = list(_iterate_pages(data))
    if not pages:
        raise ValueError("it has no page")
    if data[8:10] == b"CR" or any(_is_raw(data, page) for page in pages):
        raise Unsupported(RAW)
    full = [page for page in pages if not _get_number(page, SUBFILE, 0) & (REDUCED | MASK)]
    return full or pages[:1]


def _read(data: bytes, page: Page) -> tuple[Raster, int]:
    """Decode to the end: the picture, and the orientation that its tag names."""
    profile = page.get(PROFILE)
    usable = isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE
    colour = Colour(profile=profile if usable else None)
    layout = _read_layout(data, page)
    samples: Image.Image | NDArray[np.uint16]
    with _watch_decompression():
        if _is_plain(page, layout):
            samples = _read_plain(data, page)
        else:
            _check_kind(page, layout)
            samples = _read_samples(data, page, layout)
    return Raster(samples, colour), _get_number(page, ORIENTATION, 1)


# Pages -------------------------------------------------------------------------------------------


def _iterate_pages(data: bytes) -> Iterator[Page]:
    header = data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8]
    at, seen = Page(header).next, set[int]()
    while at and at not in seen and len(seen) < PAGES:
        seen.add(at)
        page = _read_page(data, header, at)
        yield page
        at = page.next


def _read_page(data: bytes, header: bytes, at: int) -> Page:
    page, file = Page(header), io.BytesIO(data)
    file.seek(at)
    page.load(file)
    return page


def _get_numbers(page: Page, tag: int, default: Sequence[int] = ()) -> tuple[int, ...]:
    """Return a tag's whole numbers, whatever types they were written with."""
    value = page.get(tag)
    values = value if isinstance(value, (tuple, bytes)) else () if value is None else (value,)
    return tuple(int(each) for each in values) or tuple(default)


def _get_number(page: Page, tag: int, default: int | None = None) -> int:
    values = _get_numbers(page, tag, () if default is None else (default,))
    if not values:
        raise ValueError(f"its tag {tag} is missing")
    return values[0]


def _is_raw(data: bytes, page: Page) -> bool:
    """Tell what a camera's sensor saw, in this page or in those below it, whose preview it may be."""
    if DNG in page or _get_number(page, PHOTOMETRIC, 0) in (FILTER_ARRAY, LINEAR_RAW):
        return True
    below = _get_numbers(page, SUBDIRECTORIES)[:SUBPAGES]
    header = data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8]
    found = (_read_page(data, header, at) for at in below if 0 < at < len(data))
    return any(_get_number(each, PHOTOMETRIC, 0) in (FILTER_ARRAY, LINEAR_RAW) for each in found)


def _read_layout(data: bytes, page: Page) -> Layout:
    """Read how the samples are arranged.

    Raises:
        Unsupported: samples of one pixel differ in kind.
    """
    samples = _get_number(page, SAMPLES, 1)
    bits, formats = set(_get_numbers(page, BITS, [1])), set(_get_numbers(page, FORMAT, [UNSIGNED]))
    if len(bits) > 1 or len(formats) > 1:
        raise Unsupported(f"is a TIFF whose channels differ in bits; {ADVICE}")
    width = _get_number(page, WIDTH)
    tile = _get_number(page, TILE_WIDTH, width) if TILE_OFFSETS in page else width
    if min(width, tile, samples) < 1:
        raise ValueError("it has no columns")
    return Layout(
        width,
        _get_number(page, LENGTH),
        _get_number(page, PHOTOMETRIC, BLACK_IS_ZERO),
        samples,
        bits.pop(),
        formats.pop(),
        _get_numbers(page, EXTRA),
        _get_number(page, PLANAR, 1) == 2 and samples > 1,
        _get_number(page, PREDICTOR, 1),
        tile,
        -(-width // tile) * tile,
        "<" if data[:1] == b"I" else ">",
    )


# Pictures of 8 bits ------------------------------------------------------------------------------


def _is_plain(page: Page, layout: Layout) -> bool:
    """Tell what Pillow reads right."""
    if _get_number(page, COMPRESSION, 1) in JPEGS or layout.photometric == YCBCR:
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
    image = Image.open(io.BytesIO(_write_directory(data, entries)), formats=["TIFF"])
    image.load()
    image.info = {}
    return simplify(image)


def _write_directory(data: bytes, entries: dict[int, Any]) -> bytes:
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


# Samples of any kind -----------------------------------------------------------------------------


def _check_kind(page: Page, layout: Layout) -> None:
    """Check that `_read_samples` knows these samples.

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
    elif (compression := _get_number(page, COMPRESSION, 1)) not in LOSSLESS:
        wrong = f"of {layout.bits} bits with compression {compression}"
    if wrong:
        raise Unsupported(f"is a TIFF {wrong}; {ADVICE}")


def _read_samples(data: bytes, page: Page, layout: Layout) -> Image.Image | NDArray[np.uint16]:
    """Read samples as uint16 (H, W, C), C with alpha, or as a picture in CMYK."""
    planes = _decompress(data, page, layout)
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


def _decompress(data: bytes, page: Page, layout: Layout) -> list[Image.Image]:
    """Decompress a page's bytes: one image (H, bytes of a row) of each plane."""
    tiled = TILE_OFFSETS in page
    offsets = _get_numbers(page, TILE_OFFSETS if tiled else OFFSETS)
    counts = _get_numbers(page, TILE_COUNTS if tiled else COUNTS)
    planes = layout.samples if layout.planar else 1
    each = len(offsets) // planes
    common = {WIDTH: layout.count_row_bytes(layout.padded_width), LENGTH: layout.height, BITS: 8}
    common |= {COMPRESSION: _get_number(page, COMPRESSION, 1), PHOTOMETRIC: BLACK_IS_ZERO, SAMPLES: 1}
    common |= {FILL_ORDER: _get_number(page, FILL_ORDER, 1)}
    if tiled:
        common |= {TILE_WIDTH: layout.count_row_bytes(layout.tile_width)}
        common |= {TILE_LENGTH: _get_number(page, TILE_LENGTH)}
    else:
        common |= {ROWS: min(_get_number(page, ROWS, layout.height), layout.height)}
    images: list[Image.Image] = []
    for plane in range(planes):
        own = slice(plane * each, (plane + 1) * each)
        places = {TILE_OFFSETS if tiled else OFFSETS: offsets[own]}
        if counts:
            places |= {TILE_COUNTS if tiled else COUNTS: counts[own]}
        image = Image.open(io.BytesIO(_write_directory(data, common | places)), formats=["TIFF"])
        image.load()
        images.append(image)
    return images


def _iterate_strips(planes: list[Image.Image], layout: Layout) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the first row and the samples (rows, W, S) of each strip, in the numbers of the file."""
    for top in range(0, layout.height, STRIP):
        bottom = min(top + STRIP, layout.height)
        box = (0, top, layout.count_row_bytes(layout.padded_width), bottom)
        parts = [_parse(np.asarray(plane.crop(box)), layout) for plane in planes]
        yield (
            top,
            np.concatenate(parts, axis=-1)[:, : layout.width]
            if parts[1:]
            else parts[0][:, : layout.width],
        )


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


def _find_white(planes: list[Image.Image], layout: Layout) -> float:
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


# Errors of the library ---------------------------------------------------------------------------

_errors = threading.local()


def _note_error(module: bytes | None, text: bytes | None, arguments: int | None) -> None:
    _errors.latest = (module or b"a decoder").decode("latin-1")


@contextmanager
def _watch_decompression() -> Iterator[None]:
    """Raise errors that libtiff finds in compressed data and goes on after, as with bad codes of a fax.

    Raises:
        ValueError: there was one.
    """
    _errors.latest = None
    yield
    if _errors.latest:
        raise ValueError(f"{_errors.latest} found wrong codes")


_handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_note_error)


def _set_handler() -> None:
    """Have libtiff call `_note_error` instead of writing to the terminal, where it can be found."""
    with suppress(AttributeError, OSError):  # linked in another way: such files pass as before
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(_handler)


_set_handler()
