"""Reserve of disk beside a SQLite database: a file that is given up once the disk is full, so that jobs
can still be cancelled and deleted, which is what makes room again.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import structlog
from sqlalchemy.engine import make_url

from farm.settings import settings
from farm.storage import find_local_folder

BYTES = 4 << 20  # hundreds of changes in SQLite's log
FULL_BYTES = 1 << 20  # free on a disk that is as good as full
NAME = "reserve"

log = structlog.get_logger()


def keep() -> None:
    """Make the reserve, unless it is there or the disk has little more room than it takes."""
    folder = find_folder()
    if folder is None or (folder / NAME).exists():
        return
    with suppress(OSError):
        if shutil.disk_usage(folder).free > 4 * BYTES:
            (folder / NAME).write_bytes(b"\0" * BYTES)


def release_if_full() -> None:
    """Give the reserve up if the disk is full: whoever calls wants to make room."""
    folder = find_folder()
    if folder is not None and (folder / NAME).exists() and _is_full(folder):
        with suppress(OSError):
            (folder / NAME).unlink()
            log.warning("the disk is full: its reserve is given up for cancelling and deleting")


def is_disk_full() -> bool:
    """Check whether the disk of the database or of local pictures is full, but for the reserve."""
    folders = [find_folder(), find_local_folder(settings().storage)]
    return any(folder is not None and folder.exists() and _is_full(folder) for folder in folders)


def _is_full(folder: Path) -> bool:
    """Check a disk; where the reserve was given up, what it took is not room."""
    given_up = 0 if (folder / NAME).exists() or folder != find_folder() else BYTES
    return shutil.disk_usage(folder).free - given_up < FULL_BYTES


def find_folder() -> Path | None:
    """Return the folder of the SQLite database; None: it is elsewhere."""
    url = make_url(settings().database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database).parent
