"""JPEG taken apart: ITU-T T.81, annex B; ICC profiles as ICC.1, annex B.4, puts them in."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image, ImageChops

from farm.pictures.colour import Colour, Unsupported
from farm.pictures.parts import EXIF, MAX_PROFILE, Opened, read_orientation, write_orientation
from farm.pictures.pixels import Raster, simplify

SIGNATURE = b"\xff\xd8\xff"
START, END = b"\xff\xd8", b"\xff\xd9"
SCAN, RESTARTS, APP0, APP1, APP2, APP14 = 0xDA, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE
NEEDED = {APP0: (b"JFIF\0", 12), APP14: (b"Adobe", 12)}  # of those: how samples are to be understood
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
SEQUENTIAL = (0xC0, 0xC1)  # with Huffman's codes
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
LS_FRAME = 0xF7  # of JPEG-LS
ABOUT = {*range(0xE0, 0xFF)} - {LS_FRAME}  # comments and what programs add
MOST_SEGMENTS = 50_000  # a picture has some dozen
BLOCK = 8  # px
LONGEST_SIDE = 65_500  # px, libjpeg's limit
MIDDLE = range(126, 130)  # samples where a decoder had no data at all
MAX_SCANS = 100  # each costs a pass over all pixels; programs write 3 to 20
PROFILE = b"ICC_PROFILE\0"
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # of what has a length, or the end's
PADDINGS = (b"", bytes(range(254, 0, -1)) * 32)  # the second, without markers, shows where data end


@dataclass
class Scan:
    """One pass over the picture."""

    header: bytes
    interval: int  # units between two restarts; 0: there are none
    restarts: int = 0  # in its data

    @property
    def components(self) -> bytes:
        """Ids of the components that it has."""
        return self.header[1 : 1 + 2 * self.header[0] : 2]


@dataclass
class Segments:
    """The segments of a file up to the end of its first picture."""

    # Pieces for a decoder; after each of a scan's data comes None.
    kept: list[bytes | memoryview | None] = field(default_factory=list)
    frame: tuple[int, bytes] | None = None  # its marker and body
    exif: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)  # its pieces by number
    scans: list[Scan] = field(default_factory=list)
    needed: int = 0  # pieces at the beginning that say how samples are to be understood

    def read_size(self) -> tuple[int, int]:
        """Return width and height, px."""
        assert self.frame
        height, width = struct.unpack_from(">HH", self.frame[1], 1)
        return width, height

    def read_sampling(self) -> dict[int, tuple[int, int]]:
        """Return of each component, by its id, how many blocks a unit has across and down."""
        assert self.frame
        body = self.frame[1]
        return {body[at]: (body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, 6 + 3 * body[5], 3)}


def open_picture(data: bytes) -> Opened:
    """Read the header. What follows the first picture, a camera's preview or second view, is left alone.

    Raises:
        ValueError: there is no header. Unsupported: nobody here reads its kind.
    """
    segments = _take_apart(data)
    if not segments.frame or not segments.scans:
        raise ValueError("it ends before the picture begins")
    _check_headers(segments)
    if len(segments.scans) > MAX_SCANS:
        raise Unsupported(f"has {len(segments.scans)} scans; the limit is {MAX_SCANS}; save it anew")
    marker, body = segments.frame
    if marker == LS_FRAME:
        raise Unsupported("is JPEG-LS, which the farm does not read; save it as JPEG or PNG")
    if body[0] != 8:
        raise Unsupported(f"is a JPEG of {body[0]} bits a sample; save it with 8, or as PNG or TIFF")
    return Opened(segments.read_size(), False, lambda enough: _read(segments, enough))


def _read(segments: Segments, enough: int | None) -> tuple[Raster, int]:
    """Decode to the end, which may lack its marker: the picture, and EXIF's orientation."""
    _check_scans(segments)
    factor = _choose_factor(*segments.read_size(), enough) if enough else 1
    image = _decode_extended(segments, factor) or _decode_twice(segments, factor)
    image.info = {}
    profile = b"".join(segments.profile[number] for number in sorted(segments.profile))
    colour = Colour(profile=profile) if 0 < len(profile) <= MAX_PROFILE else Colour()
    return Raster(simplify(image), colour), read_orientation(segments.exif)


def clean(data: bytes) -> bytes:
    """Return the same picture with its profile and its orientation, and nothing else."""
    found = _take_apart(data)
    if (orientation := read_orientation(found.exif)) != 1:
        found.kept.insert(found.needed, _build_segment(APP1, EXIF + write_orientation(orientation)))
    for number in sorted(found.profile, reverse=True):
        head = PROFILE + bytes((number, len(found.profile)))
        found.kept.insert(found.needed, _build_segment(APP2, head + found.profile[number]))
    return _build_file(found, PADDINGS[0])


def _build_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _iterate_segments(data: bytes) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield marker, body and the whole of each segment; after a scan's header its data as marker 0."""
    view, at = memoryview(data), len(START)
    for _ in range(MOST_SEGMENTS):
        found = MARKER.search(data, at)
        if found is None or (marker := data[found.end() - 1]) == END[1]:
            return
        at = found.end() - 2  # behind what fills, or is rubbish that decoders pass over
        (length,) = struct.unpack(">H", data[at + 2 : at + 4].ljust(2, b"\0"))
        yield marker, view[at + 4 : at + 2 + length], view[at : at + 2 + length]
        at += 2 + max(length, 2)
        if marker == SCAN:
            found = MARKER.search(data, at)
            scan = data[at : found.start() if found else None]
            end = at + len(scan.rstrip(b"\xff"))  # what fills, or half a code where the file was cut
            yield 0, view[at:end], view[at:end]
            at = end
    raise ValueError(f"it has more than {MOST_SEGMENTS} segments")


def _take_apart(data: bytes) -> Segments:
    """Keep what pixels are made of; read orientation and profile."""
    found, interval = Segments(), 0
    for marker, body, whole in _iterate_segments(data):
        if marker == APP1 and bytes(body[: len(EXIF)]) == EXIF and not found.exif:
            found.exif = bytes(body)
        elif marker == APP2 and bytes(body[: len(PROFILE)]) == PROFILE and len(body) > len(PROFILE) + 2:
            found.profile.setdefault(body[len(PROFILE)], bytes(body[len(PROFILE) + 2 :]))
        elif marker not in ABOUT:
            found.kept.append(whole)
        elif (needed := NEEDED.get(marker)) and bytes(body[:5]) == needed[0]:
            own = bytes(body[: needed[1]]) + bytes(
                2 if marker == APP0 else 0
            )  # JFIF's without a thumbnail
            found.kept.insert(found.needed, _build_segment(marker, own))
            found.needed += 1
        if marker == 0:
            found.kept.append(None)
            if interval:
                found.scans[-1].restarts = len(RESTART.findall(body))
        elif marker == SCAN:
            found.scans.append(Scan(bytes(body), interval))
        elif marker == RESTARTS:
            interval = int.from_bytes(body)
        elif (marker in FRAMES or marker == LS_FRAME) and not found.frame:
            found.frame = marker, bytes(body)
    return found


def _build_file(found: Segments, padding: bytes) -> bytes:
    """Build a file without comments, with `padding` behind each scan's data."""
    pieces = (padding if piece is None else piece for piece in found.kept)
    return b"".join((START, *pieces, END))


def _check_headers(found: Segments) -> None:
    """Check that the headers of picture and scans are as long as they say, and name what there is.

    Raises:
        ValueError: they do not.
    """
    assert found.frame
    body = found.frame[1]
    if len(body) < 9 or not body[5] or len(body) < 6 + 3 * body[5]:
        raise ValueError("its header makes no sense")
    sampling = found.read_sampling()
    fit = all(across and down for across, down in sampling.values())
    for scan in found.scans:
        header = scan.header
        fit = fit and bool(header) and header[0] > 0 and len(header) >= 4 + 2 * header[0]
        fit = fit and sampling.keys() >= {*scan.components}
    if not fit:
        raise ValueError("its header makes no sense")


def _check_scans(found: Segments) -> None:
    """Check that no scan is missing, nor a piece of one: each component came, each of its bits, and each
    restart.

    Raises:
        ValueError: the file was cut between two of them.
    """
    assert found.frame
    marker, sampling = found.frame[0], found.read_sampling()
    missing = {*sampling}  # components
    low: dict[tuple[int, int], int] = {}  # bits to come, by component and coefficient
    for scan in found.scans:
        if marker not in LOSSLESS and scan.restarts < _count_restarts(found, scan):
            raise ValueError("data are missing")
        first, last, bits = scan.header[1 + 2 * scan.header[0] :][:3]
        if marker in PROGRESSIVE:
            band = [(component, at) for component in scan.components for at in range(first, last + 1)]
            if any(low.get(each) != bits >> 4 for each in band if bits >> 4):
                raise ValueError("data are missing")
            low |= dict.fromkeys(band, bits & 15)
        if marker not in PROGRESSIVE or first == 0:
            missing -= {*scan.components}
    if missing or any(low.values()):
        raise ValueError("data are missing")


def _count_restarts(found: Segments, scan: Scan) -> int:
    """Return how many restarts a scan needs: between two intervals, not behind the last."""
    if not scan.interval:
        return 0
    size, sampling = found.read_size(), found.read_sampling()
    most = [max(each) for each in zip(*sampling.values(), strict=True)]
    units = 1
    for length, own, largest in zip(size, sampling[scan.components[0]], most, strict=True):
        # Of one component alone a unit is a block.
        side, unit = (
            (length, BLOCK * largest)
            if len(scan.components) > 1
            else (-(-length * own // largest), BLOCK)
        )
        units *= -(-side // unit)
    return -(-units // scan.interval) - 1


def _choose_factor(width: int, height: int, enough: int) -> int:
    """Choose by what to divide both sides, so that `enough` px of the longest are left."""
    longest = max(width, height)
    least = min(side // max(1, side * enough // longest) for side in (width, height))
    return next(factor for factor in (8, 4, 2, 1) if factor <= max(1, least))


def _decode_extended(segments: Segments, factor: int) -> Image.Image | None:
    """Decode with a header that promises one row of blocks more than there are data for.

    A decoder that runs out of data leaves all later blocks in the middle of their range. The first block
    of the added row is decoded from what is left of the last byte, unless data ended before it.

    Returns:
        the picture, its sides divided by `factor`; None where this cannot tell that its data are whole.
    """
    assert segments.frame
    (marker, body), sampling = segments.frame, segments.read_sampling()
    _, height = segments.read_size()
    row = BLOCK * max(down for _, down in sampling.values()) if len(sampling) > 1 else BLOCK  # px
    extended = -(-height // row) * row + row
    if marker not in SEQUENTIAL or len(segments.scans) > 1 or extended > LONGEST_SIDE:
        return None
    frame = _build_segment(marker, body)
    taller = _build_segment(marker, body[:1] + struct.pack(">H", extended) + body[3:])
    whole = _build_file(segments, PADDINGS[0])
    # As a whole, its last line would take on colour of the line below; divided, it does not.
    image = _load(whole.replace(frame, taller, 1), BLOCK if factor == 1 else factor)
    sample = image.getpixel((0, image.height - 1))
    if all(one in MIDDLE for one in (sample if isinstance(sample, tuple) else (sample,))):
        return None
    return _load(whole, 1) if factor == 1 else image.crop((0, 0, image.width, -(-height // factor)))


def _decode_twice(segments: Segments, factor: int) -> Image.Image:
    """Decode with two paddings behind each scan's data, taken where data are missing: they then make two
    pictures. Each block begins with its mean, so an eighth of the sides shows where data end;
    progressive files have all means first.

    Returns:
        the picture, its sides divided by `factor`.

    Raises:
        ValueError: data are missing. The verdict is the same at whatever size the picture is wanted.
    """
    assert segments.frame
    image = _load(_build_file(segments, PADDINGS[0]), factor)
    is_whole, progressive = factor == 1, segments.frame[0] in PROGRESSIVE
    # Of a whole picture no second one is held, unless all of it is needed.
    smaller = 1 if progressive else BLOCK if is_whole else factor
    one = image if is_whole == progressive else _load(_build_file(segments, PADDINGS[0]), smaller)
    other = _load(_build_file(segments, PADDINGS[1]), smaller)
    if not progressive and not is_whole:
        one, other = one.reduce(BLOCK // factor), other.reduce(BLOCK // factor)
    if ImageChops.difference(one, other).getbbox():
        raise ValueError("data are missing")
    return image


def _load(data: bytes, factor: int) -> Image.Image:
    """Decode with the sides divided by 1, 2, 4 or 8."""
    image = Image.open(io.BytesIO(data), formats=["JPEG"])
    width, height = image.size
    image.draft(None, (max(1, width // factor), max(1, height // factor)))
    try:
        image.load()
    except OSError:
        if image.size == (width, height):
            raise
        return _load(data, 1)  # a lossless JPEG has one size only
    return image
