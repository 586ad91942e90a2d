"""Lists of jobs with films among them, in one order: what pages show of people's work.

Jobs and films are asked for from the same place on, each in an index of its own (`farm/jobs/lists.py`),
and the database puts them in order. Of a film no part is read, only how many of its frames are painted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, select, union_all
from sqlalchemy.orm import Session, raiseload

from farm.clips.write import find_following
from farm.database.films import Film, FilmFrame
from farm.database.models import Job, State
from farm.films.parts import compute_frame_size, read_settings
from farm.jobs import lists
from farm.jobs.lists import ListQuery, Place
from farm.people.visitors import Visitor
from farm.recipe.picture_sizes import Size

_MINE = select(Job.id).where(Job.film_id == Film.id)
_OUTCOME = Film.outcome.type
_BEGUN = _MINE.where(Job.state != State.QUEUED).exists()
_AT_WORK = _MINE.where(Job.state.not_in([state for state in State if state.ended])).exists()
# As `farm.films.films.compute_state` has it.
STATE: ColumnElement[Any] = case(
    (and_(Film.outcome.is_(None), _BEGUN), literal(State.RUNNING, _OUTCOME)),
    (Film.outcome.is_(None), literal(State.QUEUED, _OUTCOME)),
    (and_(Film.outcome == State.CANCELLED, _AT_WORK), literal(State.CANCELLING, _OUTCOME)),
    else_=Film.outcome,
)
_FRAMES = FilmFrame.film_id == Film.id
_PAINTED = select(func.count()).where(_FRAMES).scalar_subquery()
_FIRST = select(func.min(FilmFrame.number)).where(_FRAMES).scalar_subquery()
_ANY = select(Film.id).limit(1)


@dataclass(frozen=True)
class ListedFilm:
    """A film as lists show it."""

    film: Film
    state: State
    # Frames that are finished.
    painted: int
    # Number of the first of them; None: there is none.
    first_painted: int | None

    @property
    def id(self) -> str:
        """Id of the film."""
        return self.film.id

    @property
    def created_at(self) -> datetime:
        """When it was submitted; what a list may be sorted by."""
        return self.film.created_at

    @property
    def name_folded(self) -> str:
        """Its name as it is sorted."""
        return self.film.name_folded

    @cached_property
    def numbers(self) -> Sequence[int]:
        """Numbers of the clip's frames that it paints."""
        return read_settings(self.film).select_frames(len(self.film.clip["times"]))

    @property
    def seconds(self) -> float:
        """Length of the film."""
        clip, following = self.film.clip, find_following(self.numbers)
        times = clip["times"]
        end = times[following] if following < len(times) else clip["duration"]
        return float(Fraction(end) - Fraction(times[self.numbers[0]]))

    @cached_property
    def size(self) -> Size:
        """Height and width of its frames, px."""
        return compute_frame_size(self.film)

    @property
    def height(self) -> int:
        """Height of its frames, px."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Width of its frames, px."""
        return self.size[1]

    @property
    def took(self) -> float | None:
        """Seconds from its submission to its end; None: it has not ended."""
        ended = self.film.finished_at
        return None if ended is None else (ended - self.created_at).total_seconds()

    @property
    def progress(self) -> float:
        """Share of its frames that are finished, 0..1."""
        if self.state is State.SUCCEEDED:
            return 1.0
        return min(0.99, self.painted / len(self.numbers))  # the rest is joining


@dataclass(frozen=True)
class Page:
    """Some jobs and films of a list, and what asks for those after and before."""

    rows: list[Job | ListedFilm]
    next_cursor: str | None  # None at the end
    previous_cursor: str | None  # None at the beginning

    @property
    def jobs(self) -> list[Job]:
        """The jobs among them."""
        return [row for row in self.rows if isinstance(row, Job)]


def page(
    session: Session, asked: ListQuery, *, cursor: str | None = None, limit: int = lists.PAGE
) -> Page:
    """Return the first page, or the one that a cursor asks for.

    Raises:
        InvalidInput: the cursor is not one of ours, or of another list.
    """
    if not _are_there(session):
        jobs_alone = lists.page(session, asked, cursor=cursor, limit=limit)
        return Page([*jobs_alone.jobs], jobs_alone.next_cursor, jobs_alone.previous_cursor)
    start = Place.read(cursor, asked) if cursor else None
    ids = list(session.scalars(_select_ids(asked, start, limit + 1)))
    jobs = select(Job).where(Job.id.in_(ids)).options(raiseload("*"))
    by_id: dict[str, Job | ListedFilm] = {job.id: job for job in session.scalars(jobs)}
    if len(by_id) < len(ids):
        by_id |= {each.id: each for each in _read(session, Film.id.in_(ids))}
    found = [by_id[each] for each in ids if each in by_id]  # else it was deleted meanwhile
    return Page(*lists.cut(found, asked, start, limit))


def list_newest(session: Session, limit: int, visitor: Visitor) -> list[ListedFilm]:
    """Return the latest films that a visitor sees, newest first."""
    asked = ListQuery(owner_id=visitor.limited_to)
    ids = lists.order_from(select(Film.id).where(*_filter(asked)), Film, asked, None).limit(limit)
    found = _read(session, Film.id.in_(ids))
    return sorted(found, key=lambda each: (each.film.created_at, each.id), reverse=True)


def count_by_state(session: Session, q: str = "", owner_id: int | None = None) -> dict[State, int]:
    """Count the films of the list in each state, of those whose name has `q` in it."""
    if not _are_there(session):
        return dict.fromkeys(State, 0)
    states = select(STATE.label("state")).where(*_filter(ListQuery(q=q, owner_id=owner_id))).subquery()
    query = select(states.c.state, func.count()).group_by(states.c.state)
    found: dict[State, int] = dict(session.execute(query).all())
    return {state: found.get(state, 0) for state in State}


def _are_there(session: Session) -> bool:
    """Check that the farm has films at all: many have none, and a page of jobs alone costs half."""
    return session.scalar(_ANY) is not None


def _select_ids(asked: ListQuery, start: Place | None, limit: int) -> Select[Any]:
    """Select the ids of jobs and films from a place on, in the order of the list."""
    backward = start is not None and start.backward
    column = asked.sort.column
    both = []
    for kind, conditions in ((Job, lists.filter_listed(asked)), (Film, _filter(asked))):
        before = lists.HIDDEN_COLUMNS if kind is Job else ()
        rows = select(kind.id.label("id"), getattr(kind, column).label("value")).where(*conditions)
        first = lists.order_from(rows, kind, asked, start, *before).limit(limit).subquery()
        both.append(select(first.c.id, first.c.value))
    found = union_all(*both).subquery()
    order = (found.c.value, found.c.id)
    if lists.is_descending(asked.sort, backward):
        return select(found.c.id).order_by(*(each.desc() for each in order)).limit(limit)
    return select(found.c.id).order_by(*order).limit(limit)


def _filter(asked: ListQuery) -> list[ColumnElement[bool]]:
    """Return the conditions of the films in a list."""
    conditions = lists.filter_named(asked, Film)
    if asked.state in (State.QUEUED, State.RUNNING):
        conditions.append(Film.outcome.is_(None))  # of few, so that the parts of few are looked at
    elif asked.state is not None:
        conditions.append(
            Film.outcome == (State.CANCELLED if asked.state is State.CANCELLING else asked.state)
        )
    return conditions if asked.state is None else [*conditions, STATE.in_((asked.state,))]


def _read(session: Session, condition: ColumnElement[bool]) -> Iterator[ListedFilm]:
    query = select(Film, STATE, _PAINTED, _FIRST).where(condition).options(raiseload("*"))
    for film, state, painted, first in session.execute(query):
        yield ListedFilm(film, state, painted, first)
