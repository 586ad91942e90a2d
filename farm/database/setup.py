"""Preparation of database and storage for this version of the farm; repeating it is harmless."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import select

from farm.database import reserve, schema, sessions
from farm.database.models import Upload
from farm.errors import StorageAway
from farm.settings import settings
from farm.storage import MARK, storage

LOOKED_FOR = 20  # of the newest uploads


def install() -> None:
    """Bring the tables up to date, and mark the storage as the farm's.

    Raises:
        DatabaseOutOfDate: the database is of a newer version.
        StorageAway: it cannot be written, or it is another one than that of this database.
    """
    with suppress(OSError):  # database or storage say what is wrong
        settings().make_home()
    schema.upgrade()
    reserve.keep()
    store = storage()
    if store.is_marked():
        return
    with sessions.read_session() as session:
        newest = select(Upload).order_by(Upload.sent_at.desc()).limit(LOOKED_FOR)
        uploads = session.scalars(newest).all()
    if uploads and not any(store.exists(upload.key) for upload in uploads):
        raise StorageAway(
            f"The storage {settings().storage} has none of this farm's pictures. Is its volume mounted? "
            f"To go on with an empty one, put a file named {MARK} there."
        )
    store.mark()
