"""The audit: a line for each thing that an operator did, in the transaction that did it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from farm.database.people import AuditLine

COMMAND_LINE = "command line"  # who acts on the farm's own machine, without an account
ANYBODY = "anybody"  # who acts where no token is asked for
SHOWN = 200  # lines


def record(session: Session, person: str, action: str, subject: str, detail: str = "") -> None:
    """Add a line.

    Args:
        person: name of who did it; empty: anybody, where no token is asked for.
        action: such as `drain worker`. subject: a worker's name, a job's id.
    """
    session.add(AuditLine(person=person or ANYBODY, action=action, subject=subject, detail=detail))


def list_newest(session: Session, limit: int = SHOWN) -> Sequence[AuditLine]:
    """Return the latest lines, newest first."""
    newest = select(AuditLine).order_by(AuditLine.created_at.desc(), AuditLine.id.desc())
    return session.scalars(newest.limit(limit)).all()
