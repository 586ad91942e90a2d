"""The queue as a whole: while an operator pauses it, workers finish what they have and take no more."""

from __future__ import annotations

from sqlalchemy.orm import Session

from farm.database import values

PAUSED = "queue paused by"  # name of the value; it holds who paused it


def pause(session: Session, by: str) -> None:
    """Let no worker take a job until `resume`.

    Args:
        by: who says so, for people.
    """
    values.write(session, PAUSED, by)


def resume(session: Session) -> None:
    """Let workers take jobs again."""
    values.remove(session, PAUSED)


def find_pauser(session: Session) -> str | None:
    """Return who paused the queue; None: it is not paused."""
    return values.read(session, PAUSED)


def is_paused(session: Session) -> bool:
    """Check whether the queue is paused."""
    return find_pauser(session) is not None
