"""Tokens: they authenticate programs at the API, and people on the pages, where the farm requires it.

A token is 256 random bits, so its SHA-256 is kept without salt: nobody can guess it back, and one
look-up in an index finds its row.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.people import NAME_LENGTH, Person, Role, Token
from farm.errors import InvalidInput, NotFound, Problem
from farm.people.accounts import check_name

PREFIX = "farm_"  # so that a token that got somewhere it should not be is known for what it is
BYTES = 32
BROWSER = "browser "  # begins what a session of a browser is called
MAX_OWN = 100  # tokens that a person makes
OWN_PREFIX = 40  # characters of the person's name in the names of their own tokens
USE_NOTED_EVERY = timedelta(minutes=1)


def create(session: Session, name: str, person: Person | None = None) -> str:
    """Create a token under this name and return its text, which is kept nowhere.

    Args:
        person: whose it is; None: the account of the same name, an operator's if there is none yet.

    Raises:
        InvalidInput: the name cannot be one, or has a token already.
    """
    name = check_name(name)
    token = PREFIX + secrets.token_urlsafe(BYTES)
    try:
        with session.begin_nested():
            person = person or _get_or_add_operator(session, name)
            session.add(Token(name=name, person_id=person.id, sha256=compute_digest(token)))
    except IntegrityError:
        raise InvalidInput(Problem("name", f"{name!r} has a token already; revoke it first")) from None
    return token


def _get_or_add_operator(session: Session, name: str) -> Person:
    """Return the account of this name; a new one is an operator's, as a token alone opens everything."""
    person = session.scalars(select(Person).where(Person.name == name)).first()
    if person is None:
        person = Person(name=name, role=Role.OPERATOR)
        session.add(person)
        session.flush()
    return person


def create_own(session: Session, person: Person, label: str) -> tuple[str, str]:
    """Create a token that a person asks for, and return its name, which tells whose it is, and its text.

    Raises:
        InvalidInput: the name cannot be one or is taken, or there are as many as one may have.
    """
    held = select(func.count()).select_from(Token).where(Token.person_id == person.id)
    if (session.scalar(held) or 0) >= MAX_OWN:
        raise InvalidInput(Problem("name", f"is one too many: you have {MAX_OWN} tokens; revoke some"))
    prefix = build_own_name(person.name, "")
    label = check_name(label)
    if label.startswith(BROWSER):
        raise InvalidInput(Problem("name", f"begins with {BROWSER!r}, as those of browsers do"))
    if len(prefix + label) > NAME_LENGTH:
        limit = NAME_LENGTH - len(prefix)
        raise InvalidInput(Problem("name", f"has {len(label)} characters; the limit is {limit}"))
    return prefix + label, create(session, prefix + label, person)


def build_own_name(person: str, label: str) -> str:
    """Return the name of a token that a person of this name made."""
    return f"{person[:OWN_PREFIX]}/{label}"


def list_own(session: Session, person_id: int) -> Sequence[Token]:
    """Return a person's tokens, newest first."""
    theirs = select(Token).where(Token.person_id == person_id)
    return session.scalars(theirs.order_by(Token.created_at.desc(), Token.name)).all()


def revoke_own(session: Session, person_id: int, name: str) -> None:
    """Delete a person's token of this name; sessions that it opened end at once.

    Raises:
        NotFound: they have none of this name.
    """
    mine = delete(Token).where(Token.name == name, Token.person_id == person_id)
    if not sessions.execute_count(session, mine):
        raise NotFound(f"You have no token called {name!r}.")


def revoke_by_digest(session: Session, sha256: str) -> None:
    """Delete the token with this digest, if there is one."""
    sessions.execute_count(session, delete(Token).where(Token.sha256 == sha256))


def find_roles(session: Session, digests: Collection[str]) -> dict[str, Role]:
    """Return the roles of the people whose tokens have these digests; revoked ones are left out."""
    query = select(Token.sha256, Person.role).join(Person, Person.id == Token.person_id)
    rows = session.execute(query.where(Token.sha256.in_(digests)))
    return dict(rows.all())


def revoke(session: Session, name: str) -> None:
    """Delete the token of this name.

    Raises:
        NotFound: nobody of that name has one.
    """
    if not sessions.execute_count(session, delete(Token).where(Token.name == name)):
        raise NotFound(f"Nobody called {name!r} has a token.")


def list_all(session: Session) -> Sequence[Token]:
    """Return all tokens, by name."""
    return session.scalars(select(Token).order_by(Token.name)).all()


def find_by_digest(session: Session, sha256: str) -> Token | None:
    """Return the token with this digest; None: there is none, or it was revoked."""
    return session.scalars(select(Token).where(Token.sha256 == sha256)).first()


def find_with_person(session: Session, sha256: str) -> tuple[Token, Person] | None:
    """Return the same, with the person whose it is."""
    query = select(Token, Person).join(Person, Person.id == Token.person_id)
    row = session.execute(query.where(Token.sha256 == sha256)).one_or_none()
    return None if row is None else (row[0], row[1])


def note_use(token: Token) -> None:
    """Record the time of the token's last use, to the minute."""
    with sessions.read_session() as session:
        moment = sessions.read_clock(session)
    if token.used_at and moment - token.used_at < USE_NOTED_EVERY:
        return
    stale = or_(Token.used_at.is_(None), Token.used_at < moment)
    mine = update(Token).where(Token.name == token.name, stale).values(used_at=moment)
    with suppress(OperationalError), sessions.write_session() as session:  # such as a disk that is full
        sessions.execute_count(session, mine)


def compute_digest(token: str) -> str:
    """Return the SHA-256, in hex, which is all that is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
