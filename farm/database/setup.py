"""Preparation of database and storage for this version of the farm; repeating it is harmless."""

from __future__ import annotations

from contextlib import suppress

import structlog
from sqlalchemy import select, update

from farm.database import reserve, schema, sessions
from farm.database.models import Job, Upload
from farm.errors import InvalidInput, StorageAway
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import MARK, storage

LOOKED_FOR = 20  # of the newest uploads

log = structlog.get_logger()


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
    fill_looks()
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


def fill_looks() -> None:
    """Fill in the looks of pictures from before looks were kept, so that opinions of them count.

    A recipe that cannot be read stays without one; a film's parts never have one.
    """
    with sessions.write_session() as session:
        without = select(Job.id, Job.recipe).where(Job.look_sha256.is_(None), Job.film_id.is_(None))
        for job_id, recipe in session.execute(without).all():
            try:
                look = Recipe.parse(recipe).look
            except InvalidInput as error:
                log.warning("the picture's look stays unknown", job=job_id, error=str(error))
                continue
            session.execute(update(Job).where(Job.id == job_id).values(look_sha256=look))
