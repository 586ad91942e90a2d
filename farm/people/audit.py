"""The audit: a line for each thing that an operator did, in the transaction that did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from farm.database.names import can_be_shown
from farm.database.people import AuditLine
from farm.errors import InvalidInput, Problem

COMMAND_LINE = "command line"  # who acts on the farm's own machine, without an account
ANYBODY = "anybody"  # who acts where no token is asked for
SHOWN = 200  # lines
SEARCH_LENGTH = 120  # characters


@dataclass(frozen=True)
class Lines:
    """Some lines of the audit, newest first."""

    lines: Sequence[AuditLine]
    # Number of the last of them, where older ones follow; None: there are none.
    before: int | None


def record(session: Session, person: str, action: str, subject: str, detail: str = "") -> None:
    """Add a line.

    Args:
        person: name of who did it; empty: anybody, where no token is asked for.
        action: such as `drain worker`. subject: a worker's name, a job's id.
    """
    session.add(AuditLine(person=person or ANYBODY, action=action, subject=subject, detail=detail))


def list_newest(
    session: Session, limit: int = SHOWN, *, q: str = "", before: int | None = None
) -> Lines:
    """Return the latest lines.

    Args:
        q: part of who did it, of what was done, or of what it was done to.
        before: only lines older than the one of this number.

    Raises:
        InvalidInput: the search is too long, or no text.
    """
    newest = select(AuditLine).order_by(AuditLine.id.desc()).limit(limit + 1)
    if q := _check_search(q):
        columns = (AuditLine.person, AuditLine.action, AuditLine.subject)
        newest = newest.where(or_(*(each.icontains(q, autoescape=True) for each in columns)))
    if before is not None:
        newest = newest.where(AuditLine.id < before)
    found = session.scalars(newest).all()
    return Lines(found[:limit], found[limit - 1].id if len(found) > limit else None)


def _check_search(q: str) -> str:
    q = " ".join(q.split())
    if len(q) > SEARCH_LENGTH:
        raise InvalidInput(Problem("q", f"has {len(q)} characters; the limit is {SEARCH_LENGTH}"))
    if not can_be_shown(q):
        raise InvalidInput(Problem("q", "has characters that cannot be shown"))
    return q
