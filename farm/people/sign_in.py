"""Links that sign a person in once, and the sessions of browsers.

A session of a browser is a token that nobody is shown: it is listed and revoked like any other, which
ends the session at once. Of a link only its digest is kept.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.people import Person, Role, SignInLink, Token
from farm.database.sessions import read_clock
from farm.people import accounts, audit, tokens

LINK_GOOD_FOR = timedelta(hours=24)
SESSION_GOOD_FOR = timedelta(days=30)  # since its last use; then its token is deleted
SECRET_BYTES = 32
FIRST_OPERATOR = "operator"  # name of the account that a new farm makes


def make_link(session: Session, name: str, by: str) -> str:
    """Return the secret of a new link for a person, good once and for LINK_GOOD_FOR.

    Raises:
        NotFound: there is no such person.
    """
    person = accounts.get(session, name)
    moment = read_clock(session)
    sessions.execute_count(session, delete(SignInLink).where(SignInLink.ends_at <= moment))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    link = SignInLink(
        sha256=tokens.compute_digest(secret), person_id=person.id, ends_at=moment + LINK_GOOD_FOR
    )
    session.add(link)
    audit.record(session, by, "make sign-in link", person.name)
    return secret


def build_url(base: str, secret: str) -> str:
    """Return the address of a link.

    Args:
        base: address under which the farm is reached, without a slash at its end.
    """
    return f"{base}/sign-in?link={secret}"


def find_person(session: Session, secret: str) -> Person | None:
    """Return the person whom a link would sign in; None: it was used or has ended, or there was none."""
    sha256, moment = tokens.compute_digest(secret), read_clock(session)
    query = select(Person).join(SignInLink, SignInLink.person_id == Person.id)
    good = query.where(SignInLink.sha256 == sha256, SignInLink.ends_at > moment)
    return session.scalars(good).one_or_none()


def use_link(session: Session, secret: str) -> str | None:
    """Use a link up and return the digest of the session's token that it opens; None: it is not good."""
    person = find_person(session, secret)
    used = delete(SignInLink).where(SignInLink.sha256 == tokens.compute_digest(secret))
    if person is None or not sessions.execute_count(session, used):
        return None
    return _start_session(session, person)


def _start_session(session: Session, person: Person) -> str:
    """Add the token of a browser's session, and delete those that ended; return its digest."""
    moment = read_clock(session)
    prefix = tokens.build_own_name(person.name, tokens.BROWSER)
    stale = func.coalesce(Token.used_at, Token.created_at) < moment - SESSION_GOOD_FOR
    theirs = (Token.person_id == person.id) & Token.name.startswith(prefix, autoescape=True)
    sessions.execute_count(session, delete(Token).where(theirs, stale))
    name = f"{prefix}{_describe_moment(moment)} {secrets.token_hex(2)}"
    return tokens.compute_digest(tokens.create(session, name, person))


def _describe_moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def make_first_link() -> str | None:
    """Return the secret of a link for an operator, while nobody has a token of this farm; else None.

    A farm without accounts gets one for its operator first.
    """
    with sessions.write_session() as session:
        if session.scalar(select(Token.name).limit(1)) is not None:
            return None
        operators = select(Person).where(Person.role == Role.OPERATOR).order_by(Person.id)
        found = session.scalars(operators.limit(1)).first()
        name = found.name if found else _add_first_operator(session)
        return make_link(session, name, audit.COMMAND_LINE)


def _add_first_operator(session: Session) -> str:
    """Add an operator's account, unless another process does at this moment; return its name."""
    try:
        with session.begin_nested():
            session.add(Person(name=FIRST_OPERATOR, role=Role.OPERATOR))
            session.flush()
    except IntegrityError:
        person = accounts.get(session, FIRST_OPERATOR)
        person.role = Role.OPERATOR
    return FIRST_OPERATOR
