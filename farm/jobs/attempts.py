"""What a running attempt writes. Each write names the attempt and is refused once that is stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Event, Job, LogLine, LossPoint, State
from farm.errors import AttemptLost
from farm.jobs.states import lease, state_of


@dataclass(frozen=True)
class Progress:
    """What a worker reports about once a second."""

    progress: float
    level: int
    levels: int
    iteration: int
    iterations: int
    eta_seconds: float
    content_loss: float
    style_loss: float
    tv_loss: float
    eta_spread_seconds: float = 0.0


def report(session: Session, job_id: str, attempt: int, progress: Progress) -> State:
    """Record progress and the losses; returns the state, so that a worker learns of a cancellation.

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
    _write(session, job_id, attempt, **values)
    session.add(
        LossPoint(
            job_id=job_id,
            attempt=attempt,
            level=progress.level,
            iteration=progress.iteration,
            content=progress.content_loss,
            style=progress.style_loss,
            tv=progress.tv_loss,
        )
    )
    return state_of(session, job_id)


def heartbeat(session: Session, job_id: str, attempt: int) -> State:
    """Renew the lease; returns the state.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, job_id, attempt, shown=False, lease_until=lease(session))
    return state_of(session, job_id)


def say(session: Session, job_id: str, attempt: int, lines: Sequence[str]) -> None:
    """Lines of the worker's log that tell a person how the job goes. Never a traceback.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, job_id, attempt, shown=False)
    session.add_all(LogLine(job_id=job_id, attempt=attempt, text=line) for line in lines)


def set_features(session: Session, job_id: str, attempt: int, features: str) -> None:
    """Which network this attempt took.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, job_id, attempt, features=features)


def preview_stored(session: Session, job_id: str, attempt: int) -> None:
    """A newer preview lies in storage.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, job_id, attempt, preview_version=Job.preview_version + 1)


def checkpoint_stored(session: Session, job_id: str, attempt: int) -> None:
    """From now on the job is gone on with from this attempt's checkpoint, which lies in storage.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, job_id, attempt, checkpoint_attempt=attempt)


def note(session: Session, job_id: str, attempt: int, message: str) -> None:
    """A line for the job's timeline.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, job_id, attempt)
    session.add(Event(job_id=job_id, attempt=attempt, state=state_of(session, job_id), message=message))


def _write(session: Session, job_id: str, attempt: int, *, shown: bool = True, **values: Any) -> None:
    """A running attempt's write, refused once the attempt is stale.

    shown: on pages, so that whoever watches the job looks again.
    """
    if shown:
        values["version"] = Job.version + 1
    mine = update(Job).where(
        Job.id == job_id,
        Job.attempt == attempt,
        Job.state.in_((State.RUNNING, State.CANCELLING)),
    )
    if not sessions.changed(session, mine.values({"attempt": attempt} | values)):
        raise AttemptLost()
