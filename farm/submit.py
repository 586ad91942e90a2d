"""From files and settings to a queued job: checked pictures -> storage -> row, committed -> ticket.

The form and the API both come through here.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm import board, db, images, jobs
from farm.errors import InvalidInput, Problem
from farm.estimate import estimate
from farm.models import Job, Upload
from farm.queue import send_ticket
from farm.recipe import MOST_STYLES, SMALLEST_STYLE, Recipe
from farm.settings import settings
from farm.storage import storage

NAME_LENGTH = 120
PRIORITIES = range(-100, 101)

_decoding = threading.BoundedSemaphore(2)  # a picture of 100 megapixels takes 400 MB while it is read


def submit(
    content: bytes, styles: Sequence[bytes], recipe: Recipe, *, name: str = "", priority: int = 0
) -> Job:
    """Check everything, then store, then commit the row, then send a ticket.

    A ticket that cannot be sent is the janitor's to send later: the job is accepted all the same.

    Raises:
        InvalidInput and its kin: the first field that is wrong; nothing was stored.
    """
    name = " ".join(name.split())
    if not name.isprintable():
        raise InvalidInput(Problem("name", "has characters that cannot be shown"))
    if len(name) > NAME_LENGTH:
        raise InvalidInput(Problem("name", f"has {len(name)} characters; the limit is {NAME_LENGTH}"))
    if priority not in PRIORITIES:
        raise InvalidInput(Problem("priority", "must be between -100 and 100"))
    if not styles:
        raise InvalidInput(Problem("style", "is missing; send at least one painting"))
    if len(styles) > MOST_STYLES:
        message = f"has {len(styles)} paintings; the limit is {MOST_STYLES}"
        raise InvalidInput(Problem("style", message))
    recipe.blend_of(len(styles))

    limit = settings().max_upload_megapixels
    with _decoding:
        pictures = [(content, images.check(content, "content", limit))]
        _fits_somewhere(recipe, pictures[0][1])
        for style in styles:
            pictures.append((style, images.check(style, "style", limit, SMALLEST_STYLE)))

    uploads = [_store(data, checked) for data, checked in pictures]
    with db.writing() as session:
        rows = [_row(session, upload) for upload in uploads]
        job = jobs.create(
            session,
            name=name or "Untitled",
            recipe=recipe,
            content=rows[0],
            styles=rows[1:],
            priority=priority,
        )
    wake(job)
    return job


def _fits_somewhere(recipe: Recipe, photograph: images.Checked) -> None:
    """While no worker is alive nobody can tell; the job may wait for a larger one.

    Raises:
        InvalidInput: no worker that is alive has memory enough, or the result would be too narrow.
    """
    with db.reading() as session:
        workers = board.workers_alive(session)
    best = estimate(recipe, photograph.height, photograph.width, workers)
    if best and best.refusal:
        raise InvalidInput(Problem("size", f"is too large for every worker: {best.refusal}"))


def wake(job: Job) -> None:
    """Send a ticket for a job that waits, and remember that it was sent."""
    if send_ticket(job.work_class):
        with db.writing() as session:
            jobs.ticket_sent(session, job.id)


def _store(data: bytes, checked: images.Checked) -> Upload:
    """Store a picture and its thumbnail under its SHA-256, if they are not there yet."""
    upload = Upload(
        sha256=hashlib.sha256(data).hexdigest(),
        width=checked.width,
        height=checked.height,
        size_bytes=len(data),
    )
    store = storage()
    for key, file in ((upload.key, data), (upload.thumbnail_key, checked.thumbnail)):
        if not store.exists(key):
            store.put(key, file)
    return upload


def _row(session: Session, upload: Upload) -> Upload:
    """The picture's row: the one that is there, or this one, whoever else adds it at this moment."""
    if found := session.get(Upload, upload.sha256):
        return found
    try:
        with session.begin_nested():
            session.add(upload)
        return upload
    except IntegrityError:
        return session.get_one(Upload, upload.sha256)
