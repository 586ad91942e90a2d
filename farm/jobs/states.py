"""Changes of a job's state. Those of attempts that broke off are in `losses.py`, the writes of a running
attempt in `attempts.py`, other changes of its row in `job_rows.py`, queries about it in `details.py`.

The row is the truth. A move is one conditional UPDATE that names the state (and, for a worker, the
attempt) it starts from; the row count says who won. Each move leaves an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Update, and_, bindparam, case, insert, select, update
from sqlalchemy.orm import Session, lazyload
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.sql.dml import ReturningUpdate

from farm.database import sessions, tallies
from farm.database.deliveries import Delivery
from farm.database.models import Attempt, Event, Job, JobPicture, State, WorkClass
from farm.database.sessions import read_clock
from farm.errors import AttemptLost, NotFound, WrongState
from farm.jobs import shares
from farm.jobs.held import select_held
from farm.people.visitors import NO_JOB
from farm.settings import settings

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.CANCELLING, State.CANCELLED, State.QUEUED}
    ),
    State.CANCELLING: frozenset({State.CANCELLED}),
    State.SUCCEEDED: frozenset({State.QUEUED}),  # parts of films alone, see `reopen`
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
}

ASIDE = "stepped aside"  # outcome of an attempt that made way for drafts; counts as no failure
# Beside the session: no object is made of the row, and its id is not asked for.
INSERT_EVENT, INSERT_ATTEMPT = insert(Event).inline(), insert(Attempt).inline()
PICTURES = select(JobPicture).where(JobPicture.job_id == bindparam("job"))
PICTURES = PICTURES.order_by(JobPicture.role, JobPicture.position)
MOVED = (Job.id, Job.attempt, Job.owner_id, Job.work_class, Job.webhook_url)  # what a move returns
BROKE = "renderer broke"  # which fails the job, though it may be the worker's fault


@dataclass(frozen=True)
class AttemptRef:
    """An attempt at a job. Every write of a worker names one, and is refused once another has begun."""

    job_id: str
    # Counted from 1; `Job.attempt` has the newest.
    number: int


@dataclass(frozen=True)
class Claim:
    """A job taken by a worker."""

    # Its row as it was then.
    job: Job
    # The attempt that the worker makes.
    attempt: AttemptRef


# Moves ------------------------------------------------------------------------------------------


def build_take(first: Select[str]) -> ReturningUpdate[Job]:
    """Return the statement of `take`, which also takes the parameters of `first`.

    Args:
        first: finds the id of a waiting job and locks its row.
    """
    values = {
        "attempt": Job.attempt + 1,
        "started_at": bindparam("taken_at"),
        "lease_until": bindparam("leased_until"),
        **_BLANK,
        **_PROGRESS_KEPT,
    }
    which = Job.id == first.scalar_subquery()
    taken = _update_state(which, State.QUEUED, State.RUNNING, values).returning(Job)
    return taken.options(lazyload(Job.pictures))


def take(
    session: Session, statement: ReturningUpdate[Job], given: Mapping[str, Any], worker: str
) -> Claim | None:
    """Move a waiting job to running, by this worker; None: there is none.

    Args:
        statement: of `build_take`. given: parameters of the query in it.
    """
    moment = read_clock(session)
    moments = {"taken_at": moment, "leased_until": compute_lease_end(session, moment)}
    options = {"synchronize_session": False, "populate_existing": True}
    job = session.scalars(statement, {**given, **moments}, execution_options=options).one_or_none()
    if job is None:
        return None
    set_committed_value(job, "pictures", list(session.scalars(PICTURES, {"job": job.id})))
    _add_event(session, job.id, job.attempt, State.RUNNING, f"taken by {worker}")
    begun = {"job_id": job.id, "number": job.attempt, "worker": worker}
    sessions.execute_core(session, INSERT_ATTEMPT, begun)
    if job.attempt == 1:
        waited = (moment - job.created_at).total_seconds()
        tallies.QUEUE_WAIT.observe(session, waited, job.work_class)
    return Claim(job, AttemptRef(job.id, job.attempt))


def find_claim(session: Session, worker: str) -> Claim | None:
    """Return the newest claim of this worker that still holds; None: it has none."""
    mine = select_held(Attempt).where(Attempt.worker == worker)
    attempt = session.scalar(mine.order_by(Attempt.id.desc()).limit(1))
    if attempt is None:
        return None
    return Claim(get(session, attempt.job_id), AttemptRef(attempt.job_id, attempt.number))


_BLANK: dict[str, Any] = {
    "eta_seconds": None,
    "eta_spread_seconds": None,
    "preview_version": 0,
    "features": None,
    "metrics": None,
    "error": None,
    "finished_at": None,
}
_NO_PROGRESS = {"progress": 0.0, "level": 0, "levels": 0, "iteration": 0, "iterations": 0}
_PROGRESS_KEPT = {  # where there is a checkpoint to resume from
    name: case((Job.checkpoint_attempt.is_(None), none), else_=getattr(Job, name))
    for name, none in _NO_PROGRESS.items()
}


def succeed(
    session: Session, attempt: AttemptRef, metrics: dict[str, Any], stored_bytes: int | None = None
) -> None:
    """Move to succeeded; the result lies in storage under the attempt's key.

    Args:
        stored_bytes: of the result, its preview and view; None: as the row has it.

    Raises:
        AttemptLost: the job is no longer this attempt's, or was cancelled.
    """
    values: dict[str, Any] = {
        "progress": 1.0,
        "eta_seconds": 0.0,
        "metrics": metrics,
        "preview_version": Job.preview_version + 1,
        "stored_bytes": Job.stored_bytes if stored_bytes is None else stored_bytes,
    }
    end_attempt(session, attempt, State.RUNNING, State.SUCCEEDED, "finished", **values)


def fail(session: Session, attempt: AttemptRef, message: str, outcome: str | None = None) -> None:
    """Move to failed, or to cancelled if a person asked for that.

    Args:
        message: the error, for a person. outcome: of the attempt; None: failed.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    if read_state(session, attempt) is State.CANCELLING:
        confirm_cancelled(session, attempt)
    else:
        end_attempt(session, attempt, State.RUNNING, State.FAILED, message, outcome, error=message)


def confirm_cancelled(session: Session, attempt: AttemptRef) -> None:
    """Move from cancelling to cancelled: the attempt has stopped.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    end_attempt(session, attempt, State.CANCELLING, State.CANCELLED, "cancelled")


def requeue(session: Session, attempt: AttemptRef, reason: str) -> None:
    """Move back to queued, or to cancelled if a person asked for that: the worker stops beforehand.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    if read_state(session, attempt) is State.CANCELLING:
        confirm_cancelled(session, attempt)
    else:
        end_attempt(session, attempt, State.RUNNING, State.QUEUED, reason)


def step_aside(session: Session, attempt: AttemptRef) -> None:
    """Move back to queued, so that drafts have the worker first.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    moment = read_clock(session)
    message = "stepped aside for drafts, and goes on after them"
    end_attempt(session, attempt, State.RUNNING, State.QUEUED, message, ASIDE, aside_at=moment)


def cancel(session: Session, job_id: str) -> Job:
    """Move to cancelled if it waits, to cancelling if it runs; again is harmless.

    Raises:
        NotFound: no such job.
        WrongState: it has already succeeded or failed.
    """
    get(session, job_id)
    waiting = move(session, job_id, State.QUEUED, State.CANCELLED, "cancelled")
    if not waiting:
        move(session, job_id, State.RUNNING, State.CANCELLING, "cancellation asked for")
    job = get(session, job_id)
    if job.state not in (State.CANCELLING, State.CANCELLED):
        raise WrongState(f"This job has already {job.state.value}; there is nothing to cancel.")
    return job


def retry(session: Session, job_id: str) -> Job:
    """Move a failed or cancelled job back to queued, for a new attempt.

    Raises:
        NotFound: no such job.
        WrongState: it has neither failed nor been cancelled.
    """
    job = get(session, job_id)
    if job.state not in (State.FAILED, State.CANCELLED):
        raise WrongState(f"This job is {job.state.value}; only a failed or cancelled one is retried.")
    return _queue_again(session, job, "retried")


def reopen(session: Session, job_id: str) -> Job:
    """Move a succeeded part of a film back to queued: frames that it painted are gone.

    Raises:
        NotFound: no such job. WrongState: it has not succeeded.
    """
    job = get(session, job_id)
    if job.state is not State.SUCCEEDED:
        raise WrongState(f"This part is {job.state.value}; only a finished one is painted again.")
    return _queue_again(session, job, "retried, as frames of it are gone")


def _queue_again(session: Session, job: Job, message: str) -> Job:
    values = {**_BLANK, **_NO_PROGRESS, "started_at": None, "retry_limit_from_attempt": Job.attempt}
    if not move(session, job.id, job.state, State.QUEUED, message, **values):
        raise WrongState("This job's state has just changed; look again.")
    tallies.RETRIES.add(session)
    return get(session, job.id)


def move(
    session: Session,
    job_id: str,
    start: State,
    to: State,
    message: str,
    of_attempt: int | None = None,
    **values: Any,
) -> bool:
    """Change the state by the one statement that does; returns whether this caller won.

    Args:
        of_attempt: that the job has to be at; None: any.

    Raises:
        WrongState: no job goes from `start` to `to`.
    """
    which = Job.id == job_id if of_attempt is None else is_at_attempt(AttemptRef(job_id, of_attempt))
    return _move(session, which, start, to, message, values) is not None


def _move(
    session: Session,
    which: ColumnElement[bool],
    start: State,
    to: State,
    message: str,
    values: dict[str, Any],
) -> Row[str, int, int | None, WorkClass, str | None] | None:
    """Change the state of a job, with all that belongs to it; None: this caller did not win."""
    if to.ended:
        values |= {"finished_at": read_clock(session), "checkpoint_attempt": None}
    moved = _update_state(which, start, to, values).returning(*MOVED)
    options = {"synchronize_session": False}
    row = session.execute(moved, execution_options=options).one_or_none()
    if row is None:
        return None
    _add_event(session, row.id, row.attempt, to, message)
    if to.ended:
        tallies.JOBS_ENDED.add(session, to, row.work_class)
    if to.ended and row.webhook_url:  # in the same transaction, so that no webhook is lost
        moment = read_clock(session)
        delivery = Delivery(
            job_id=row.id, attempt=row.attempt, state=to, created_at=moment, due_at=moment
        )
        session.add(delivery)
    session.flush()
    return row


def _add_event(session: Session, job_id: str, attempt: int, state: State, message: str) -> None:
    event = {"job_id": job_id, "attempt": attempt, "state": state, "message": message}
    sessions.execute_core(session, INSERT_EVENT, event)


def _update_state(which: ColumnElement[bool], start: State, to: State, values: dict[str, Any]) -> Update:
    """Return the statement that changes the state.

    Raises:
        WrongState: no job goes from `start` to `to`.
    """
    if to not in MOVES[start]:
        raise WrongState(f"A job does not go from {start.value} to {to.value}.")
    if to is State.QUEUED:
        values |= {"ticket_at": None, "eta_seconds": None, "eta_spread_seconds": None}
    return (
        update(Job).where(which, Job.state == start).values(state=to, version=Job.version + 1, **values)
    )


def end_attempt(
    session: Session,
    attempt: AttemptRef,
    start: State,
    to: State,
    message: str,
    outcome: str | None = None,
    **values: Any,
) -> None:
    """End an attempt: the job moves, if it is still this attempt's, and the attempt is closed."""
    values["lease_until"] = None
    job = _move(session, is_at_attempt(attempt), start, to, message, values)
    if job is None:
        raise AttemptLost()
    moment = read_clock(session)
    ended = update_attempt(attempt).values(finished_at=moment, outcome=outcome or to.value)
    started = session.scalars(ended.returning(Attempt.started_at)).one()
    seconds = (moment - started).total_seconds()
    shares.add_use(session, job.owner_id, seconds)
    tallies.RENDER.observe(session, seconds, job.work_class)
    tallies.ATTEMPTS_ENDED.add(session, (outcome or to.value).replace(" ", "_"))


def is_at_attempt(attempt: AttemptRef) -> ColumnElement[bool]:
    """Return the condition that a job is this attempt's."""
    return and_(Job.id == attempt.job_id, Job.attempt == attempt.number)


def update_attempt(attempt: AttemptRef) -> Update:
    return update(Attempt).where(Attempt.job_id == attempt.job_id, Attempt.number == attempt.number)


def read_state(session: Session, attempt: AttemptRef) -> State:
    """Return the state of the attempt's job as the database has it now.

    Raises:
        AttemptLost: there is no such job any more.
    """
    state = session.scalar(select(Job.state).where(Job.id == attempt.job_id))
    if state is None:
        raise AttemptLost()
    return state


def compute_lease_end(session: Session, moment: datetime | None = None) -> datetime:
    """Return the lease that a worker gets now. No clock is compared with it: the janitor watches that it
    changes (`list_leases`).

    Args:
        moment: what the clock says; None: it is read.
    """
    return (moment or read_clock(session)) + timedelta(seconds=settings().lease_seconds)


def check_has_picture(job: Job, purpose: str) -> None:
    """Check that a job has a finished picture.

    Args:
        purpose: what it is wanted for, for a person, such as "rate".

    Raises:
        WrongState: it has not succeeded.
    """
    if job.state is not State.SUCCEEDED:
        raise WrongState(f"This job is {job.state.value}; there is no picture to {purpose}.")


def get(session: Session, job_id: str, *, bare: bool = False) -> Job:
    """Return one job as the database has it now.

    Args:
        bare: without its pictures, which are loaded when they are asked for, as long as the session is
            open.

    Raises:
        NotFound: no such job.
    """
    query = select(Job).where(Job.id == job_id).execution_options(populate_existing=True)
    if bare:
        query = query.options(lazyload(Job.pictures))
    job = session.scalars(query).unique().one_or_none()
    if job is None:
        raise NotFound(NO_JOB)
    return job
