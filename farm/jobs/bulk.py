"""The same act on many jobs: told beforehand, then done job by job, whatever changed in between."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import raiseload

from farm.database import sessions
from farm.database.models import Job, State
from farm.errors import InvalidInput, NotFound, Problem, WrongState
from farm.jobs import cleanup, states
from farm.jobs.tickets import wake

MOST = 200  # jobs at once
ID = re.compile(r"[0-9a-f]{32}")  # whatever else is asked for never reaches a query

GONE = "not there any more"
ENDED = "already ended"
STOPPING = "already stopping"
FINISHED = "already finished"
NOT_ENDED = "not ended yet"
CANCEL_FIRST = "not ended yet; cancel first"
CHANGING = "just changing; look again"


class Action(enum.StrEnum):
    """What is done to each."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"


@dataclass(frozen=True)
class Outcome:
    """What becomes, or became, of one job.

    `job`: its row, None where there is none; a deleted one's as it last was. `refusal`: why nothing is
    done to it, in words that fit one and many; None: it is done.
    """

    job_id: str
    job: Job | None
    refusal: str | None = None


def plan(action: Action, ids: Sequence[str]) -> list[Outcome]:
    """What would happen now, in this order, each job once. Changes nothing.

    Raises:
        InvalidInput: no job at all, or too many.
    """
    ids = list(dict.fromkeys(ids))
    if not 1 <= len(ids) <= MOST:
        raise InvalidInput(Problem("ids", f"names {len(ids)} jobs; 1 to {MOST} can be changed at once"))
    known = [job_id for job_id in ids if ID.fullmatch(job_id)]
    with sessions.reading() as session:
        rows = session.scalars(select(Job).where(Job.id.in_(known)).options(raiseload("*")))
        found = {job.id: job for job in rows}
    return [_judged(action, job_id, found.get(job_id)) for job_id in ids]


def carry_out(action: Action, ids: Sequence[str]) -> list[Outcome]:
    """Do it, each job in a transaction of its own; what cannot be done is told and hinders no other.

    Raises:
        InvalidInput: no job at all, or too many.
    """
    outcomes = [
        planned if planned.refusal else _done(action, planned.job_id) for planned in plan(action, ids)
    ]
    if action is Action.RETRY:
        _wake(outcome.job for outcome in outcomes if outcome.job and not outcome.refusal)
    return outcomes


def _judged(action: Action, job_id: str, job: Job | None) -> Outcome:
    return Outcome(job_id, job, GONE if job is None else _refusal(action, job.state))


def _refusal(action: Action, state: State) -> str | None:
    """Why this is not done to a job in this state; None: it is."""
    match action, state:
        case Action.CANCEL, State.CANCELLING:
            return STOPPING
        case Action.CANCEL, _:
            return ENDED if state.ended else None
        case Action.RETRY, State.SUCCEEDED:
            return FINISHED
        case Action.RETRY, _:
            return None if state.ended else NOT_ENDED
    return None if state.ended else CANCEL_FIRST


def _done(action: Action, job_id: str) -> Outcome:
    try:
        return Outcome(job_id, _ACTS[action](job_id))
    except (NotFound, WrongState):  # it has changed since it was looked at
        (now,) = plan(action, [job_id])
        return now if now.refusal else replace(now, refusal=CHANGING)


def _cancel(job_id: str) -> Job:
    with sessions.writing() as session:
        job = states.cancel(session, job_id)
    if job.state.ended:
        cleanup.remove_of(job_id)
    return job


def _retry(job_id: str) -> Job:
    with sessions.writing() as session:
        return states.retry(session, job_id)


def _delete(job_id: str) -> Job:
    with sessions.reading() as session:
        job = states.get(session, job_id)
    cleanup.delete_job(job_id)
    return job


_ACTS: dict[Action, Callable[[str], Job]] = {
    Action.CANCEL: _cancel,
    Action.RETRY: _retry,
    Action.DELETE: _delete,
}


def _wake(waiting: Iterable[Job]) -> None:
    """A ticket for each, up to the first that cannot be sent: the janitor sends the others, and a
    person need not wait for a broker that is away as often as there are jobs."""
    for job in waiting:
        if not wake(job):
            return
