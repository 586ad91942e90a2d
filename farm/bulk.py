"""The same done to many jobs at once, and beforehand: what it would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Select, select
from sqlalchemy.orm import lazyload

from farm import db, jobs, leftovers
from farm.errors import InvalidInput, NotFound, Problem, WrongState
from farm.models import Job, State
from farm.submit import wake

Action = Literal["cancel", "retry", "delete"]
MOST = 200  # jobs at once
FROM = {  # the states in which each does something
    "cancel": frozenset({State.QUEUED, State.RUNNING}),
    "retry": frozenset({State.FAILED, State.CANCELLED}),
    "delete": frozenset(state for state in State if state.ended),
}
REFUSALS = {
    "cancel": "has already ended, or is stopping",
    "retry": "has neither failed nor been cancelled",
    "delete": "has not ended; cancel it first",
}


@dataclass(frozen=True)
class Outcome:
    """What happens, or happened, to one job. refusal: why nothing does; None: it is done."""

    job: Job
    refusal: str | None


def plan(action: Action, job_ids: Sequence[str]) -> list[Outcome]:
    """What `act` would do now, in the order that was asked for. Jobs that are gone are left out.

    Raises:
        InvalidInput: too many at once.
    """
    if len(job_ids) > MOST:
        raise InvalidInput(Problem("ids", f"are {len(job_ids)} jobs; the limit is {MOST} at once"))
    wanted = list(dict.fromkeys(job_ids))
    with db.reading() as session:
        found = {job.id: job for job in session.scalars(_rows(wanted))}
    return [_outcome(action, found[job_id]) for job_id in wanted if job_id in found]


def _rows(job_ids: Sequence[str]) -> Select[Job]:
    return select(Job).where(Job.id.in_(job_ids)).options(lazyload(Job.content), lazyload(Job.styles))


def _outcome(action: Action, job: Job) -> Outcome:
    return Outcome(job, None if job.state in FROM[action] else REFUSALS[action])


def act(action: Action, job_ids: Sequence[str]) -> list[Outcome]:
    """Do it, one job after another; whatever changed in between is told, and no error.

    Raises:
        InvalidInput: too many at once.
    """
    done = []
    for planned in plan(action, job_ids):
        try:
            if planned.refusal is None:
                _act(action, planned.job.id)
            done.append(planned)
        except WrongState:
            done.append(Outcome(planned.job, REFUSALS[action]))
        except NotFound:
            continue
    return done


def _act(action: Action, job_id: str) -> None:
    if action == "delete":
        leftovers.delete_job(job_id)
        return
    with db.writing() as session:
        job = (jobs.cancel if action == "cancel" else jobs.retry)(session, job_id)
    if action == "retry":
        wake(job)
    elif job.state.ended:
        leftovers.remove_of(job_id)
