"""The same action on many jobs: planned first, then carried out job by job, whatever has changed."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import raiseload

from farm.database import sessions
from farm.database.models import Job, State
from farm.errors import InvalidInput, NoRoom, NotFound, Problem, QuotaReached, WrongState
from farm.jobs import actions
from farm.jobs.tickets import TicketBatch
from farm.people.visitors import ANYBODY, Visitor

MAX_JOBS = 1000  # jobs at once
ID = re.compile(r"[0-9a-f]{32}")  # whatever else is asked for never reaches a query

GONE = "not there any more"
ENDED = "already ended"
STOPPING = "already stopping"
FINISHED = "already finished"
NOT_ENDED = "not ended yet"
CANCEL_FIRST = "not ended yet; cancel first"
QUOTA = "as many wait as its owner's quota lets"
CHANGING = "just changing; look again"
NO_ROOM = "held back, as the farm's disk is nearly full"


class Action(enum.StrEnum):
    """The action on each job."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"


@dataclass(frozen=True)
class Outcome:
    """The result of the action on one job, planned or carried out."""

    job_id: str
    # Its row; None where there is none; a deleted one's as it last was.
    job: Job | None
    # The reason why nothing is done to it, in words that fit one and many; None: it is done.
    refusal: str | None = None


def plan(action: Action, ids: Sequence[str], visitor: Visitor = ANYBODY) -> list[Outcome]:
    """Return the outcomes that the action would have now, in this order, each job once. What the visitor
    may not see is not there.

    Raises:
        InvalidInput: no job at all, or too many.
    """
    ids = list(dict.fromkeys(ids))
    if not 1 <= len(ids) <= MAX_JOBS:
        raise InvalidInput(
            Problem("ids", f"names {len(ids)} jobs; 1 to {MAX_JOBS} can be changed at once")
        )
    known = [job_id for job_id in ids if ID.fullmatch(job_id)]
    with sessions.read_session() as session:
        seen = select(Job).where(Job.id.in_(known), visitor.match_visible(Job.owner_id))
        rows = session.scalars(seen.options(raiseload("*")))
        found = {job.id: job for job in rows}
    return [_plan_one(action, job_id, found.get(job_id)) for job_id in ids]


def carry_out(action: Action, ids: Sequence[str], visitor: Visitor = ANYBODY) -> list[Outcome]:
    """Carry out the action, each job in a transaction of its own; a refusal hinders no other.

    Raises:
        InvalidInput: no job at all, or too many.
    """
    act = _choose_action(action)
    return [
        planned if planned.refusal else _carry_out_one(action, act, planned)
        for planned in plan(action, ids, visitor)
    ]


def _choose_action(action: Action) -> Callable[[str], Job]:
    match action:
        case Action.CANCEL:
            return actions.cancel
        case Action.RETRY:
            return partial(actions.retry, send=TicketBatch().send)
        case Action.DELETE:
            return actions.delete


def _plan_one(action: Action, job_id: str, job: Job | None) -> Outcome:
    return Outcome(job_id, job, GONE if job is None else _explain_refusal(action, job.state))


def _explain_refusal(action: Action, state: State) -> str | None:
    """Return the reason why this is not done to a job in this state; None: it is."""
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


def _carry_out_one(action: Action, act: Callable[[str], Job], planned: Outcome) -> Outcome:
    try:
        return Outcome(planned.job_id, act(planned.job_id))
    except (NotFound, WrongState):  # it has changed since it was looked at
        (now,) = plan(action, [planned.job_id])
        return now if now.refusal else replace(now, refusal=CHANGING)
    except NoRoom:
        return replace(planned, refusal=NO_ROOM)
    except QuotaReached:
        return replace(planned, refusal=QUOTA)
