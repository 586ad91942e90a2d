"""Files that appear whole: written under another name, synced to the disk, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
