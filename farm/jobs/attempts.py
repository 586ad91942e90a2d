"""The writes of a running attempt. Each names the attempt and is refused once that is stale. The first
one after a sleep, in which the attempt was taken for lost, takes the job back if nobody has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.films import FilmFrame
from farm.database.models import HELD, Event, Job, LogLine, LossPoint, State
from farm.errors import AttemptLost
from farm.jobs.losses import reclaim
from farm.jobs.states import AttemptRef, compute_lease_end, read_state


@dataclass(frozen=True)
class Progress:
    """The report that a worker makes about once a second."""

    # Share of the work that is done, 0..1.
    progress: float
    # Counted from 1, of so many.
    level: int
    levels: int
    # Over all levels.
    iteration: int
    iterations: int
    # Until the end.
    eta_seconds: float
    # The unweighted terms of the objective.
    content_loss: float
    style_loss: float
    tv_loss: float
    # It may well be so much more or less.
    eta_spread_seconds: float = 0.0


def report(session: Session, attempt: AttemptRef, progress: Progress) -> State:
    """Record progress and losses, and return the state, so that a worker learns of a cancellation.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    values: dict[str, Any] = {
        "progress": progress.progress,
        "level": progress.level,
        "levels": progress.levels,
        "iteration": progress.iteration,
        "iterations": progress.iterations,
        "eta_seconds": progress.eta_seconds,
        "eta_spread_seconds": progress.eta_spread_seconds,
    }
    _write(session, attempt, **values)
    session.add(
        LossPoint(
            job_id=attempt.job_id,
            attempt=attempt.number,
            level=progress.level,
            iteration=progress.iteration,
            content=progress.content_loss,
            style=progress.style_loss,
            tv=progress.tv_loss,
        )
    )
    return read_state(session, attempt)


def renew_lease(session: Session, attempt: AttemptRef) -> State:
    """Renew the lease and return the state.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, attempt, shown=False, lease_until=compute_lease_end(session))
    return read_state(session, attempt)


def add_log_lines(session: Session, attempt: AttemptRef, lines: Sequence[str]) -> None:
    """Add lines to the log on the job's page; never a traceback.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, attempt, shown=False)
    session.add_all(LogLine(job_id=attempt.job_id, attempt=attempt.number, text=line) for line in lines)


def set_features(session: Session, attempt: AttemptRef, features: str) -> None:
    """Record the network that this attempt took.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, attempt, features=features)


def record_preview(session: Session, attempt: AttemptRef, stored_bytes: int | None = None) -> None:
    """Record that a newer preview lies in storage.

    Args:
        stored_bytes: of all files of the attempt; None: as the row has it.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    size = Job.stored_bytes if stored_bytes is None else stored_bytes
    _write(session, attempt, preview_version=Job.preview_version + 1, stored_bytes=size)


def record_checkpoint(session: Session, attempt: AttemptRef, stored_bytes: int | None = None) -> None:
    """Record that this attempt's checkpoint lies in storage: the next attempt resumes from it.

    Args:
        stored_bytes: of all files of the attempt; None: as the row has it.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    size = Job.stored_bytes if stored_bytes is None else stored_bytes
    _write(session, attempt, checkpoint_attempt=attempt.number, stored_bytes=size)


def record_frame(
    session: Session, attempt: AttemptRef, film_id: str, number: int, stored_bytes: int
) -> None:
    """Record that a frame of a film lies in storage, painted by this attempt: the next one goes on after
    it. A checkpoint within it is none of the next frame's.

    Args:
        number: of the clip's frame. stored_bytes: of all files of the attempt.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(
        session,
        attempt,
        preview_version=Job.preview_version + 1,
        stored_bytes=stored_bytes,
        checkpoint_attempt=None,
    )
    frame = FilmFrame(film_id=film_id, number=number, job_id=attempt.job_id, attempt=attempt.number)
    session.merge(frame)


def note(session: Session, attempt: AttemptRef, message: str) -> None:
    """Add a line to the job's timeline.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, attempt)
    state = read_state(session, attempt)
    session.add(Event(job_id=attempt.job_id, attempt=attempt.number, state=state, message=message))


def _write(session: Session, attempt: AttemptRef, *, shown: bool = True, **values: Any) -> None:
    """Update the job's row, unless the attempt is stale.

    Args:
        shown: on pages, so that whoever watches the job reads it again.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    if shown:
        values["version"] = Job.version + 1
    mine = update(Job).where(
        Job.id == attempt.job_id,
        Job.attempt == attempt.number,
        Job.state.in_(HELD),
    )
    written = mine.values({"attempt": attempt.number} | values)
    if sessions.execute_count(session, written):
        return
    if not reclaim(session, attempt):
        raise AttemptLost()
    sessions.execute_count(session, written)
