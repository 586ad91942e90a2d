"""Visitors: who asks, and which jobs they may see. Every way to a job passes through here.

A user sees and changes their own; operators, and everybody where all is common, see and change all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, true

from farm.database import sessions
from farm.database.films import Film
from farm.database.models import Exploration, Job
from farm.database.people import Person, Role, Token
from farm.errors import NotFound
from farm.settings import settings

NO_JOB = "There is no job with this id; perhaps it was deleted."
NO_EXPLORATION = "There is no exploration with this id; perhaps it was deleted."
NO_FILM = "There is no film with this id; perhaps it was deleted."


@dataclass(frozen=True)
class Visitor:
    """Whoever asks: a person with an account, or anybody where the farm asks for no token."""

    # None: anybody, whose jobs are nobody's.
    person_id: int | None
    name: str
    role: Role
    # Digest of the token that was shown; None: none was asked for.
    token_sha256: str | None = None

    @classmethod
    def from_rows(cls, token: Token, person: Person) -> Visitor:
        """Return the visitor who showed a token of this person's."""
        return cls(person.id, person.name, person.role, token.sha256)

    @property
    def is_operator(self) -> bool:
        """True for whoever runs the farm."""
        return self.role is Role.OPERATOR

    @property
    def limited_to(self) -> int | None:
        """The person whose jobs alone this visitor sees; None: they see all."""
        return None if self.is_operator or settings().shared else self.person_id

    def may_see(self, owner_id: int | None) -> bool:
        """Check whether this visitor sees what belongs to a person, or to nobody."""
        return self.limited_to is None or owner_id == self.limited_to

    def match_visible(self, owner_id: Any) -> ColumnElement[bool]:
        """Return the condition that a row with this column of owners is seen."""
        return true() if self.limited_to is None else owner_id == self.limited_to


ANYBODY = Visitor(None, "", Role.OPERATOR)  # where no token is asked for: one person on a laptop


def check_job(visitor: Visitor, job_id: str) -> None:
    """Check that a job, if there is one of this id, is not hidden from a visitor.

    Raises:
        NotFound: it is another person's.
    """
    _check_owner(visitor, Job, job_id, NO_JOB)


def check_exploration(visitor: Visitor, exploration_id: str) -> None:
    """Check the same of an exploration.

    Raises:
        NotFound: it is another person's.
    """
    _check_owner(visitor, Exploration, exploration_id, NO_EXPLORATION)


def check_film(visitor: Visitor, film_id: str) -> None:
    """Check the same of a film.

    Raises:
        NotFound: it is another person's.
    """
    _check_owner(visitor, Film, film_id, NO_FILM)


def _check_owner(
    visitor: Visitor, kind: type[Job | Exploration | Film], row_id: str, refusal: str
) -> None:
    if visitor.limited_to is None:
        return
    row = sessions.read_one(select(kind.owner_id).where(kind.id == row_id))
    if row is not None and not visitor.may_see(row.owner_id):
        raise NotFound(refusal)
