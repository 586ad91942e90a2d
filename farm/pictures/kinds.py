"""Kinds of files that are read, each known by its first bytes; and names of those that are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farm.pictures import read_heif, read_jpeg, read_png, read_tiff, read_webp
from farm.pictures.parts import Opened

ACCEPTED = "JPEG, PNG, WebP, TIFF, AVIF or HEIC"


@dataclass(frozen=True)
class Kind:
    """A file format that is read."""

    mime: str
    # Tells it by its first HEAD bytes.
    matches: Callable[[bytes], bool]
    open: Callable[[bytes], Opened]
    # Returns a whole picture without anything that is neither pixels nor their meaning.
    clean: Callable[[bytes], bytes]


HEAD = 16  # bytes
KINDS = (
    Kind(
        "image/jpeg", lambda head: head[:2] == read_jpeg.START, read_jpeg.open_picture, read_jpeg.clean
    ),
    Kind(
        "image/png", lambda head: head[:8] == read_png.SIGNATURE, read_png.open_picture, read_png.clean
    ),
    Kind(
        "image/webp",
        lambda head: head[:4] + head[8:12] == b"RIFFWEBP",
        read_webp.open_picture,
        read_webp.clean,
    ),
    Kind(
        "image/tiff",
        lambda head: head[:4] in read_tiff.PREFIXES,
        read_tiff.open_picture,
        read_tiff.clean,
    ),
    Kind(
        "image/avif",
        lambda head: head[4:12] in (b"ftypavif", b"ftypavis"),
        read_heif.open_picture,
        read_heif.clean,
    ),
    Kind(
        "image/heic",
        lambda head: head[4:8] == b"ftyp" and head[8:12] in read_heif.BRANDS,
        read_heif.open_picture,
        read_heif.clean,
    ),
)
RAW_STARTS = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"FOVb",
    b"\0MRM",
    b"II\x1a\0\0\0HEAP",
)
OTHERS = {  # what a file begins with, and what it is
    b"\xff\x0a": "a JPEG XL",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"8BPS": "a Photoshop file",
    b"gimp xcf": "a GIMP file",
    b"%PDF": "a PDF",
    b"<svg": "an SVG",
    b"\x76\x2f\x31\x01": "an OpenEXR",
    b"#?RADIANCE": "a Radiance HDR",
}


def find_kind(head: bytes) -> Kind | None:
    """Find the format of a file by its first HEAD bytes."""
    return next((kind for kind in KINDS if kind.matches(head)), None)


def name_other(head: bytes) -> str:
    """Name a file that is not read, with what to do."""
    if head.startswith(RAW_STARTS) or head[4:12] == b"ftypcrx ":
        return read_tiff.RAW
    found = next((name for start, name in OTHERS.items() if head.startswith(start)), None)
    if found:
        return f"is {found}, not a {ACCEPTED} picture; save it as one of these"
    return f"is not a {ACCEPTED} picture"
