"""The audit: a line for each thing that an operator does, and for each worker that takes itself out."""

from __future__ import annotations

from sqlalchemy.orm import Session

from farm.database.people import NAME_LENGTH, AuditLine
from farm.database.sessions import read_clock

COMMAND_LINE = "command line"  # whoever runs commands on a machine of the farm
NOBODY = "not signed in"  # whoever uses a farm that asks for no token
SUBJECT_LENGTH = 200  # characters


def record(session: Session, person: str, action: str, subject: str, detail: str = "") -> None:
    """Add a line.

    Args:
        person: name of whoever acts. action: such as `drain worker`.
        subject: name of a worker, id of a job, ... detail: whatever else a reader may want to know.
    """
    line = AuditLine(
        created_at=read_clock(session),
        person=person[:NAME_LENGTH],
        action=action,
        subject=subject[:SUBJECT_LENGTH],
        detail=detail,
    )
    session.add(line)
