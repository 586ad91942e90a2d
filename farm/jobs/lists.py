"""Lists of jobs: of one state, searched by name, sorted, page by page forth and back.

A page is found in an index alone, then its rows are fetched; counts come from an index too. So a list
stays quick among 100,000 jobs (`benchmarks/lists.py`). Jobs of an exploration or a film are in no list;
`farm/films/lists.py` puts films themselves among the jobs.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import Session, raiseload

from farm.database.films import Film
from farm.database.models import HIDDEN, Job, State
from farm.database.names import FOLDED_LENGTH, can_be_shown, fold
from farm.errors import InvalidInput, Problem

PAGE = 50  # jobs in one list
SEARCH_LENGTH = 120  # characters
HIDDEN_COLUMNS = tuple(getattr(Job, name) for name in HIDDEN)
CURSOR_LENGTH = 2000  # characters; a cursor holds a name


class Listed(Protocol):
    """Row of a list: a job or a film."""

    @property
    def id(self) -> str:
        """Decides between equals."""


Row = TypeVar("Row", bound=Listed)


class Sort(enum.StrEnum):
    """The order of a list."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"  # without regard to capitals and accents

    @property
    def column(self) -> str:
        """Name of the column to sort by; ids decide between equals."""
        return "name_folded" if self is Sort.NAME else "created_at"


@dataclass(frozen=True)
class ListQuery:
    """A question for a list.

    Raises:
        InvalidInput: the search is too long, or no text.
    """

    state: State | None = None
    # Part of a name.
    q: str = ""
    sort: Sort = Sort.NEWEST
    # The person whose jobs alone are listed; None: everybody's.
    owner_id: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "q", " ".join(self.q.split()))
        if len(self.q) > SEARCH_LENGTH:
            message = f"has {len(self.q)} characters; the limit is {SEARCH_LENGTH}"
            raise InvalidInput(Problem("q", message))
        if not can_be_shown(self.q):
            raise InvalidInput(Problem("q", "has characters that cannot be shown"))

    @property
    def mark(self) -> str:
        """A digest that a cursor carries, since it is good for the same question alone."""
        text = f"{self.sort} {self.state} {fold(self.q)}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Page:
    """Some jobs of a list, without their pictures' rows, and what asks for those after and before."""

    jobs: list[Job]
    next_cursor: str | None  # None at the end
    previous_cursor: str | None  # None at the beginning


def page(session: Session, asked: ListQuery, *, cursor: str | None = None, limit: int = PAGE) -> Page:
    """Return the first page, or the one that a cursor asks for.

    Raises:
        InvalidInput: the cursor is not one of ours, or of another list.
    """
    start = Place.read(cursor, asked) if cursor else None
    backward = start is not None and start.backward
    ids = _select_ids(asked, start).limit(limit + 1)
    rows = select(Job).where(Job.id.in_(ids)).order_by(*_sort_columns(Job, asked.sort, backward))
    found = list(session.scalars(rows.options(raiseload("*"))))
    return Page(*cut(found, asked, start, limit))


def cut(
    found: list[Row], asked: ListQuery, start: Place | None, limit: int
) -> tuple[list[Row], str | None, str | None]:
    """Return the rows of a page as they are shown, and the cursors of the next and the previous one.

    Args:
        found: from the place on in the order in which they were asked for, one more than the page has
            if there are more.
    """
    backward = start is not None and start.backward
    more = len(found) > limit
    shown = found[:limit][::-1] if backward else found[:limit]
    if not shown:
        return [], None, None
    after, before = (True, more) if backward else (more, start is not None)
    return (
        shown,
        Place.from_row(shown[-1], asked, backward=False).write(asked) if after else None,
        Place.from_row(shown[0], asked, backward=True).write(asked) if before else None,
    )


def list_ids(session: Session, asked: ListQuery, limit: int) -> list[str]:
    """Return the ids of all jobs of a list, the first of them at most."""
    return list(session.scalars(_select_ids(asked, None).limit(limit)))


def count_by_state(session: Session, q: str = "", owner_id: int | None = None) -> dict[State, int]:
    """Count the jobs of the list in each state, of those whose name has `q` in it."""
    asked = ListQuery(q=q, owner_id=owner_id)
    query = select(Job.state, func.count()).where(*filter_listed(asked)).group_by(Job.state)
    found: dict[State, int] = dict(session.execute(query).all())
    return {state: found.get(state, 0) for state in State}


def _select_ids(asked: ListQuery, start: Place | None) -> Select[Any]:
    """Select the ids of the jobs from a place on, as an index has them."""
    query = select(Job.id).where(*filter_listed(asked))
    # PostgreSQL reads an index in order only if its first columns are named, though null in all.
    return order_from(query, Job, asked, start, *HIDDEN_COLUMNS)


def order_from(
    query: Select[Any], kind: type[Job | Film], asked: ListQuery, start: Place | None, *before: Any
) -> Select[Any]:
    """Order a query of such rows as a list has them, from a place on.

    Args:
        before: columns that the index has before those of the sort.
    """
    backward = start is not None and start.backward
    if start is not None:
        column = getattr(kind, asked.sort.column)
        here, there = tuple_(column, kind.id), tuple_(literal(start.value, column.type), start.row_id)
        query = query.where(here < there if is_descending(asked.sort, backward) else here > there)
    return query.order_by(*_sort_columns(kind, asked.sort, backward, *before))


def filter_listed(asked: ListQuery) -> list[ColumnElement[bool]]:
    """Return the conditions of the jobs in a list."""
    conditions: list[ColumnElement[bool]] = [each.is_(None) for each in HIDDEN_COLUMNS]
    if asked.state is not None:
        conditions.append(Job.state == asked.state)
    return conditions + filter_named(asked, Job)


def filter_named(asked: ListQuery, kind: type[Job | Film]) -> list[ColumnElement[bool]]:
    """Return the conditions that hold for jobs and films alike: whose they are, and their name."""
    conditions: list[ColumnElement[bool]] = []
    if asked.owner_id is not None:
        conditions.append(kind.owner_id == asked.owner_id)
    if asked.q:
        conditions.append(kind.name_folded.contains(fold(asked.q), autoescape=True))
    return conditions


def _sort_columns(
    kind: type[Job | Film], sort: Sort, backward: bool, *before: Any
) -> list[ColumnElement[Any]]:
    columns = (*before, getattr(kind, sort.column), kind.id)
    return [column.desc() if is_descending(sort, backward) else column.asc() for column in columns]


def is_descending(sort: Sort, backward: bool) -> bool:
    """Check that a list is read from large values to small ones."""
    return (sort is Sort.NEWEST) is not backward


@dataclass(frozen=True)
class Place:
    """A row's place in a list, and which way to read on from it."""

    backward: bool
    value: datetime | str
    row_id: str

    @classmethod
    def from_row(cls, row: Listed, asked: ListQuery, *, backward: bool) -> Place:
        """Return the place of a job or a film."""
        return cls(backward, getattr(row, asked.sort.column), row.id)

    def write(self, asked: ListQuery) -> str:
        """Return the place as a cursor."""
        value = self.value if isinstance(self.value, str) else self.value.isoformat()
        text = json.dumps([self.backward, asked.mark, value, self.row_id], ensure_ascii=False)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, cursor: str, asked: ListQuery) -> Place:
        """Parse a cursor.

        Raises:
            InvalidInput: it is not one of ours, or of another list.
        """
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            match json.loads(text[:CURSOR_LENGTH]):
                case [bool(backward), str(mark), str(value), str(row_id)]:
                    row_id = uuid.UUID(row_id).hex
                case _:
                    raise ValueError(text)
            if mark == asked.mark:
                return cls(backward, _parse_value(asked.sort, value), row_id)
        except (ValueError, OverflowError, RecursionError):
            raise InvalidInput(Problem("cursor", "is not one that this farm gave out")) from None
        message = "belongs to a list of another sort, search or state; ask for the first page again"
        raise InvalidInput(Problem("cursor", message))


def _parse_value(sort: Sort, text: str) -> datetime | str:
    """Parse a cursor's value.

    Raises:
        ValueError: no place in a list of this sort.
    """
    if sort is not Sort.NAME:
        return datetime.fromisoformat(text).astimezone(UTC)
    if not can_be_shown(text) or len(text) > FOLDED_LENGTH:
        raise ValueError(text)
    return text
