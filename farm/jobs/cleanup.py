"""Removal of what is no longer needed: files of deleted jobs and past attempts, uploads without a job.

Anything here may be interrupted, repeated, or done by two at once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, JobPicture, Upload
from farm.errors import StorageAway
from farm.storage import Storage, storage

UNUSED_UPLOAD = timedelta(days=1)  # kept without a job, since it was last sent
ABANDONED_SECONDS = 24 * 3600  # a file half written for so long is nobody's
AT_ONCE = 500  # jobs asked for in one query
KEY = re.compile(r"jobs/(?P<job>[0-9a-f]+)/(?P<attempt>\d+)/(?P<name>.+)")

log = structlog.get_logger()


def remove_files(job_id: str) -> None:
    """Remove the files that one job no longer needs: those of past attempts, and its checkpoint once it
    has ended. The janitor removes later what cannot be removed now."""
    try:
        store = storage()
        keys = store.list_keys(f"jobs/{job_id}")
        with sessions.read_session() as session:
            _remove(session, store, {job_id: keys})
    except (StorageAway, OperationalError):  # the job itself is fine
        log.exception("leftovers stay", job=job_id)


def sweep() -> None:
    """Remove all that is no longer needed; not while the storage is away: the rows would go alone."""
    store = storage()
    store.check_mark()
    by_job: dict[str, list[str]] = defaultdict(list)
    for key in store.list_keys():
        if found := KEY.fullmatch(key):
            by_job[found["job"]].append(key)
        if key.endswith(".part") and store.compute_age(key) > ABANDONED_SECONDS:
            store.delete(key)
    with sessions.read_session() as session:
        ids = list(by_job)
        for first in range(0, len(ids), AT_ONCE):
            _remove(session, store, {job: by_job[job] for job in ids[first : first + AT_ONCE]})
    _expire_uploads(store)


def _remove(session: Session, store: Storage, by_job: dict[str, list[str]]) -> None:
    found = session.execute(
        select(Job.id, Job.state, Job.attempt, Job.checkpoint_attempt).where(Job.id.in_(by_job))
    )
    rows = {row.id: row for row in found}
    for job_id, keys in by_job.items():
        row = rows.get(job_id)
        if row is None:
            store.delete_folder(f"jobs/{job_id}")
            continue
        for key in _find_needless(keys, {row.attempt, row.checkpoint_attempt}, row.state.ended):
            store.delete(key)


def _find_needless(keys: Iterable[str], attempts: set[int | None], ended: bool) -> Iterable[str]:
    """Yield the keys of other attempts than these, and of an ended job's checkpoints; none not ours."""
    for key in keys:
        found = KEY.fullmatch(key)
        if found is None:  # such as what a file manager leaves in each folder it shows
            continue
        of_the_past = int(found["attempt"]) not in attempts
        if of_the_past or (ended and found["name"].startswith("checkpoint")):
            yield key


def _expire_uploads(store: Storage) -> None:
    """Delete unused uploads, row and file in one transaction, so that whoever sends the same picture at
    this moment waits, finds neither, and stores it anew."""
    with sessions.read_session() as session:
        found = session.scalars(select(Upload).where(*_match_unused(session))).all()
    for upload in found:
        with sessions.write_session() as session:
            unused = delete(Upload).where(Upload.sha256 == upload.sha256, *_match_unused(session))
            if sessions.execute_count(session, unused):
                store.delete(upload.thumbnail_key)
                store.delete(upload.clean_key)
                store.delete(upload.key)


def _match_unused(session: Session) -> tuple[Any, ...]:
    """Return the conditions of an upload not sent lately, and of no job."""
    return (
        Upload.sent_at < sessions.read_clock(session) - UNUSED_UPLOAD,
        ~select(JobPicture.job_id).where(JobPicture.upload_sha256 == Upload.sha256).exists(),
    )
