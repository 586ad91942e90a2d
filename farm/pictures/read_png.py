"""PNG: W3C Recommendation, "Portable Network Graphics (PNG) Specification (Third Edition)"."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from farm.pictures.colour import Colour, Unsupported
from farm.pictures.parts import MAX_PROFILE, Opened, read_orientation, write_orientation
from farm.pictures.pixels import Raster, simplify

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")  # with the checksums that they came with
COLOURS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
END = b"\0\0\0\0IEND\xaeB`\x82"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = CHANNELS
MOST_CHUNKS = 200_000  # programs write 8 kB of pixels into one, or more
INFLATED = 1 << 20  # bytes at a time
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


class Header:
    """The sizes and the kind of samples that IHDR names."""

    def __init__(self, body: bytes) -> None:
        self.width, self.height, self.bits, self.colour, _, _, self.interlaced = struct.unpack(
            ">IIBBBBB", body
        )

    def count_bytes(self) -> int:
        """Count the bytes of all filtered rows, of all passes."""
        passes = PASSES if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, across, down in passes:
            width = -(-(self.width - left) // across)
            height = -(-(self.height - top) // down)
            if width > 0 and height > 0:
                total += height * (1 + -(-width * CHANNELS[self.colour] * self.bits // 8))
        return total


class Chunks:
    """The bodies of a file's chunks by name, and those that a decoder needs, whole."""

    def __init__(self, data: bytes) -> None:
        self.pixels: list[memoryview] = []  # of IDAT
        self.others: dict[bytes, memoryview] = {}  # of each kind the first
        self.kept: list[memoryview] = []
        for kind, chunk in _iterate_chunks(data):
            if kind == b"IDAT":
                self.pixels.append(chunk[8:-4])
            elif kind not in self.others:
                self.others[kind] = chunk[8:-4]
            if kind in KEPT:
                self.kept.append(chunk)
        if len(self.others.get(b"IHDR", b"")) != 13:
            raise ValueError("it has no header")
        self.header = Header(bytes(self.others[b"IHDR"]))
        if self.header.colour not in CHANNELS:
            raise ValueError("its header names no kind of colour")


def clean(data: bytes) -> bytes:
    """Return the same picture with what its colours mean and its orientation, and nothing else."""
    chunks = Chunks(data)
    header, *rest = chunks.kept
    colours = [_build_chunk(kind, chunks.others[kind]) for kind in COLOURS if kind in chunks.others]
    orientation = read_orientation(bytes(chunks.others.get(b"eXIf", b"")))
    turned = [] if orientation == 1 else [_build_chunk(b"eXIf", write_orientation(orientation))]
    return b"".join((SIGNATURE, header, *colours, *turned, *rest, END))


def _build_chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def _iterate_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield names and chunks, with length and checksum, up to the end of the picture or of the file."""
    view, at, count = memoryview(data), len(SIGNATURE), 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind == b"IEND":
            return
        if (count := count + 1) > MOST_CHUNKS:
            raise ValueError(f"it has more than {MOST_CHUNKS} chunks")
        yield kind, view[at : at + 12 + length]
        at += 12 + length


def open_picture(data: bytes) -> Opened:
    """Read the header.

    Raises:
        ValueError: there is none.
    """
    chunks = Chunks(data)
    control = bytes(chunks.others.get(b"acTL", b""))
    is_several = len(control) == 8 and struct.unpack(">II", control)[0] > 1
    size = chunks.header.width, chunks.header.height
    return Opened(size, is_several, lambda enough: _read(chunks))


def _read(chunks: Chunks) -> tuple[Raster, int]:
    """Decode to the last row: the picture, and EXIF's orientation."""
    if not _has_all_rows(chunks):
        raise ValueError("rows are missing at its end")
    data, colour = b"".join((SIGNATURE, *chunks.kept, END)), _read_colour(chunks)
    exif = bytes(chunks.others.get(b"eXIf", b""))
    if chunks.header.bits < 16:
        return Raster(_read_eight_bits(data, chunks), colour), read_orientation(exif)
    samples, key = _read_deep(data, chunks.header), _read_key(chunks)
    return Raster(samples if key is None else _add_alpha(samples, key), colour), read_orientation(exif)


def _read_colour(chunks: Chunks) -> Colour:
    """Read the colour chunks in the order in which the specification counts them.

    Raises:
        Unsupported: nobody knows these colours.
    """
    found = chunks.others
    if len(code := found.get(b"cICP", b"")) == 4:
        primaries, transfer, matrix, full = code
        if matrix:
            raise Unsupported("has no RGB samples by its cICP; save it as sRGB")
        return Colour.from_code_points(primaries, transfer, narrow=not full)
    if b"iCCP" in found and (profile := _inflate_profile(bytes(found[b"iCCP"]))):
        return Colour(profile=profile)
    if b"sRGB" in found:
        return Colour()
    gamma = chromaticities = None
    if len(body := found.get(b"gAMA", b"")) == 4:
        gamma = struct.unpack(">I", body)[0] / 100_000
    if len(body := found.get(b"cHRM", b"")) == 32:
        x, y, *rest = (value / 100_000 for value in struct.unpack(">8I", body))
        chromaticities = (*rest, x, y)  # white stands first there
    return Colour.from_gamma(gamma, chromaticities)


def _inflate_profile(body: bytes) -> bytes | None:
    """Inflate a profile; None if it is broken or far too large."""
    _, _, packed = body.partition(b"\0")
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(packed[1:], MAX_PROFILE)
    except zlib.error:
        return None
    return profile if inflate.eof else None


def _has_all_rows(chunks: Chunks) -> bool:
    """Inflate all rows and count them: decoders leave those black that are not there."""
    inflate, missing = zlib.decompressobj(), chunks.header.count_bytes()
    for body in chunks.pixels:
        rest: bytes | memoryview = body
        while rest and missing > 0 and not inflate.eof:
            missing -= len(inflate.decompress(rest, INFLATED))
            rest = inflate.unconsumed_tail
    while missing > 0 and (more := inflate.decompress(inflate.unconsumed_tail, INFLATED)):
        missing -= len(more)
    return missing <= 0


def _read_key(chunks: Chunks) -> tuple[int, ...] | None:
    """Read the one colour that is transparent, in samples of the file."""
    body = chunks.others.get(b"tRNS", b"")
    count = {GREY: 1, RGB: 3}.get(chunks.header.colour, 0)
    return struct.unpack(f">{count}H", body[: 2 * count]) if count and len(body) >= 2 * count else None


def _read_eight_bits(data: bytes, chunks: Chunks) -> Image.Image:
    """Decode 1 to 8 bits a sample."""
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    image.load()
    if (key := _read_key(chunks)) is not None:  # which Pillow does not scale with the samples
        most = 2**chunks.header.bits - 1
        values = tuple((value & most) * 255 // most for value in key)
        image.info["transparency"] = values if len(values) > 1 else values[0]
    simple = simplify(image)
    simple.info = {}
    return simple


def _read_deep(data: bytes, header: Header) -> NDArray[np.uint16]:
    """Decode 16 bits a sample, which Pillow has for grey alone: of other kinds it is made to unpack
    first the high bytes and then the low ones."""
    if header.colour == GREY:
        return _load(data).astype(np.uint16)[..., None]  # (H, W, 1)
    if header.colour == GREY_ALPHA:  # as many bytes as RGBA of 8 bits
        values = _load(data, "RGBA")  # (H, W, 4): high and low of grey, high and low of alpha
        return np.ascontiguousarray(values).view(">u2").astype(np.uint16)
    kind = "RGB" if header.colour == RGB else "RGBA"
    samples = _load(data, kind, f"{kind};16B").astype(np.uint16)
    samples <<= 8
    samples |= _load(data, kind, f"{kind};16L")  # the second of two bytes, if the first comes last
    return samples


def _load(data: bytes, mode: str | None = None, raw: str | None = None) -> NDArray[Any]:
    """Decode, as another mode of as many bits if one is named."""
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    if mode:
        image._mode = mode
        image.tile = [tile._replace(args=raw or mode) for tile in image.tile]
    return np.asarray(image)


def _add_alpha(samples: NDArray[np.uint16], key: tuple[int, ...]) -> NDArray[np.uint16]:
    """Add alpha, 0 for the one colour that is transparent."""
    opaque = (samples != np.array(key, np.uint16)).any(axis=-1, keepdims=True)
    return np.concatenate([samples, opaque.astype(np.uint16) * np.uint16(65535)], axis=-1)
