"""Values that all processes of a farm share, by name, in a table of two columns."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from farm.database.fleet import FarmValue
from farm.database.sessions import execute_count, read_clock, read_one
from farm.database.upserts import insert


def read(session: Session, name: str) -> str | None:
    """Return the value of this name; None: there is none."""
    return session.scalar(select(FarmValue.value).where(FarmValue.name == name))


# Asked for by each page, so built once.
VALUE = select(FarmValue.value).where(FarmValue.name == bindparam("name"))


def read_alone(name: str) -> str | None:
    """Return the same by a query without a session, for which a page need not wait as long."""
    row = read_one(VALUE, name=name)
    return None if row is None else str(row.value)


def write(session: Session, name: str, value: str) -> None:
    """Store a value under this name, instead of the one that is there."""
    row = {"name": name, "value": value, "changed_at": read_clock(session)}
    added = insert(session, FarmValue).values(row)
    session.execute(added.on_conflict_do_update(index_elements=["name"], set_=row))


def keep_first(session: Session, name: str, value: str) -> str:
    """Store a value unless there is one already; return the one that is kept, whoever was first."""
    row = {"name": name, "value": value, "changed_at": read_clock(session)}
    session.execute(
        insert(session, FarmValue).values(row).on_conflict_do_nothing(index_elements=["name"])
    )
    return session.scalars(select(FarmValue.value).where(FarmValue.name == name)).one()


def claim_turn(session: Session, name: str, every: timedelta) -> bool:
    """Book a task that one process does for all; False: one began it less than `every` ago."""
    moment = read_clock(session)
    new = insert(session, FarmValue).values(name=name, value="", changed_at=moment)
    new = new.on_conflict_do_nothing(index_elements=["name"])
    if session.scalar(new.returning(FarmValue.name)) is not None:
        return True
    due = (FarmValue.changed_at <= moment - every) | (
        FarmValue.changed_at > moment + every  # the clock was set back since
    )
    turn = update(FarmValue).where(FarmValue.name == name, due).values(changed_at=moment)
    return bool(execute_count(session, turn))


def remove(session: Session, name: str) -> None:
    """Delete the value of this name, if there is one."""
    session.execute(delete(FarmValue).where(FarmValue.name == name))
