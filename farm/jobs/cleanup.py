"""Removal of what is no longer needed: files of deleted jobs and past attempts, uploads without a job.
The bytes of the files that a job keeps are recorded in its row.

Anything here may be interrupted, repeated, or done by two at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, islice
from typing import Any

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.films import FilmFrame
from farm.database.models import HELD, Job, JobPicture, Upload
from farm.database.people import UploadOwner
from farm.errors import StorageAway
from farm.storage import Storage, storage

UNUSED_UPLOAD = timedelta(days=1)  # kept without a job, since it was last sent
ABANDONED_SECONDS = 24 * 3600  # a file half written for so long is nobody's
AT_ONCE = 500  # jobs asked for in one query
KEY = re.compile(r"jobs/(?P<job>[0-9a-f]+)/(?P<attempt>\d+)/(?P<name>.+)")

Sizes = Mapping[str, int]  # bytes by key

log = structlog.get_logger()


@dataclass(frozen=True)
class _Kept:
    """Files that a job keeps."""

    job_id: str
    # As of this attempt.
    attempt: int
    # Of all of them.
    stored_bytes: int


def remove_files(job_id: str) -> None:
    """Remove the files that one job no longer needs: those of past attempts, and its checkpoint once it
    has ended; record the bytes of the others. The janitor does later what cannot be done now."""
    try:
        store = storage()
        _tidy(store, {job_id: store.list_sizes(f"jobs/{job_id}")})
    except (StorageAway, OperationalError):  # the job itself is fine
        log.exception("leftovers stay", job=job_id)


def sweep() -> None:
    """Remove all that is no longer needed; not while the storage is away: the rows would go alone."""
    store = storage()
    store.check_mark()
    jobs = _group_by_job(_iterate_files(store))
    while batch := dict(islice(jobs, AT_ONCE)):
        _tidy(store, batch)
    _record_jobs_without_files(store)
    _expire_uploads(store)
    _forget_owners()


def _iterate_files(store: Storage) -> Iterator[tuple[str, int]]:
    """Yield key and bytes of each file, without those half written that nobody goes on with."""
    for key, size in store.iterate_sizes():
        if key.endswith(".part") and store.compute_age(key) > ABANDONED_SECONDS:
            store.delete(key)
        else:
            yield key, size


def _group_by_job(files: Iterable[tuple[str, int]]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each job that has files with the bytes of those that are ours; files of one job come one
    after another."""
    for folder, mine in groupby(files, lambda file: file[0].split("/")[:2]):
        sizes = {key: size for key, size in mine if KEY.fullmatch(key)}
        if sizes:
            yield folder[1], sizes


def _tidy(store: Storage, by_job: Mapping[str, Sizes]) -> None:
    """Remove the files that some jobs no longer need, and record the bytes of the others."""
    with sessions.read_session() as session:
        kept = _remove(session, store, by_job)
    _record(kept)


def _remove(session: Session, store: Storage, by_job: Mapping[str, Sizes]) -> list[_Kept]:
    """Remove the files that some jobs no longer need; return the jobs whose rows have other bytes."""
    columns = (Job.id, Job.state, Job.attempt, Job.checkpoint_attempt, Job.stored_bytes)
    rows = {row.id: row for row in session.execute(select(*columns).where(Job.id.in_(by_job)))}
    frames = session.scalars(select(FilmFrame).where(FilmFrame.job_id.in_(by_job)))
    painted = {key for frame in frames for key in frame.keys}
    kept = []
    for job_id, sizes in by_job.items():
        row = rows.get(job_id)
        if row is None:
            store.delete_folder(f"jobs/{job_id}")
            continue
        left = dict(sizes)
        unpainted = [key for key in sizes if key not in painted]  # frames of past attempts stay
        for key in _find_needless(unpainted, {row.attempt, row.checkpoint_attempt}, row.state.ended):
            store.delete(key)
            left.pop(key)
        if (total := sum(left.values())) != row.stored_bytes and row.state not in HELD:
            kept.append(_Kept(job_id, row.attempt, total))
    return kept


def _record(kept: Iterable[_Kept]) -> None:
    """Record bytes, unless another attempt has begun, which records its own."""
    with sessions.write_session() as session:
        for each in kept:
            same = update(Job).where(
                Job.id == each.job_id, Job.attempt == each.attempt, Job.state.not_in(HELD)
            )
            sessions.execute_count(session, same.values(stored_bytes=each.stored_bytes))


def _record_jobs_without_files(store: Storage) -> None:
    """Record for jobs of earlier versions that they have no file; of those that have one `_tidy` has
    recorded the bytes."""
    last = ""
    while True:
        unknown = select(Job.id, Job.attempt).where(Job.stored_bytes.is_(None), Job.id > last)
        with sessions.read_session() as session:
            found = session.execute(unknown.order_by(Job.id).limit(AT_ONCE)).all()
        if not found:
            return
        _record(_Kept(row.id, row.attempt, 0) for row in found if not store.list_sizes(f"jobs/{row.id}"))
        last = found[-1].id


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
                store.delete_folder(upload.frames_folder)
                store.delete(upload.key)


def _forget_owners() -> None:
    """Forget who sent uploads that no job of theirs uses any more: they count no longer among what
    they store."""
    theirs = (
        select(JobPicture.job_id)
        .join(Job, Job.id == JobPicture.job_id)
        .where(
            JobPicture.upload_sha256 == UploadOwner.upload_sha256,
            Job.owner_id == UploadOwner.person_id,
        )
    )
    with sessions.write_session() as session:
        sent = Upload.sent_at < sessions.read_clock(session) - UNUSED_UPLOAD
        old = select(Upload.sha256).where(Upload.sha256 == UploadOwner.upload_sha256, sent)
        unused = delete(UploadOwner).where(old.exists(), ~theirs.exists())
        sessions.execute_count(session, unused)


def _match_unused(session: Session) -> tuple[Any, ...]:
    """Return the conditions of an upload not sent lately, and of no job."""
    return (
        Upload.sent_at < sessions.read_clock(session) - UNUSED_UPLOAD,
        ~select(JobPicture.job_id).where(JobPicture.upload_sha256 == Upload.sha256).exists(),
    )
