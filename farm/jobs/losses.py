"""Attempts that broke off by no fault of their job, as when a worker was lost: the job waits again until
there were too many of a kind, and a worker that only slept has its job back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm.database.models import HELD, Attempt, Job, State
from farm.errors import AttemptLost
from farm.jobs.held import select_held
from farm.jobs.states import AttemptRef, compute_lease_end, end_attempt, move, read_state, update_attempt

# Outcomes of attempts; a job waits again until there were too many of a kind since a person last asked
# for it.
LOST = "worker lost"
OUT_OF_MEMORY = "out of memory"
DEVICE_FAILED = "device failed"
MAX_FAILURES = {LOST: 5, OUT_OF_MEMORY: 2, DEVICE_FAILED: 5}
GIVEN_UP = {
    LOST: "Given up: {most} workers were lost while rendering this job.",
    OUT_OF_MEMORY: "Given up: {most} times a worker ran out of memory. Try a smaller size.",
    DEVICE_FAILED: "Given up: {most} times a worker's GPU failed while rendering this job. The workers'"
    " logs say how.",
}
ASLEEP = "worker slept"  # of an attempt that was taken for lost and woke; it is no failure

log = structlog.get_logger()


def release_interrupted(session: Session, attempt: AttemptRef, outcome: str, message: str) -> None:
    """End an attempt that broke off by no fault of the job: requeue it, or fail it after MAX_FAILURES.

    Args:
        outcome: LOST, OUT_OF_MEMORY or DEVICE_FAILED.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    job_id = attempt.job_id
    start = read_state(session, attempt)
    if start is State.CANCELLING:
        end_attempt(session, attempt, start, State.CANCELLED, message, outcome)
        return
    alike = select(func.count()).where(
        Attempt.job_id == job_id,
        Attempt.outcome == outcome,
        Attempt.number > select(Job.retry_limit_from_attempt).where(Job.id == job_id).scalar_subquery(),
    )
    if (session.scalar(alike) or 0) + 1 < MAX_FAILURES[outcome]:
        end_attempt(session, attempt, State.RUNNING, State.QUEUED, message, outcome)
    else:
        error = GIVEN_UP[outcome].format(most=MAX_FAILURES[outcome])
        end_attempt(session, attempt, State.RUNNING, State.FAILED, error, outcome, error=error)


def reclaim(session: Session, attempt: AttemptRef) -> bool:
    """Move back to running the job of an attempt that was taken for lost, whose worker only slept.

    False: another has it by now, it has ended, or a person has asked for it anew.

    The attempt keeps its number: nobody has claimed the job since, so no other has one as new.
    """
    lost = select(Attempt.id).join(Job, Job.id == Attempt.job_id)
    lost = lost.where(
        Attempt.job_id == attempt.job_id,
        Attempt.number == attempt.number,
        Attempt.number > Job.retry_limit_from_attempt,
        Attempt.outcome == LOST,
    )
    lease, message = compute_lease_end(session), "its worker is back and goes on"
    if session.scalar(lost) is None or not move(
        session, attempt.job_id, State.QUEUED, State.RUNNING, message, attempt.number, lease_until=lease
    ):
        return False
    session.execute(update_attempt(attempt).values(finished_at=None, outcome=None))
    log.info("worker back", job=attempt.job_id, attempt=attempt.number)
    return True


def mark_asleep(session: Session, attempt: AttemptRef) -> None:
    """Change the outcome of an attempt that was taken for lost, so that it counts as no failure."""
    lost = update_attempt(attempt).where(Attempt.outcome == LOST)
    session.execute(lost.values(outcome=ASLEEP))


def list_leases(session: Session) -> dict[AttemptRef, datetime | None]:
    """Return the attempts that are under way, each with its lease, which differs after each renewal."""
    rows = session.execute(select(Job.id, Job.attempt, Job.lease_until).where(Job.state.in_(HELD)))
    return {AttemptRef(job_id, number): lease_until for job_id, number, lease_until in rows}


def requeue_lost(session: Session, attempts: Iterable[AttemptRef]) -> list[str]:
    """Release the jobs of these attempts, whose workers are lost, and return their ids."""
    return _release_lost(session, attempts, "its worker was lost")


def requeue_by_workers(session: Session, workers: Sequence[str]) -> list[str]:
    """Release the jobs of these workers, which the caller knows to be dead, and return their ids."""
    theirs = select_held(Job.id, Job.attempt).where(Attempt.worker.in_(workers))
    rows = session.execute(theirs)
    return _release_lost(session, [AttemptRef(*row) for row in rows.all()], "its worker was killed")


def _release_lost(session: Session, attempts: Iterable[AttemptRef], message: str) -> list[str]:
    moved = []
    for attempt in attempts:
        try:
            release_interrupted(session, attempt, LOST, message)
        except AttemptLost:  # somebody else was quicker
            continue
        mine = (Attempt.job_id == attempt.job_id) & (Attempt.number == attempt.number)
        worker = session.scalar(select(Attempt.worker).where(mine))
        log.warning("worker lost", job=attempt.job_id, attempt=attempt.number, worker=worker)
        moved.append(attempt.job_id)
    return moved
