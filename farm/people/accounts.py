"""Accounts: added, listed, changed, removed. A farm with operators never loses the last of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job
from farm.database.names import has_visible
from farm.database.people import NAME_LENGTH, Person, Role, Share
from farm.errors import InvalidInput, NotFound, Problem, WrongState
from farm.people import audit

LAST_OPERATOR = "{} is the last operator; make another person one first."


def check_name(name: str) -> str:
    """Return the name of an account or a token without needless blanks.

    Raises:
        InvalidInput: it cannot be one.
    """
    name = " ".join(name.split())
    if not (has_visible(name) and len(name) <= NAME_LENGTH and name.isprintable()):
        raise InvalidInput(Problem("name", f"must have 1 to {NAME_LENGTH} characters that can be seen"))
    return name


def add(session: Session, name: str, role: Role = Role.USER, *, by: str) -> Person:
    """Add an account.

    Args:
        by: name of who does it, for the audit.

    Raises:
        InvalidInput: the name cannot be one, or is taken.
    """
    person = Person(name=check_name(name), role=role)
    try:
        with session.begin_nested():
            session.add(person)
            session.flush()
    except IntegrityError:
        raise InvalidInput(Problem("name", f"{person.name!r} has an account already")) from None
    audit.record(session, by, "add person", person.name, role.value)
    return person


def list_all(session: Session) -> Sequence[Person]:
    """Return all accounts, by name."""
    return session.scalars(select(Person).order_by(Person.name)).all()


def get(session: Session, name: str) -> Person:
    """Return the account of this name.

    Raises:
        NotFound: there is none.
    """
    person = session.scalars(select(Person).where(Person.name == name)).first()
    if person is None:
        raise NotFound(f"Nobody called {name!r} has an account.")
    return person


def change_role(session: Session, name: str, role: Role, *, by: str) -> Person:
    """Give a person another role, which holds from their next request on.

    Raises:
        NotFound: there is no such person. WrongState: the last operator would be a user.
    """
    person = get(session, name)
    if role is Role.USER:
        _check_not_last_operator(session, person)
    person.role = role
    audit.record(session, by, "change role", person.name, role.value)
    return person


def remove(session: Session, name: str, *, by: str) -> None:
    """Remove an account with its tokens. Its jobs go on and are nobody's: operators see them.

    Raises:
        NotFound: there is no such person. WrongState: it is the last operator.
    """
    person = get(session, name)
    _check_not_last_operator(session, person)
    # Whoever gets this number next must not meet keys and seconds of who had it.
    theirs = update(Job).where(Job.idempotency_owner == key_owner(person.id))
    sessions.execute_count(session, theirs.values(idempotency_owner=None))
    sessions.execute_count(session, delete(Share).where(Share.owner_id == person.id))
    sessions.execute_count(session, delete(Person).where(Person.id == person.id))
    audit.record(session, by, "remove person", person.name)


def key_owner(person_id: int) -> str:
    """Return how the owner of a person's idempotency keys is written."""
    return f"person {person_id}"


def _check_not_last_operator(session: Session, person: Person) -> None:
    """Check it with all operators' rows locked, so that two operators cannot remove each other at once.

    Raises:
        WrongState: there is no other operator.
    """
    operators = select(Person).where(Person.role == Role.OPERATOR).order_by(Person.id)
    found = session.scalars(operators.with_for_update().execution_options(populate_existing=True)).all()
    if [each.id for each in found] == [person.id]:
        raise WrongState(LAST_OPERATOR.format(person.name))
