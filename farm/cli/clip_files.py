"""Clips as commands take them: a file, or a folder of frames."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from farm.cli.batch import list_photographs
from farm.cli.sent_files import read_picture
from farm.clips.frame_names import split_numbers


def read_clip(path: Path) -> bytes:
    """Return a clip's bytes; of a folder, its pictures as a zip, frame 2 before frame 10.

    Raises:
        InvalidInput: it cannot be read, or the folder has no picture.
    """
    if not path.is_dir():
        return read_picture("clip", path)
    frames = sorted(list_photographs(path), key=lambda frame: split_numbers(frame.name))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, frame in enumerate(frames):
            # The same bytes for the same frames: no dates.
            entry = zipfile.ZipInfo(f"{number:08d}{frame.suffix.lower()}")
            archive.writestr(entry, read_picture("clip", frame))
    return packed.getvalue()
