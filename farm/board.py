"""What the pages, the API and the command line ask about jobs and workers. Changes nothing."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, func, literal, select, tuple_
from sqlalchemy.orm import Session, lazyload

from farm import machines
from farm.errors import InvalidInput, NotFound, Problem
from farm.estimate import Estimate, estimate
from farm.jobs import get
from farm.models import Attempt, Job, LogLine, LossPoint, State, WorkClass
from farm.recipe import Recipe

PAGE = 50  # jobs in one list
LOSS_POINTS_SHOWN = 400
LOG_LINES_SHOWN = 40


def get_with_history(session: Session, job_id: str) -> Job:
    """One job with its attempts and events as well.

    Raises:
        NotFound: no such job.
    """
    job = get(session, job_id)
    session.refresh(job, ["attempts", "events"])
    return job


@dataclass(frozen=True)
class Page:
    """Some jobs in their order, and the cursors of the pages after and before; None: there is none."""

    jobs: list[Job]
    next_cursor: str | None
    previous_cursor: str | None


def listed(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = PAGE,
    state: State | None = None,
    search: str = "",
    sort: Sort = "newest",
) -> Page:
    """A page of jobs, without the cells of explorations; with neither photographs nor paintings.

    Args:
        search: a part of their names, in letters of any case.

    Raises:
        InvalidInput: the cursor is not one of ours, or of another order.
    """
    column, falling = _ORDERS[sort]
    at = _read_cursor(cursor, sort) if cursor else None
    backwards = at is not None and at.backwards
    falling = falling != backwards
    query = (
        select(Job).where(*_shown(state, search)).options(lazyload(Job.content), lazyload(Job.styles))
    )
    if at is not None:
        here, there = tuple_(column, Job.id), tuple_(literal(at.key, column.type), literal(at.job_id))
        query = query.where(here < there if falling else here > there)
    order = [part.desc() if falling else part.asc() for part in (column, Job.id)]
    found = list(session.scalars(query.order_by(*order).limit(limit + 1)).unique())
    more, found = len(found) > limit, found[:limit]
    if backwards:
        found.reverse()
    after, before = (True, more) if backwards else (more, at is not None)
    return Page(
        found,
        _write_cursor(sort, found[-1], backwards=False) if after and found else None,
        _write_cursor(sort, found[0], backwards=True) if before and found else None,
    )


Sort = Literal["newest", "oldest", "name"]
_ORDERS: dict[str, tuple[Any, bool]] = {  # by what, and whether the largest come first
    "newest": (Job.created_at, True),
    "oldest": (Job.created_at, False),
    "name": (Job.name, False),
}
SEARCH_LENGTH = 120


def _shown(state: State | None, search: str) -> list[ColumnElement[bool]]:
    if len(search) > SEARCH_LENGTH:
        raise InvalidInput(Problem("q", f"has {len(search)} characters; the limit is {SEARCH_LENGTH}"))
    wanted: list[ColumnElement[bool]] = [Job.exploration_id.is_(None)]
    if state is not None:
        wanted.append(Job.state == state)
    if search:
        wanted.append(Job.name.icontains(search, autoescape=True))
    return wanted


class _Cursor(NamedTuple):
    """Where a page begins: an order, what it is by at a job, that job, and in which direction."""

    sort: str
    key: datetime | str
    job_id: str
    backwards: bool


def _write_cursor(sort: Sort, job: Job, *, backwards: bool) -> str:
    key = job.name if sort == "name" else job.created_at.isoformat()
    text = json.dumps(_Cursor(sort, key, job.id, backwards))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, sort: Sort) -> _Cursor:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        found = _Cursor(*json.loads(text))
        if found.sort in _ORDERS and found.sort != sort:
            raise InvalidInput(Problem("cursor", "is of another order; begin again without it"))
        key = str(found.key) if sort == "name" else datetime.fromisoformat(str(found.key))
        job_id = uuid.UUID(found.job_id).hex
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput(Problem("cursor", "is not one that this farm gave out")) from None
    return _Cursor(sort, key, job_id, found.backwards is True)


def counts(session: Session, search: str = "") -> dict[State, int]:
    """How many of the jobs that are listed are in each state."""
    query = select(Job.state, func.count()).where(*_shown(None, search)).group_by(Job.state)
    found = dict(session.execute(query).all())
    return {state: found.get(state, 0) for state in State}


def queue(session: Session) -> tuple[dict[WorkClass, int], dict[State, int]]:
    """How many wait in each class, and how many jobs of any kind are in each state."""
    count = func.count()
    waiting = select(Job.work_class, count).where(Job.state == State.QUEUED).group_by(Job.work_class)
    by_class = dict(session.execute(waiting).all())
    by_state = dict(session.execute(select(Job.state, count).group_by(Job.state)).all())
    return (
        {each: by_class.get(each, 0) for each in WorkClass},
        {each: by_state.get(each, 0) for each in State},
    )


def losses(session: Session, job: Job) -> list[LossPoint]:
    """The loss curve, thinned to what a chart can show: where an attempt went on from a checkpoint, its
    points follow those of the attempts before it."""
    points: list[LossPoint] = []
    every = select(LossPoint).where(LossPoint.job_id == job.id)
    for point in session.scalars(every.order_by(LossPoint.attempt, LossPoint.id)):
        while points and points[-1].iteration >= point.iteration:
            points.pop()
        points.append(point)
    stride = -(-len(points) // LOSS_POINTS_SHOWN) or 1
    return points[::-stride][::-1]


def log_tail(session: Session, job: Job) -> list[LogLine]:
    """What its worker said last, oldest first."""
    last = select(LogLine).where(LogLine.job_id == job.id).order_by(LogLine.id.desc())
    return list(session.scalars(last.limit(LOG_LINES_SHOWN)))[::-1]


def waits_for(session: Session, job: Job) -> str | None:
    """Why a queued job has not started, for a person; None for one that is not queued."""
    if job.state is not State.QUEUED:
        return None
    ahead = session.scalar(
        select(func.count()).where(
            Job.state == State.QUEUED,
            Job.work_class == job.work_class,
            (Job.priority > job.priority)
            | ((Job.priority == job.priority) & (Job.created_at < job.created_at)),
        )
    )
    if not machines.alive(session):
        return "No worker is running. It starts as soon as there is one."
    if ahead:
        return f"{ahead} {'job is' if ahead == 1 else 'jobs are'} ahead of it."
    return "Next in line for a free worker."


def depends_on_others(state: State, eta_seconds: float | None) -> bool:
    """Whether what is told of a job changes with the queue or the workers, and not only with its row."""
    return state is State.QUEUED or (state is State.RUNNING and eta_seconds is None)


def version(session: Session, job_id: str) -> str | None:
    """Changes with all that is told of a job; None: it depends on others, too.

    Raises:
        NotFound: no such job.
    """
    query = select(Job.attempt, Job.version, Job.state, Job.eta_seconds).where(Job.id == job_id)
    row = session.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no job with this id.")
    if depends_on_others(row.state, row.eta_seconds):
        return None
    return f"{row.attempt}.{row.version}"


def expected(session: Session, job: Job) -> Estimate | None:
    """What a job will need: where it waits, on the best worker; where it runs, on its own, until it
    has measured its time left. None: nothing to tell, or nobody to tell it."""
    if not depends_on_others(job.state, job.eta_seconds):
        return None
    workers = machines.alive(session)
    if job.state is State.RUNNING:
        mine = select(Attempt.worker).where(Attempt.job_id == job.id, Attempt.number == job.attempt)
        name = session.scalar(mine)
        workers = [worker for worker in workers if worker.name == name]
    photograph = job.content
    recipe = Recipe.model_validate(job.recipe)
    return estimate(recipe, photograph.height, photograph.width, workers, job.features)
