"""Clips as commands take them: a file, or a folder of frames; and how a file is known to be one."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from farm.cli.batch import list_photographs
from farm.cli.client import read_picture
from farm.pictures.decode import find_kind

HEAD = 65536  # bytes, within which a file shows what it is
STARTS = (b"\x1aE\xdf\xa3", b"GIF8", b"PK\x03\x04")  # of Matroska and WebM, GIF, zip
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # that MP4 and QuickTime begin with
RAW = b"crx "  # brand of Canon's raw photographs


def read_clip(path: Path) -> bytes:
    """Return a clip's bytes; of a folder, its pictures as a zip, frame 2 before frame 10.

    Raises:
        InvalidInput: it cannot be read, or the folder has no picture.
    """
    if not path.is_dir():
        return read_picture("clip", path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, frame in enumerate(sorted(list_photographs(path), key=_split_numbers)):
            # The same bytes for the same frames: no dates.
            entry = zipfile.ZipInfo(f"{number:08d}{frame.suffix.lower()}")
            archive.writestr(entry, read_picture("clip", frame))
    return packed.getvalue()


def is_clip(path: Path) -> bool:
    """Check whether a file is a clip rather than a photograph, by how it begins."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if find_kind(head) is None:
        return head.startswith(STARTS) or (head[4:8] in BOXES and head[8:12] != RAW)
    return _is_animated_webp(head) or _is_animated_png(head)


def _is_animated_webp(head: bytes) -> bool:
    return head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def _is_animated_png(head: bytes) -> bool:
    """Check for an `acTL` chunk, which comes before the first picture's."""
    return head.startswith(b"\x89PNG") and b"acTL" in head.partition(b"IDAT")[0]


def _split_numbers(path: Path) -> list[tuple[int, str]]:
    """Return a key by which names with numbers sort as people count."""
    words = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(int(word), "") if word.isdecimal() and word.isascii() else (-1, word) for word in words]
