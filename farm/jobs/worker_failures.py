"""Failures of workers: jobs that broke off by no fault of theirs, and when a worker is sick for that."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.models import Attempt
from farm.errors import WrongState
from farm.fleet import operations
from farm.jobs.losses import DEVICE_FAILED, OUT_OF_MEMORY
from farm.jobs.states import BROKE, AttemptRef

WORKERS_OWN = (OUT_OF_MEMORY, DEVICE_FAILED, BROKE)  # outcomes that say nothing against the job
MAX_IN_ROW = 3  # of different jobs; then the worker is sick
LOOK_BACK = 20  # attempts of a worker


def count(session: Session, attempt: AttemptRef, reason: str) -> None:
    """Count the failure of the worker that made an attempt, and mark it sick if it is one too many.

    One job that fails again and again counts once.

    Args:
        reason: for a person, such as `it ran out of memory`.
    """
    mine = (Attempt.job_id == attempt.job_id) & (Attempt.number == attempt.number)
    name = session.scalar(select(Attempt.worker).where(mine))
    worker = session.get(Worker, name, populate_existing=True) if name else None
    if worker is None or _failed_with(session, worker, attempt):
        return
    failures = worker.failures_in_row + 1
    changed = update(Worker).where(Worker.name == worker.name).values(failures_in_row=failures)
    sessions.execute_count(session, changed)
    if failures >= MAX_IN_ROW and worker.state is not WorkerState.DRAINING:  # which ends anyway
        why = f"{failures} different jobs in a row failed on it; the last time {reason}"
        with suppress(WrongState):  # an operator was quicker; the next failure is counted, too
            operations.mark_sick(session, worker.name, f"{why} (job {attempt.job_id}, see its log)")


def _failed_with(session: Session, worker: Worker, attempt: AttemptRef) -> bool:
    """Check whether this attempt's job is among those whose failures were counted already."""
    if not worker.failures_in_row:
        return False
    earlier = (
        select(Attempt.job_id)
        .where(
            Attempt.worker == worker.name,
            Attempt.outcome.in_(WORKERS_OWN),
            (Attempt.job_id != attempt.job_id) | (Attempt.number != attempt.number),
        )
        .order_by(Attempt.id.desc())
        .limit(LOOK_BACK)
    )
    counted = list(dict.fromkeys(session.scalars(earlier)))[: worker.failures_in_row]
    return attempt.job_id in counted


def reset(session: Session, worker: str) -> None:
    """Begin the count of a worker anew: it finished a job."""
    mine = update(Worker).where(Worker.name == worker, Worker.failures_in_row > 0)
    sessions.execute_count(session, mine.values(failures_in_row=0))
