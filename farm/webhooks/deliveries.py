"""The rows of webhooks: deliveries that are due, claimed by one sender, and settled.

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

from farm.database import sessions, tallies
from farm.database.deliveries import Delivery, DeliveryStatus
from farm.database.films import Film
from farm.database.models import Event, Job
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
    """A delivery that one sender has claimed."""

    # Row as it was after the claim.
    delivery: Delivery
    # Job that it is about; of a film, its first part.
    job: Job
    # Film that it is about; None: a job alone.
    film: Film | None
    # Message of the event that ended the job; empty: there was none.
    message: str
    # End of the claim, in UTC, and its fence: see the top.
    until: datetime

    @property
    def url(self) -> str:
        """Address of the receiver."""
        url = self.film.webhook_url if self.film else self.job.webhook_url
        assert url, "a delivery has an address"
        return url


@dataclass(frozen=True)
class Answer:
    """Outcome of one try. Neither delivered nor final: it is tried again."""

    # Description for a person, ANSWER_LENGTH characters at most are kept.
    words: str
    # Accepted by the receiver.
    delivered: bool = False
    # Refused for good.
    final: bool = False


def has_due(session: Session) -> bool:
    """Check for a delivery to claim. Cheaper than `claim`, since it needs no lock."""
    due = select(Delivery.id).where(Delivery.due_at <= read_clock(session)).limit(1)
    return session.scalar(due) is not None


def claim(session: Session) -> Claim | None:
    """Claim a delivery that is due; None: there is none.

    One that was never tried goes first, so that a receiver that is down delays no others.
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
            film = session.get_one(Film, job.film_id, populate_existing=True) if job.film_id else None
            return Claim(delivery, job, film, _find_message(session, delivery), until)
    return None


def _find_message(session: Session, delivery: Delivery) -> str:
    """Return the message of that end from its event: the job's row may have another by now."""
    said = select(Event.message).where(
        Event.job_id == delivery.job_id,
        Event.attempt == delivery.attempt,
        Event.state == delivery.state,
    )
    return session.scalar(said.order_by(Event.id.desc()).limit(1)) or ""


def record_answer(session: Session, claim: Claim, answer: Answer) -> bool:
    """Store a try's outcome and the time of the next, if there is one. False: another sender has
    claimed the delivery."""
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
    if not sessions.execute_count(session, ours.values(**values)):
        return False
    tallies.DELIVERIES.add(session, status.value.replace(" ", "_"))
    return True


def _decide_status(answer: Answer, tries: int) -> DeliveryStatus:
    if answer.delivered:
        return DeliveryStatus.DELIVERED
    return DeliveryStatus.GIVEN_UP if answer.final or tries >= MAX_TRIES else DeliveryStatus.WAITING


def compute_wait(tries: int) -> timedelta:
    """Return the time from a try to the next, after so many tries."""
    doubled = FIRST_WAIT_SECONDS * 2 ** (tries - 1)
    shift = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return timedelta(seconds=min(doubled, LONGEST_WAIT_SECONDS) * shift)


def list_for_job(session: Session, job_id: str) -> list[Delivery]:
    """Return a job's deliveries, newest first; none where there is no such job."""
    newest = select(Delivery).where(Delivery.job_id == job_id).order_by(Delivery.id.desc())
    return list(session.scalars(newest.limit(MAX_SHOWN)))


def send_again(session: Session, job_id: str, delivery_id: int) -> Delivery:
    """Make a delivery due now, delivered or not, with its tries counted anew.

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
