"""The backlog: what waits and what is at work, by class and person; what no worker can take; when all of
it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import and_, func, or_, select, tuple_
from sqlalchemy.orm import Session, raiseload

from farm.database.fleet import Worker, WorkerState
from farm.database.models import Attempt, Job, State, WorkClass
from farm.database.people import Person
from farm.errors import InvalidInput, Problem
from farm.fleet import registry
from farm.fleet.estimates import estimate_makespan
from farm.jobs import claims, film_work, shares
from farm.jobs.held import select_held
from farm.recipe import Recipe
from farm.recipe.levels import compute_levels, count_work

MOST_AT_WORK = 50  # jobs that are listed
SAMPLE = 100  # jobs whose work is computed; that of all others is their mean
MOST_OBSTACLES = 10  # that are explained


@dataclass
class Waiting:
    """Jobs of one person in the backlog."""

    # None: jobs that belong to nobody.
    name: str | None
    waiting: dict[WorkClass, int] = field(default_factory=lambda: dict.fromkeys(WorkClass, 0))
    # When the oldest that waits was submitted; None: none waits.
    oldest: datetime | None = None
    # Jobs that workers have.
    running: int = 0
    # Of rendering lately, see `shares.py`.
    used_seconds: float = 0.0

    @property
    def total(self) -> int:
        """Jobs that wait."""
        return sum(self.waiting.values())


@dataclass(frozen=True)
class Obstacle:
    """Jobs that no worker can take, for one reason."""

    count: int
    # One of them.
    job_id: str
    # For a person, with what would help.
    reason: str


@dataclass(frozen=True)
class Backlog:
    """All that waits or is at work, at one moment."""

    # Everybody's together; its name is None.
    everybody: Waiting
    # Whoever has something, most first.
    people: list[Waiting]
    obstacles: list[Obstacle]
    workers: int
    # Until all is done, if nothing is added; None: nobody knows, since no worker measured its speed.
    seconds: float | None


@dataclass(frozen=True)
class WaitingPage:
    """Some jobs that wait, in the order of priority, then age."""

    jobs: list[Job]
    # None: there are no more.
    next_cursor: str | None


def read(session: Session) -> Backlog:
    """Return the backlog as it stands."""
    workers = registry.list_alive(session)
    people = _read_people(session)
    together = Waiting(None)
    for each in people:
        for work_class, count in each.waiting.items():
            together.waiting[work_class] += count
        together.running += each.running
    together.oldest = min((each.oldest for each in people if each.oldest), default=None)
    seconds = _estimate_seconds(session, workers)
    obstacles = _find_obstacles(session, workers) if workers else []
    return Backlog(together, people, obstacles, len(workers), seconds)


def _read_people(session: Session) -> list[Waiting]:
    """Return what each person has waiting or at work, most that waits first."""
    found: dict[int | None, Waiting] = {}
    query = select(Job.owner_id, Job.work_class, func.count(), func.min(Job.created_at))
    waiting = query.where(Job.state == State.QUEUED).group_by(Job.owner_id, Job.work_class)
    for owner, work_class, count, oldest in session.execute(waiting):
        mine = found.setdefault(owner, Waiting(None))
        mine.waiting[work_class] = count
        mine.oldest = min(mine.oldest or oldest, oldest)
    for owner, use in shares.read_uses(session).items():
        if use.running or owner in found:
            mine = found.setdefault(owner, Waiting(None))
            mine.running, mine.used_seconds = use.running, use.seconds
    names = read_names(session, found)
    for owner, mine in found.items():
        mine.name = names.get(owner) if owner is not None else None
    return sorted(found.values(), key=lambda each: (-each.total, -each.running, each.name or ""))


def read_names(session: Session, owner_ids: Iterable[int | None]) -> dict[int, str]:
    """Return the names of these people, by their ids."""
    known = {owner for owner in owner_ids if owner is not None}
    return dict(session.execute(select(Person.id, Person.name).where(Person.id.in_(known))).all())


def _find_obstacles(session: Session, workers: Sequence[Worker]) -> list[Obstacle]:
    """Return why jobs wait that no worker can take, those of most jobs first."""
    needs = (Job.work_class, Job.tag, Job.least_cpu_bytes, Job.least_cuda_bytes)
    one = (func.count(), func.min(Job.id), func.min(Job.film_id))
    waiting = (
        select(*needs, *one).where(Job.state == State.QUEUED).group_by(*needs, Job.film_id.is_(None))
    )
    active = {
        replace(claims.Taker.from_row(worker), name="")
        for worker in workers
        if worker.state is WorkerState.ACTIVE
    }
    found: dict[str, Obstacle] = {}
    for work_class, tag, cpu, cuda, count, job_id, film_id in session.execute(waiting):
        job = Job(
            work_class=work_class,
            tag=tag,
            least_cpu_bytes=cpu,
            least_cuda_bytes=cuda,
            film_id=film_id,
        )
        if any(taker.can_take(job) for taker in active):
            continue
        if reason := claims.explain_obstacle(job, workers):
            before = found.get(reason, Obstacle(0, job_id, reason))
            found[reason] = Obstacle(before.count + count, before.job_id, reason)
    return sorted(found.values(), key=lambda each: -each.count)[:MOST_OBSTACLES]


def _estimate_seconds(session: Session, workers: Sequence[Worker]) -> float | None:
    """Return how long these workers need for all that waits and is at work, and for the parts of films
    that come after it, s.

    The work of many jobs is estimated by some of them: ids are random, so the first are a fair sample.
    """
    active = [worker for worker in workers if worker.state is WorkerState.ACTIVE]
    speeds = [each.seconds_per_megapixel for each in active if each.seconds_per_megapixel]
    unfinished = (Job.state.in_((State.QUEUED, State.RUNNING)), Job.film_id.is_(None))
    columns = select(Job.recipe, Job.height, Job.width, Job.progress).where(*unfinished)
    rows = session.execute(columns.order_by(Job.id).limit(SAMPLE)).all()
    films = film_work.list_pieces(session)
    pieces = [_compute_megapixels(*row) for row in rows] + films
    if not pieces:
        return 0.0
    if not speeds:
        return None
    if len(pieces) < SAMPLE:
        return estimate_makespan(speeds, pieces)
    count = session.scalar(select(func.count()).where(*unfinished)) or 0
    whole = sum(films) + sum(pieces[: len(rows)]) * max(1.0, count / max(1, len(rows)))
    return max(whole / sum(1 / speed for speed in speeds), max(pieces) * min(speeds))


def _compute_megapixels(recipe: dict[str, object], height: int, width: int, progress: float) -> float:
    """Return the iterations that are left of a rendering, each times its megapixels."""
    asked = Recipe.model_validate(recipe)
    return count_work(asked, compute_levels(asked, height, width)) / 1e6 * (1 - progress)


def list_waiting(session: Session, cursor: str | None, limit: int) -> WaitingPage:
    """Return the first jobs that wait, or those after a cursor, without their pictures' rows.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    query = select(Job).where(Job.state == State.QUEUED).options(raiseload("*"))
    if cursor:
        priority, created_at, job_id = _read_cursor(cursor)
        later = tuple_(Job.created_at, Job.id) > tuple_(created_at, job_id)
        query = query.where(or_(Job.priority < priority, and_(Job.priority == priority, later)))
    query = query.order_by(Job.priority.desc(), Job.created_at, Job.id).limit(limit + 1)
    found = list(session.scalars(query))
    more = len(found) > limit
    return WaitingPage(found[:limit], _write_cursor(found[limit - 1]) if more else None)


def _write_cursor(job: Job) -> str:
    return f"{job.priority}_{job.created_at.isoformat()}_{job.id}"


def _read_cursor(cursor: str) -> tuple[int, datetime, str]:
    try:
        priority, moment, job_id = cursor.split("_")
        return int(priority[:5]), datetime.fromisoformat(moment).astimezone(UTC), UUID(job_id).hex
    except (ValueError, OverflowError):
        raise InvalidInput(Problem("cursor", "is not one that this farm gave out")) from None


def list_at_work(session: Session, limit: int = MOST_AT_WORK) -> list[tuple[Job, str]]:
    """Return jobs that workers have, with the worker's name, the longest at work first."""
    held = select_held(Job, Attempt.worker).options(raiseload("*"))
    rows = session.execute(held.order_by(Job.started_at, Job.id).limit(limit)).all()
    return [(row[0], row[1]) for row in rows]
