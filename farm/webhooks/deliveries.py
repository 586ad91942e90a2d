"""The rows of webhooks: what is owed to whom, who sends it, and how that went.

`farm.jobs.states` writes a row together with the end of the job. A sender claims it by one
conditional UPDATE that pushes `due_at` ahead; the row count says who won. That moment is also the
fence: an answer is written only while `due_at` still is what the claim made it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Delivery, DeliveryStatus, Event, Job
from farm.database.sessions import read_clock
from farm.errors import NotFound, WrongState

CLAIM_SECONDS = 120.0  # a sender is taken for lost after it; far longer than a call may take
FIRST_WAIT_SECONDS = 10.0  # after the first try; each wait is twice the one before
LONGEST_WAIT_SECONDS = 3600.0
JITTER = (
    0.1  # a wait is up to this share shorter or longer, so that a receiver is not hit by all at once
)
MAX_TRIES = 32  # the last about 23 hours after the first
ANSWER_LENGTH = 200
MAX_SHOWN = 50


@dataclass(frozen=True)
class Claim:
    """A delivery that is one sender's until a moment, with what there is to tell."""

    delivery: Delivery
    job: Job
    message: str  # of the job's end
    until: datetime


@dataclass(frozen=True)
class Answer:
    """How a try went, for a person. Neither delivered nor final: it is tried again."""

    words: str
    delivered: bool = False
    final: bool = False


def has_due(session: Session) -> bool:
    """Whether there is something to claim. Asked first, since it needs no lock."""
    due = select(Delivery.id).where(Delivery.due_at <= read_clock(session)).limit(1)
    return session.scalar(due) is not None


def claim(session: Session) -> Claim | None:
    """A delivery that is due becomes this sender's to try; None if there is none.

    What was never tried goes first, so that a receiver that is down delays nobody else's news.
    """
    moment = read_clock(session)
    until = moment + timedelta(seconds=CLAIM_SECONDS)
    due = (
        select(Delivery.id)
        .where(Delivery.due_at <= moment)
        .order_by(Delivery.tries, Delivery.due_at, Delivery.id)
        .limit(1)
    )
    while (found := session.scalar(due)) is not None:
        taken = (
            update(Delivery)
            .where(Delivery.id == found, Delivery.due_at <= moment)
            .values(due_at=until, tries=Delivery.tries + 1, status=DeliveryStatus.SENDING)
        )
        if sessions.execute_count(session, taken):
            delivery = session.get_one(Delivery, found, populate_existing=True)
            job = session.get_one(Job, delivery.job_id, populate_existing=True)
            return Claim(delivery, job, _find_message(session, delivery), until)
    return None


def _find_message(session: Session, delivery: Delivery) -> str:
    """What was said of that end. Not what the row says now: the job may have been tried again since."""
    said = select(Event.message).where(
        Event.job_id == delivery.job_id,
        Event.attempt == delivery.attempt,
        Event.state == delivery.state,
    )
    return session.scalar(said.order_by(Event.id.desc()).limit(1)) or ""


def record_answer(session: Session, claim: Claim, answer: Answer) -> bool:
    """Write how the try went, and when the next is, if there is one. False: it is no longer this
    sender's."""
    tries = claim.delivery.tries
    moment = read_clock(session)
    status = _decide_status(answer, tries)
    ours = update(Delivery).where(Delivery.id == claim.delivery.id, Delivery.due_at == claim.until)
    values = {
        "status": status,
        "answer": answer.words[:ANSWER_LENGTH],
        "due_at": moment + compute_wait(tries) if status is DeliveryStatus.WAITING else None,
        "delivered_at": moment if answer.delivered else None,
    }
    return bool(sessions.execute_count(session, ours.values(**values)))


def _decide_status(answer: Answer, tries: int) -> DeliveryStatus:
    if answer.delivered:
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.GIVEN_UP if answer.final or tries >= MAX_TRIES else DeliveryStatus.WAITING


def compute_wait(tries: int) -> timedelta:
    """From a try to the next, after so many tries."""
    doubled = FIRST_WAIT_SECONDS * 2 ** (tries - 1)
    shift = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return timedelta(seconds=min(doubled, LONGEST_WAIT_SECONDS) * shift)


def list_for_job(session: Session, job_id: str) -> list[Delivery]:
    """A job's deliveries, newest first; none where there is no such job."""
    newest = select(Delivery).where(Delivery.job_id == job_id).order_by(Delivery.id.desc())
    return list(session.scalars(newest.limit(MAX_SHOWN)))


def send_again(session: Session, job_id: str, delivery_id: int) -> Delivery:
    """A person wants it sent now, delivered or not; its tries are counted anew.

    Raises:
        NotFound: the job has no such delivery.
        WrongState: it is being sent at this moment.
    """
    moment = read_clock(session)
    this = (Delivery.id == delivery_id, Delivery.job_id == job_id)
    at_rest = (Delivery.status != DeliveryStatus.SENDING) | (Delivery.due_at <= moment)
    values = {
        "status": DeliveryStatus.WAITING,
        "due_at": moment,
        "tries": 0,
        "answer": None,
        "delivered_at": None,
    }
    moved = sessions.execute_count(session, update(Delivery).where(*this, at_rest).values(**values))
    found = session.scalar(select(Delivery).where(*this).execution_options(populate_existing=True))
    if found is None:
        raise NotFound("This job has no such delivery.")
    if not moved:
        raise WrongState("It is being sent at this moment; look again.")
    return found
