"""AVIF and HEIC: boxes (ISO/IEC 14496-12, 23008-12) around what Pillow and pi-heif decode."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import pi_heif
from PIL import AvifImagePlugin, Image

from farm.pictures import hevc
from farm.pictures.colour import Colour
from farm.pictures.parts import MAX_PROFILE, Opened, read_orientation
from farm.pictures.pixels import Raster, simplify

BRANDS = {  # Pillow's names of what may decode it
    **dict.fromkeys((b"avif", b"avis"), ("AVIF",)),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), ("HEIF",)),
    **dict.fromkeys((b"mif1", b"msf1", b"mif2", b"miaf"), ("AVIF", "HEIF")),
}
METADATA = (b"Exif", b"mime", b"uri ")  # types of items
NEEDED = (b"ftyp", b"meta", b"mdat", b"moov")  # boxes around all others
UNKNOWN_ITEM = b"skip"  # type of an item that decoders pass over
NOT_CODED = 2  # code point: not specified

# One thread: decoding processes are several, and some are limited in memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def open_picture(data: bytes) -> Opened:
    """Read the header. Of several pictures in a HEIC it is the primary.

    Raises:
        ValueError, OSError, SyntaxError: it is damaged.
    """
    image = Image.open(io.BytesIO(erase_metadata(data)), formats=BRANDS[data[8:12]])
    is_several = image.format == "AVIF" and bool(getattr(image, "is_animated", False))
    return Opened(image.size, is_several, lambda enough: _read(image, data))


def _read(image: Image.Image, data: bytes) -> tuple[Raster, int]:
    """Decode to the end: the picture, and the orientation that is still to be given to it."""
    image.load()
    if any(hevc.find_damage(record, coded) for record, coded in _iterate_coded(data)):
        raise ValueError("libde265 found wrong codes")
    profile, exif = image.info.get("icc_profile"), image.info.get("exif")
    image.info = {}
    colour = Colour(profile=profile) if profile and len(profile) <= MAX_PROFILE else _read_colour(data)
    return Raster(simplify(image), colour), read_orientation(exif) if exif else 1


def _read_colour(data: bytes) -> Colour:
    """Read the code points of the first colour box; sRGB without one."""
    for kind, start, end in _iterate_properties(data):
        if kind == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 10:
            primaries, transfer = struct.unpack_from(">HH", data, start + 4)
            return Colour.from_code_points(primaries, transfer)  # the matrix and the range are undone
    return Colour()


def erase_metadata(data: bytes) -> bytes:
    """Return the file of the same length without EXIF, XMP and the like: their items are zeros, of an
    unknown type."""
    found = _find_box(data, b"meta", 0, len(data))
    if not found:
        return data
    erased, items = bytearray(data), set[int]()
    start, end = found[0] + 4, found[1]  # behind version and flags
    for item, place in _iterate_items(data, start, end):
        if data[place : place + 4] in METADATA:
            items.add(item)
            erased[place : place + 4] = UNKNOWN_ITEM
    inner, total = _find_box(data, b"idat", start, end), 0
    for _, first, length in _iterate_extents(data, _find_box(data, b"iloc", start, end), items, inner):
        length = max(0, min(length, len(data) - first))
        total += length
        if total > len(data):
            raise ValueError("its metadata are said to lie in one place many times")
        erased[first : first + length] = bytes(length)
    return bytes(erased)


def clean(data: bytes) -> bytes:
    """Return the same picture, of the same length, without anything else that can be told apart."""
    cleaned, behind = bytearray(erase_metadata(data)), 0
    for kind, start, end in _iterate_boxes(data, 0, len(data)):
        behind = end
        if kind not in NEEDED:
            cleaned[start:end] = bytes(end - start)
    cleaned[behind:] = bytes(len(data) - behind)
    return bytes(cleaned)


def _iterate_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box, and where its body begins and ends."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1 and body + 8 <= end:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        stop = end if size == 0 else min(start + size, end)
        if stop < body:
            return
        yield kind, body, stop
        start = stop


def _find_box(data: bytes, wanted: bytes, start: int, end: int) -> tuple[int, int] | None:
    return next((place for kind, *place in _iterate_boxes(data, start, end) if kind == wanted), None)  # type: ignore[return-value]


def _iterate_items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the number of each item in the body of `meta`, and where its type stands."""
    if table := _find_box(data, b"iinf", start, end):
        entries = table[0] + (6 if data[table[0]] == 0 else 8)
        for kind, at, _ in _iterate_boxes(data, entries, table[1]):
            version, wide = data[at], data[at] >= 3
            if kind == b"infe" and version >= 2:
                item = int.from_bytes(data[at + 4 : at + (8 if wide else 6)])
                yield item, at + (10 if wide else 8)


def _iterate_coded(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what the primary picture is made of, tile by tile, if it is HEVC: the decoder configuration
    record, and the coded data."""
    found = _find_box(data, b"meta", 0, len(data))
    if not found:
        return
    start, end = found[0] + 4, found[1]
    wanted = _find_parts(data, start, end)
    items = {item for item, at in _iterate_items(data, start, end) if data[at : at + 4] == b"hvc1"}
    records = _read_records(data, start, end)
    inner, coded = _find_box(data, b"idat", start, end), dict[int, bytes]()
    extents = _iterate_extents(data, _find_box(data, b"iloc", start, end), items & wanted, inner)
    for item, first, length in extents:
        coded[item] = coded.get(item, b"") + data[first : first + length]
    for item, body in coded.items():
        if record := records.get(item):
            yield record, body


def _find_parts(data: bytes, start: int, end: int) -> set[int]:
    """Find the primary item and those that it is derived from, as a grid is from its tiles."""
    parts = dict[int, list[int]]()
    if table := _find_box(data, b"iref", start, end):
        width = 2 if data[table[0]] == 0 else 4
        for kind, at, stop in _iterate_boxes(data, table[0] + 4, table[1]):
            if kind == b"dimg":
                numbers = data[at + width + 2 : stop]
                found = [int.from_bytes(numbers[i : i + width]) for i in range(0, len(numbers), width)]
                parts.setdefault(int.from_bytes(data[at : at + width]), []).extend(found)
    primary, seen = _find_box(data, b"pitm", start, end), set[int]()
    waiting = [int.from_bytes(data[primary[0] + 4 : primary[1]])] if primary else []
    while waiting:
        if (item := waiting.pop()) not in seen:
            seen.add(item)
            waiting += parts.get(item, [])
    return seen


def _read_records(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """Read the decoder configuration record of each HEVC item."""
    place = _find_box(data, b"iprp", start, end)
    table = place and _find_box(data, b"ipma", *place)
    if not table:
        return {}
    properties = [(kind, data[at:stop]) for kind, at, stop in _iterate_properties(data)]
    file, records = io.BytesIO(data[table[0] : table[1]]), dict[int, bytes]()
    head = int.from_bytes(file.read(4))
    item_size, index_size = (2 if head >> 24 == 0 else 4), (2 if head & 1 else 1)
    for _ in range(min(int.from_bytes(file.read(4)), len(data))):
        item = int.from_bytes(file.read(item_size))
        for _ in range(int.from_bytes(file.read(1))):
            index = int.from_bytes(file.read(index_size)) & (1 << 8 * index_size - 1) - 1
            if 0 < index <= len(properties) and properties[index - 1][0] == b"hvcC":
                records[item] = properties[index - 1][1]
        if file.tell() == table[1] - table[0]:
            break
    return records


def _iterate_properties(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes that describe pictures."""
    place = _find_box(data, b"meta", 0, len(data))
    place = place and _find_box(data, b"iprp", place[0] + 4, place[1])
    place = place and _find_box(data, b"ipco", *place)
    if place:
        yield from _iterate_boxes(data, *place)


def _iterate_extents(
    data: bytes, table: tuple[int, int] | None, items: set[int], inner: tuple[int, int] | None
) -> Iterator[tuple[int, int, int]]:
    """Yield each of these items, where some of its bytes begin, and how many they are."""
    if table is None or not items:
        return
    file = io.BytesIO(data[table[0] : table[1]])

    def take(size: int) -> int:
        return int.from_bytes(file.read(size))

    version = take(4) >> 24
    sizes = take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    for _ in range(take(4 if version == 2 else 2)):
        item = take(4 if version == 2 else 2)
        inside = version > 0 and take(2) & 15 == 1
        take(2)
        base = take(base_size) + (inner[0] if inside and inner else 0)
        for _ in range(take(2)):
            take(index_size)
            offset, length = take(offset_size), take(length_size)
            if item in items:
                yield item, base + offset, length
        if file.tell() == table[1] - table[0]:
            return
