"""Lists of jobs: of one state, searched by name, sorted, page by page forth and back.

A page is found in an index alone, then its rows are fetched; counts come from an index too. So a list
stays quick among 100,000 jobs (`benchmarks/lists.py`). Jobs of an exploration or a film are in no list.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import Session, raiseload

from farm.database.models import HIDDEN, Job, State
from farm.database.names import FOLDED_LENGTH, can_be_shown, fold
from farm.errors import InvalidInput, Problem

PAGE = 50  # jobs in one list
SEARCH_LENGTH = 120  # characters
HIDDEN_COLUMNS = tuple(getattr(Job, name) for name in HIDDEN)
CURSOR_LENGTH = 2000  # characters; a cursor holds a name


class Sort(enum.StrEnum):
    """The order of a list."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"  # without regard to capitals and accents

    @property
    def column(self) -> Any:
        """The column to sort by; ids decide between equals."""
        return Job.name_folded if self is Sort.NAME else Job.created_at


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
    start = _Place.read(cursor, asked) if cursor else None
    backward = start is not None and start.backward
    ids = _select_ids(asked, start).limit(limit + 1)
    rows = select(Job).where(Job.id.in_(ids)).order_by(*_sort_columns(asked.sort, backward))
    found = list(session.scalars(rows.options(raiseload("*"))))
    more = len(found) > limit
    shown = found[:limit][::-1] if backward else found[:limit]
    if not shown:
        return Page([], None, None)
    after, before = (True, more) if backward else (more, start is not None)
    return Page(
        shown,
        _Place.from_job(shown[-1], asked, backward=False).write(asked) if after else None,
        _Place.from_job(shown[0], asked, backward=True).write(asked) if before else None,
    )


def list_ids(session: Session, asked: ListQuery, limit: int) -> list[str]:
    """Return the ids of all jobs of a list, the first of them at most."""
    return list(session.scalars(_select_ids(asked, None).limit(limit)))


def count_by_state(session: Session, q: str = "", owner_id: int | None = None) -> dict[State, int]:
    """Count the jobs of the list in each state, of those whose name has `q` in it."""
    asked = ListQuery(q=q, owner_id=owner_id)
    query = select(Job.state, func.count()).where(*_filter_listed(asked)).group_by(Job.state)
    found: dict[State, int] = dict(session.execute(query).all())
    return {state: found.get(state, 0) for state in State}


def _select_ids(asked: ListQuery, start: _Place | None) -> Select[str]:
    """Select the ids of the jobs from a place on, as an index has them."""
    backward = start is not None and start.backward
    query = select(Job.id).where(*_filter_listed(asked))
    if start is not None:
        column = asked.sort.column
        here, there = tuple_(column, Job.id), tuple_(literal(start.value, column.type), start.job_id)
        query = query.where(here < there if _is_descending(asked.sort, backward) else here > there)
    # PostgreSQL reads an index in order only if its first columns are named, though null in all.
    return query.order_by(*_sort_columns(asked.sort, backward, *HIDDEN_COLUMNS))


def _filter_listed(asked: ListQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [each.is_(None) for each in HIDDEN_COLUMNS]
    if asked.owner_id is not None:
        conditions.append(Job.owner_id == asked.owner_id)
    if asked.state is not None:
        conditions.append(Job.state == asked.state)
    if asked.q:
        conditions.append(Job.name_folded.contains(fold(asked.q), autoescape=True))
    return conditions


def _sort_columns(sort: Sort, backward: bool, *before: Any) -> list[ColumnElement[Any]]:
    columns = (*before, sort.column, Job.id)
    return [column.desc() if _is_descending(sort, backward) else column.asc() for column in columns]


def _is_descending(sort: Sort, backward: bool) -> bool:
    return (sort is Sort.NEWEST) is not backward


@dataclass(frozen=True)
class _Place:
    """A job's place in a list, and which way to read on from it."""

    backward: bool
    value: datetime | str
    job_id: str

    @classmethod
    def from_job(cls, job: Job, asked: ListQuery, *, backward: bool) -> _Place:
        return cls(backward, getattr(job, asked.sort.column.key), job.id)

    def write(self, asked: ListQuery) -> str:
        """Return the place as a cursor."""
        value = self.value if isinstance(self.value, str) else self.value.isoformat()
        text = json.dumps([self.backward, asked.mark, value, self.job_id], ensure_ascii=False)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, cursor: str, asked: ListQuery) -> _Place:
        """Parse a cursor.

        Raises:
            InvalidInput: it is not one of ours, or of another list.
        """
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            match json.loads(text[:CURSOR_LENGTH]):
                case [bool(backward), str(mark), str(value), str(job_id)]:
                    job_id = uuid.UUID(job_id).hex
                case _:
                    raise ValueError(text)
            if mark == asked.mark:
                return cls(backward, _parse_value(asked.sort, value), job_id)
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
