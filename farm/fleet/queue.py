"""The queue as a whole: while an operator pauses it, workers finish what they have and take no more."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from farm.database import values
from farm.database.fleet import FarmValue
from farm.people import audit

PAUSED = "queue paused by"  # name of the value; it holds who paused it
PAUSER = select(FarmValue.value).where(FarmValue.name == PAUSED).scalar_subquery()


def pause(session: Session, person: str) -> None:
    """Let no worker take a job until `resume`; again is harmless.

    Args:
        person: name of whoever asks for it, for people and for the audit.
    """
    if not is_paused(session):
        values.write(session, PAUSED, person or audit.ANYBODY)
        audit.record(session, person, "pause queue", "queue")


def resume(session: Session, person: str) -> None:
    """Let workers take jobs again; again is harmless. Who calls it wakes them."""
    if is_paused(session):
        values.remove(session, PAUSED)
        audit.record(session, person, "resume queue", "queue")


def find_pauser(session: Session) -> str | None:
    """Return who paused the queue; None: it is not paused."""
    return values.read(session, PAUSED)


def find_pauser_for_page() -> str | None:
    """Return the same for a page that asks the database nothing else at that moment."""
    return values.read_alone(PAUSED)


def is_paused(session: Session) -> bool:
    """Check whether the queue is paused."""
    return find_pauser(session) is not None
