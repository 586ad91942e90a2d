"""Every change of a job's state. What the pages ask about jobs is in `board.py`.

The row is the truth. A move is one conditional UPDATE that names the state (and, for a worker, the
attempt) it starts from; the row count says who won. Each move leaves an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.orm import Session

from farm.errors import AttemptLost, NotFound, WrongState
from farm.models import Attempt, Event, Job, JobStyle, LossPoint, State, Upload, WorkClass, Worker
from farm.models import now as clock
from farm.recipe import Recipe
from farm.settings import settings

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.CANCELLING, State.CANCELLED, State.QUEUED}
    ),
    State.CANCELLING: frozenset({State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
}
WORKER_LOST_CAP = 5  # attempts whose worker vanished before the job is given up

LOST = "worker lost"  # an attempt's outcome


@dataclass(frozen=True)
class Claim:
    """A job taken by a worker: its row as it was, and the attempt's number."""

    job: Job
    attempt: int


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


@dataclass(frozen=True)
class Machine:
    """What a worker tells of itself.

    device: for people. memory_bytes: all that the device has; budget_bytes: what a rendering may use
    of it. device_kind: `cpu` or `cuda`. itemsize, winograd: bytes of an activation, and whether
    convolutions go after Winograd, where a recipe leaves the precision to the device.
    """

    device: str
    memory_bytes: int
    device_kind: str
    itemsize: int
    winograd: bool
    budget_bytes: int


# Moves ------------------------------------------------------------------------------------------


def create(
    session: Session,
    *,
    name: str,
    recipe: Recipe,
    content: Upload,
    styles: Sequence[Upload],
    priority: int = 0,
) -> Job:
    """A new job, queued. Its uploads are in the session already."""
    height, width = recipe.result_size(content.height, content.width)
    job = Job(
        name=name,
        state=State.QUEUED,
        work_class=WorkClass.of(max(height, width)),
        priority=priority,
        recipe=recipe.model_dump(mode="json"),
        content=content,
        styles=[JobStyle(position=i, upload=style) for i, style in enumerate(styles)],
        width=width,
        height=height,
    )
    session.add(job)
    session.flush()
    session.add(Event(job_id=job.id, attempt=0, state=State.QUEUED, message="submitted"))
    return job


def claim(session: Session, work_class: WorkClass, worker: str) -> Claim | None:
    """The best waiting job of a class becomes running, by this worker; None if there is none.

    Best: highest priority, then oldest. Two workers may pick the same row; one UPDATE wins.
    """
    waiting = (
        select(Job.id)
        .where(Job.state == State.QUEUED, Job.work_class == work_class)
        .order_by(Job.priority.desc(), Job.created_at, Job.id)
        .limit(1)
    )
    while (job_id := session.scalar(waiting)) is not None:
        taken = _move(
            session,
            job_id,
            State.QUEUED,
            State.RUNNING,
            f"taken by {worker}",
            attempt=Job.attempt + 1,
            started_at=clock(),
            lease_until=_lease(),
            **_BLANK,
        )
        if taken:
            job = get(session, job_id)
            session.add(Attempt(job_id=job_id, number=job.attempt, worker=worker))
            return Claim(job, job.attempt)
    return None


_BLANK: dict[str, Any] = {
    "progress": 0.0,
    "level": 0,
    "levels": 0,
    "iteration": 0,
    "iterations": 0,
    "eta_seconds": None,
    "preview_version": 0,
    "features": None,
    "metrics": None,
    "error": None,
    "finished_at": None,
}


def report(session: Session, job_id: str, attempt: int, progress: Progress) -> State:
    """Record progress and the losses; returns the state, so that a worker learns of a cancellation.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    values = {
        "progress": progress.progress,
        "level": progress.level,
        "levels": progress.levels,
        "iteration": progress.iteration,
        "iterations": progress.iterations,
        "eta_seconds": progress.eta_seconds,
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
    return _state(session, job_id)


def heartbeat(session: Session, job_id: str, attempt: int) -> State:
    """Renew the lease; returns the state.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _write(session, job_id, attempt, lease_until=_lease())
    return _state(session, job_id)


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


def succeed(session: Session, job_id: str, attempt: int, metrics: dict[str, Any]) -> None:
    """The result is stored under the attempt's key. A cancellation that came too late is dropped.

    Raises:
        AttemptLost: the job is no longer this attempt's, or was cancelled.
    """
    values: dict[str, Any] = {
        "progress": 1.0,
        "eta_seconds": 0.0,
        "metrics": metrics,
        "preview_version": Job.preview_version + 1,
    }
    _end(session, job_id, attempt, State.RUNNING, State.SUCCEEDED, "finished", **values)


def fail(session: Session, job_id: str, attempt: int, message: str) -> None:
    """The attempt ended with an error, told in words for a person.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    if _state(session, job_id) is State.CANCELLING:
        stopped(session, job_id, attempt)
    else:
        _end(session, job_id, attempt, State.RUNNING, State.FAILED, message, error=message)


def stopped(session: Session, job_id: str, attempt: int) -> None:
    """The attempt noticed that a person cancelled the job, and stopped.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _end(session, job_id, attempt, State.CANCELLING, State.CANCELLED, "cancelled")


def give_back(session: Session, job_id: str, attempt: int, reason: str) -> None:
    """The worker stops before the job is done; the job waits again.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    if _state(session, job_id) is State.CANCELLING:
        stopped(session, job_id, attempt)
    else:
        _end(session, job_id, attempt, State.RUNNING, State.QUEUED, reason, ticket_at=None)


def cancel(session: Session, job_id: str) -> Job:
    """A person wants it to stop: at once if it waits, soon if it runs; again is harmless.

    Raises:
        NotFound: no such job.
        WrongState: it has already succeeded or failed.
    """
    get(session, job_id)
    waiting = _move(session, job_id, State.QUEUED, State.CANCELLED, "cancelled", finished_at=clock())
    if not waiting:
        _move(session, job_id, State.RUNNING, State.CANCELLING, "cancellation asked for")
    job = get(session, job_id)
    if job.state not in (State.CANCELLING, State.CANCELLED):
        raise WrongState(f"This job has already {job.state.value}; there is nothing to cancel.")
    return job


def retry(session: Session, job_id: str) -> Job:
    """A failed or cancelled job waits again, for a new attempt.

    Raises:
        NotFound: no such job.
        WrongState: it has neither failed nor been cancelled.
    """
    job = get(session, job_id)
    if State.QUEUED not in MOVES[job.state] or not job.state.ended:
        raise WrongState(f"This job is {job.state.value}; only a failed or cancelled one is retried.")
    values = {**_BLANK, "started_at": None, "ticket_at": None}
    if not _move(session, job_id, job.state, State.QUEUED, "retried", **values):
        raise WrongState("This job's state has just changed; look again.")
    return get(session, job_id)


def requeue_lost(session: Session) -> list[str]:
    """Attempts whose lease lapsed are lost: their jobs wait again, or fail after the cap.

    Returns the ids of the jobs that moved.
    """
    lapsed = select(Job.id, Job.attempt, Job.state).where(
        Job.state.in_((State.RUNNING, State.CANCELLING)), Job.lease_until < clock()
    )
    moved = []
    for job_id, attempt, state in session.execute(lapsed).all():
        lost = select(func.count()).where(Attempt.job_id == job_id, Attempt.outcome == LOST)
        message = "its worker was lost"
        values: dict[str, Any] = {"ticket_at": None}
        to = State.CANCELLED if state is State.CANCELLING else State.QUEUED
        if to is State.QUEUED and (session.scalar(lost) or 0) + 1 >= WORKER_LOST_CAP:
            to = State.FAILED
            message = f"Given up: {WORKER_LOST_CAP} workers were lost while rendering this job."
            values = {"error": message}
        _end(session, job_id, attempt, state, to, message, outcome=LOST, **values)
        moved.append(job_id)
    return moved


def ticket_sent(session: Session, job_id: str) -> None:
    """A ticket for this job is on the queue, so the janitor need not send one soon."""
    _rows(session, update(Job).where(Job.id == job_id).values(ticket_at=clock()))


def tickets_due(session: Session, after_seconds: float) -> list[WorkClass]:
    """One class for each waiting job that had no ticket within `after_seconds`; marks them sent."""
    due = select(Job.id, Job.work_class).where(
        Job.state == State.QUEUED,
        (Job.ticket_at.is_(None)) | (Job.ticket_at < clock() - timedelta(seconds=after_seconds)),
    )
    found = session.execute(due).all()
    if found:
        session.execute(
            update(Job).where(Job.id.in_([row.id for row in found])).values(ticket_at=clock())
        )
    return [row.work_class for row in found]


def _move(session: Session, job_id: str, start: State, to: State, message: str, **values: Any) -> bool:
    """The one statement that changes a state. Returns whether this caller won."""
    if to not in MOVES[start]:
        raise WrongState(f"A job does not go from {start.value} to {to.value}.")
    moved = update(Job).where(Job.id == job_id, Job.state == start)
    if attempt := values.pop("of_attempt", None):
        moved = moved.where(Job.attempt == attempt)
    if not _rows(session, moved.values(state=to, **values)):
        return False
    number = session.scalar(select(Job.attempt).where(Job.id == job_id))
    session.add(Event(job_id=job_id, attempt=number, state=to, message=message))
    session.flush()
    return True


def _end(
    session: Session,
    job_id: str,
    attempt: int,
    start: State,
    to: State,
    message: str,
    outcome: str | None = None,
    **values: Any,
) -> None:
    """End an attempt: the job moves, if it is still this attempt's, and the attempt is closed."""
    values["finished_at"] = clock() if to.ended else None
    values["lease_until"] = None
    if not _move(session, job_id, start, to, message, of_attempt=attempt, **values):
        raise AttemptLost()
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == job_id, Attempt.number == attempt)
        .values(finished_at=clock(), outcome=outcome or to.value)
    )


def _write(session: Session, job_id: str, attempt: int, **values: Any) -> None:
    """A running attempt's write, refused once the attempt is stale."""
    mine = update(Job).where(
        Job.id == job_id,
        Job.attempt == attempt,
        Job.state.in_((State.RUNNING, State.CANCELLING)),
    )
    if not _rows(session, mine.values(**values)):
        raise AttemptLost()


def _rows(session: Session, statement: Any) -> int:
    options = {"synchronize_session": False}
    result: CursorResult[Any] = session.execute(statement, execution_options=options)  # type: ignore[assignment]
    return result.rowcount


def _state(session: Session, job_id: str) -> State:
    return session.scalars(select(Job.state).where(Job.id == job_id)).one()


def _lease() -> datetime:
    return clock() + timedelta(seconds=settings().lease_seconds)


def get(session: Session, job_id: str) -> Job:
    """One job with its pictures, as the database has it now.

    Raises:
        NotFound: no such job.
    """
    query = select(Job).where(Job.id == job_id).execution_options(populate_existing=True)
    job = session.scalars(query).unique().one_or_none()
    if job is None:
        raise NotFound("There is no job with this id.")
    return job


def worker_seen(session: Session, name: str, machine: Machine) -> None:
    """A worker says that it is there."""
    session.merge(Worker(name=name, seen_at=clock(), **asdict(machine)))


def worker_measured(session: Session, name: str, seconds_per_megapixel: float) -> None:
    """How long one iteration took; the mean with what was known before, so that one slow hour fades."""
    known = Worker.seconds_per_megapixel
    smoothed = func.coalesce((known + seconds_per_megapixel) / 2, seconds_per_megapixel)
    _rows(session, update(Worker).where(Worker.name == name).values(seconds_per_megapixel=smoothed))
