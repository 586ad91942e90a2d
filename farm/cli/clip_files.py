"""Clips as commands take them: a file, or a folder of frames."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from farm.cli.batch import list_photographs
from farm.cli.sent_files import read_picture


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


def _split_numbers(path: Path) -> list[tuple[int, str]]:
    """Return a key by which names with numbers sort as people count."""
    words = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(int(word), "") if word.isdecimal() and word.isascii() else (-1, word) for word in words]
