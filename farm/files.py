"""Files that appear whole: written under another name, synced to the disk, then renamed. Their names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_NAME_BYTES = (
    200  # of a file, its ending included; file systems take 255, some with marks of their own
)


@contextmanager
def replace_file(path: Path, part: Path | None = None) -> Iterator[Path]:
    """Yield the path of a temporary file to write; it takes the place of `path` when the block ends.

    If the block raises, the temporary file is removed and the file at `path` is as it was.

    Args:
        path: the file, which a reader sees old or new, never in part.
        part: the temporary file, in the same file system; by default hidden beside `path`.
    """
    part = part or path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def build_file_name(name: str, ending: str) -> str:
    """Return a name for a file, of MAX_NAME_BYTES at most, that every file system takes.

    Args:
        name: in any script; what is no letter, digit or mark becomes a dash. ending: such as .png.
    """
    kept = "".join(char if _is_plain(char) else "-" for char in unicodedata.normalize("NFC", name))
    room = MAX_NAME_BYTES - len(ending.encode())
    cut = kept.strip(". -").encode()[:room].decode(errors="ignore").strip(". ")
    return f"{cut or 'picture'}{ending}"


def _is_plain(char: str) -> bool:
    return char.isalnum() or char in "-_ ." or unicodedata.category(char).startswith("M")
