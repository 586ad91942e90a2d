"""Claims: which waiting job a worker takes next.

Only what the worker can hold, of its classes and tags. First by priority; then of the person with the
fewest jobs at work, and with the fewest seconds used lately (`shares.py`); then drafts; then by age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, case, false, func, or_, select, union_all
from sqlalchemy.orm import Session, lazyload
from sqlalchemy.sql.dml import ReturningUpdate

from farm.database.fleet import Worker, WorkerState
from farm.database.models import Attempt, Job, State, WorkClass
from farm.database.people import Person
from farm.database.sessions import execute_core
from farm.fleet import queue, registry
from farm.jobs import shares, states
from farm.jobs.held import ONE, is_in, select_held
from farm.jobs.states import Claim
from farm.settings import settings

ALL_CLASSES = frozenset(WorkClass)
TRIED_FIRST = 3  # people, before all that waits is looked at
LOOKED_AT = 50  # waiting jobs, in search of one for another worker


@dataclass(frozen=True)
class Taker:
    """A worker, as far as it decides what it takes."""

    name: str
    classes: frozenset[WorkClass] = ALL_CLASSES
    # It takes the jobs that ask for one of them, and those that ask for none.
    tags: frozenset[str] = frozenset()
    # `cpu` or `cuda`.
    device_kind: str = "cpu"
    # Memory that a rendering may use; None: not limited.
    budget_bytes: int | None = None
    # Whether it has what parts of films need.
    films: bool = True

    @classmethod
    def from_row(cls, worker: Worker) -> Taker:
        """Return what a worker's row says that it takes."""
        classes = frozenset(WorkClass(each) for each in worker.classes) or ALL_CLASSES
        tags = frozenset(worker.tags)
        memory = worker.budget_bytes
        return cls(worker.name, classes, tags, worker.device_kind, memory, worker.films)

    def find_least_bytes(self, job: Job) -> int | None:
        """Return what a job's smallest plan holds on such a device; None: not computed."""
        return job.least_cpu_bytes if self.device_kind == "cpu" else job.least_cuda_bytes

    def can_take(self, job: Job) -> bool:
        """Check whether this worker can take a job; `match` says the same in SQL."""
        least = self.find_least_bytes(job)
        return (
            job.work_class in self.classes
            and (job.tag is None or job.tag in self.tags)
            and (least is None or self.budget_bytes is None or least <= self.budget_bytes)
            and (self.films or job.film_id is None)
        )


def claim(session: Session, taker: Taker, instance: str | None = None) -> Claim | None:
    """Move the best waiting job that this worker can take to running; None: there is none for it, or the
    queue or the worker is paused.

    Two workers at one moment take two jobs: each passes over the row that the other has locked. Whoever
    changes the worker's row waits until this session ends.

    Args:
        instance: see `registry.is_active`.
    """
    if not registry.is_active(session, taker.name, instance, lock=True):
        return None
    alike = replace(taker, name="")  # one statement for all that take the same
    for owner, priority in _rank_owners(session, alike):
        take = _build_take(alike, nobodys=owner is None)
        given = {"of_owner": owner, "of_priority": priority}
        if taken := states.take(session, take, given, taker.name):
            return taken
    return None


def find_other_taker(session: Session, taker: Taker) -> str | None:
    """Return the name of a free worker that can take a job which waits and which this one cannot; None:
    there is none."""
    if queue.is_paused(session):
        return None
    first = select(Job).where(Job.state == State.QUEUED).options(lazyload(Job.pictures))
    first = first.order_by(Job.priority.desc(), Job.created_at).limit(LOOKED_AT)
    waiting = [job for job in session.scalars(first) if not taker.can_take(job)]
    if not waiting:
        return None
    busy = {taker.name, *session.scalars(select_held(Attempt.worker))}
    for worker in registry.list_alive(session):
        if worker.name not in busy and worker.state is WorkerState.ACTIVE:
            other = Taker.from_row(worker)
            if any(other.can_take(job) for job in waiting):
                return worker.name
    return None


def explain_obstacle(job: Job, workers: Sequence[Worker]) -> str | None:
    """Return, for a person, why none of these workers takes a job, and what would help; None: one
    does."""
    able = {worker.name: Taker.from_row(worker) for worker in workers}
    fitting = [worker for worker in workers if able[worker.name].can_take(job)]
    if any(worker.state is WorkerState.ACTIVE for worker in fitting):
        return None
    if fitting:
        told = ", ".join(f"{worker.name} is {worker.state.value}" for worker in fitting)
        return f"No worker that could make it takes jobs now: {told}. An operator can resume them."
    if not any(job.work_class in taker.classes for taker in able.values()):
        return f"No worker takes {job.work_class.value} pictures. It waits for one that does."
    if job.film_id is not None and not any(taker.films for taker in able.values()):
        return "No worker can paint films. It waits for one that has the extra `film` installed."
    if job.tag and not any(job.tag in taker.tags for taker in able.values()):
        return f"No worker has the tag {job.tag}. It waits for one that has."
    largest = max(workers, key=lambda worker: worker.budget_bytes)
    least, most = able[largest.name].find_least_bytes(job) or 0, largest.budget_bytes
    return (
        f"No worker that takes such pictures has memory enough: this one needs {least / 1e9:.1f} GB on"
        f" {largest.name}, which may use {most / 1e9:.1f}. It waits for a larger worker."
    )


@lru_cache(maxsize=8)  # built anew it would cost as much as the database takes
def _build_take(taker: Taker, *, nobodys: bool) -> ReturningUpdate[Job]:
    """Return the statement that takes the first job `of_owner` with a priority `of_priority`."""
    owned = Job.owner_id.is_(None) if nobodys else Job.owner_id == bindparam("of_owner")
    theirs = select(Job.id).where(*match(taker), Job.priority == bindparam("of_priority"), owned)
    drafts_first = case((Job.work_class == WorkClass.PREVIEW, 0), else_=1)
    first = theirs.order_by(drafts_first, Job.created_at, Job.id).limit(ONE)
    return states.build_take(first.with_for_update(skip_locked=True))


def match(taker: Taker) -> list[ColumnElement[bool]]:
    """Return the conditions of a waiting job that this worker can take."""
    conditions = [
        is_in(State.QUEUED),
        # Not as lists, which SQLAlchemy writes into a statement anew at each use.
        or_(false(), *(Job.work_class == each for each in sorted(taker.classes))),
        or_(Job.tag.is_(None), *(Job.tag == each for each in sorted(taker.tags))),
    ]
    if taker.budget_bytes is not None:
        least = Job.least_cpu_bytes if taker.device_kind == "cpu" else Job.least_cuda_bytes
        conditions.append(or_(least.is_(None), least <= taker.budget_bytes))
    if not taker.films:
        conditions.append(Job.film_id.is_(None))
    return conditions


def _rank_owners(session: Session, taker: Taker) -> Iterator[tuple[int | None, int]]:
    """Yield the owners of what a worker can take with the priorities of theirs: the highest first, and
    among equals whoever has the least of the farm; without those who may not have more at once."""
    highest, uses = _read_situation(session, taker)
    if highest is None:
        return
    for owner, priority in chain(
        _rank_by_use(session, taker, uses, highest), _rank_all(session, taker, uses)
    ):
        use = uses.get(owner, shares.Use())
        most = settings().quota_running if use.max_running is None else use.max_running
        if not owner or not most or _may_run_more(session, owner, most, use.running):
            yield owner, priority


def _read_situation(session: Session, taker: Taker) -> tuple[int | None, dict[int | None, shares.Use]]:
    """Return the highest priority of the jobs that a worker can take, with everybody's use of the farm;
    None: there are none, or the queue is paused."""
    rows = execute_core(session, _build_situation(taker)).all()
    paused_by, *found = rows[0][len(shares.USES.selected_columns) :]
    priorities = [] if paused_by else [priority for priority in found if priority is not None]
    return max(priorities, default=None), shares.collect_uses(rows)


@lru_cache(maxsize=4)
def _build_situation(taker: Taker) -> Select[Any]:
    """Return the query for everybody's use, each row with who paused the queue and the highest priority
    of each class, which an index has. One query: each costs as much again as what it finds."""
    best = select(Job.priority).order_by(Job.priority.desc()).limit(ONE)
    highest = [best.where(*each).scalar_subquery() for each in _match_each(taker)]
    return shares.USES.add_columns(queue.PAUSER, *highest)


def _match_each(taker: Taker) -> list[list[ColumnElement[bool]]]:
    """Return what `match` does for each class of the worker's alone."""
    return [match(replace(taker, classes=frozenset({each}))) for each in taker.classes]


def _rank_by_use(
    session: Session, taker: Taker, uses: Mapping[int | None, shares.Use], highest: int
) -> Iterator[tuple[int | None, int]]:
    """Yield the first that `_rank_owners` does, without a look at all that waits.

    Among people alike the age of what waits decides; behind the first of them it is for `_rank_all`.
    """
    waiting = [(use.running, use.seconds, owner) for owner, use in uses.items() if use.waiting]
    waiting.sort(key=itemgetter(0, 1))
    for _, alike in islice(groupby(waiting, key=itemgetter(0, 1)), TRIED_FIRST):
        owners = [owner for _, _, owner in alike]
        if len(owners) == 1:
            yield owners[0], highest
        elif oldest := _find_oldest(session, taker, owners, highest):
            yield oldest.owner_id, highest
            return


def _find_oldest(
    session: Session, taker: Taker, owners: list[int | None], priority: int
) -> Row[Any] | None:
    """Return whose of these people's jobs of a priority waits longest, of those that a worker can take;
    None: there is none."""
    given = {"of_owners": [owner for owner in owners if owner], "of_priority": priority}
    oldest = _build_oldest(taker, nobodys=None in owners)
    return execute_core(session, oldest, given).one_or_none()


@lru_cache(maxsize=8)
def _build_oldest(taker: Taker, *, nobodys: bool) -> Select[Any]:
    """Return the query for the oldest job `of_owners` with a priority `of_priority`. An index has the
    jobs of each class by age."""
    owned = Job.owner_id.in_(bindparam("of_owners", expanding=True))
    theirs = select(Job.owner_id, Job.created_at).where(
        Job.priority == bindparam("of_priority"),
        or_(owned, Job.owner_id.is_(None)) if nobodys else owned,
    )
    oldest = theirs.order_by(Job.created_at).limit(ONE)
    each = union_all(*(select(oldest.where(*one).subquery()) for one in _match_each(taker))).subquery()
    return select(each).order_by(each.c.created_at).limit(ONE)


def _rank_all(
    session: Session, taker: Taker, uses: Mapping[int | None, shares.Use]
) -> Iterator[tuple[int | None, int]]:
    """Yield what `_rank_owners` does, by a look at each job that waits."""
    alike = (Job.owner_id, Job.priority)
    query = select(*alike, func.min(Job.created_at)).where(*match(taker)).group_by(*alike)

    def rank(row: Row[int | None, int, datetime]) -> tuple[int, int, float, datetime]:
        owner, priority, oldest = row
        use = uses.get(owner, shares.Use())
        return -priority, use.running, use.seconds, oldest

    yield from ((owner, priority) for owner, priority, _ in sorted(session.execute(query), key=rank))


def _may_run_more(session: Session, owner: int, most: int, running: int) -> bool:
    """Check that a person may have one more job at work.

    Whoever has a limit is locked and counted anew, so that two claims at one moment do not pass it.
    """
    if running >= most:
        return False
    session.execute(select(Person.id).where(Person.id == owner).with_for_update())
    return shares.count_running(session, owner) < most
