"""Claims: which waiting job a worker takes next.

Only what the worker can hold, of its classes and tags. First by priority; then of the person with the
fewest jobs at work, and with the fewest seconds used lately (`shares.py`); then drafts; then by age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, case, func, or_, select
from sqlalchemy.orm import Session, lazyload

from farm.database.fleet import Worker, WorkerState
from farm.database.models import Attempt, Job, State, WorkClass
from farm.database.people import Person
from farm.fleet import queue, registry
from farm.jobs import shares, states
from farm.jobs.held import select_held
from farm.jobs.states import Claim
from farm.settings import settings

ALL_CLASSES = frozenset(WorkClass)
TRIED_FIRST = 3  # people, before all that waits is looked at
LIMITED = select(Person.id, Person.max_running).where(Person.max_running.is_not(None))
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

    @classmethod
    def from_row(cls, worker: Worker) -> Taker:
        """Return what a worker's row says that it takes."""
        classes = frozenset(WorkClass(each) for each in worker.classes) or ALL_CLASSES
        tags = frozenset(worker.tags)
        return cls(worker.name, classes, tags, worker.device_kind, worker.budget_bytes)

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
        )


def claim(session: Session, taker: Taker, instance: str | None = None) -> Claim | None:
    """Move the best waiting job that this worker can take to running; None: there is none for it, or the
    queue or the worker is paused.

    Two workers at one moment take two jobs: each passes over the row that the other has locked. Whoever
    changes the worker's row waits until this session ends.

    Args:
        instance: see `registry.is_active`.
    """
    if not registry.is_active(session, taker.name, instance, lock=True) or queue.is_paused(session):
        return None
    passed_over: set[str] = set()
    while (job_id := _find_best(session, taker, passed_over)) is not None:
        if taken := states.take(session, job_id, taker.name):
            return taken
        passed_over.add(job_id)  # another was quicker
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
    if job.tag and not any(job.tag in taker.tags for taker in able.values()):
        return f"No worker has the tag {job.tag}. It waits for one that has."
    largest = max(workers, key=lambda worker: worker.budget_bytes)
    least, most = able[largest.name].find_least_bytes(job) or 0, largest.budget_bytes
    return (
        f"No worker that takes such pictures has memory enough: this one needs {least / 1e9:.1f} GB on"
        f" {largest.name}, which may use {most / 1e9:.1f}. It waits for a larger worker."
    )


def _find_best(session: Session, taker: Taker, without: set[str]) -> str | None:
    """Return the id of the job that comes first for this worker, and lock its row."""
    for owner, priority in _rank_owners(session, taker, without):
        first = _build_first(taker, nobodys=owner is None)
        if without:
            first = first.where(Job.id.not_in(without))
        if job_id := session.scalar(first, {"owner": owner, "priority": priority}):
            return job_id
    return None


@lru_cache(maxsize=8)
def _build_first(taker: Taker, *, nobodys: bool) -> Select[str]:
    """Return the query that finds and locks the first job of an `owner` and a `priority`."""
    owned = Job.owner_id.is_(None) if nobodys else Job.owner_id == bindparam("owner")
    theirs = select(Job.id).where(*match(taker), Job.priority == bindparam("priority"), owned)
    drafts_first = case((Job.work_class == WorkClass.PREVIEW, 0), else_=1)
    first = theirs.order_by(drafts_first, Job.created_at, Job.id).limit(1)
    return first.with_for_update(skip_locked=True)


def match(taker: Taker) -> list[ColumnElement[bool]]:
    """Return the conditions of a waiting job that this worker can take."""
    conditions = [
        Job.state == State.QUEUED,
        Job.work_class.in_(taker.classes),
        or_(Job.tag.is_(None), Job.tag.in_(taker.tags)),
    ]
    if taker.budget_bytes is not None:
        least = Job.least_cpu_bytes if taker.device_kind == "cpu" else Job.least_cuda_bytes
        conditions.append(or_(least.is_(None), least <= taker.budget_bytes))
    return conditions


def _rank_owners(session: Session, taker: Taker, without: set[str]) -> Iterator[tuple[int | None, int]]:
    """Yield the owners of what a worker can take with the priorities of theirs: the highest first, and
    among equals whoever has the least of the farm; without those who may not have more at once."""
    highest = _find_highest_priority(session, taker)
    if highest is None:
        return
    uses, limits = shares.read_uses(session), _read_limits(session)
    ranked = [(owner, highest) for owner in _rank_by_use(uses)]
    for owner, priority in chain(ranked, _rank_all(session, taker, uses, without)):
        most = limits.get(owner, settings().quota_running) if owner else 0
        if not most or _may_run_more(session, owner, most, uses.get(owner, shares.Use()).running):
            yield owner, priority


def _find_highest_priority(session: Session, taker: Taker) -> int | None:
    """Return the highest priority of the jobs that a worker can take; None: there are none. An index has
    the highest of each class."""
    found = session.execute(_build_highest(taker)).one() if taker.classes else ()
    return max((priority for priority in found if priority is not None), default=None)


@lru_cache(maxsize=4)  # built anew it would cost as much as the database takes
def _build_highest(taker: Taker) -> Select[Any]:
    best = select(Job.priority).order_by(Job.priority.desc()).limit(1)
    return select(
        *(
            best.where(*match(replace(taker, classes=frozenset({each})))).scalar_subquery()
            for each in taker.classes
        )
    )


def _rank_by_use(uses: Mapping[int | None, shares.Use]) -> list[int | None]:
    """Return a few of those who wait, with the least of the farm first; none where age has to decide."""
    waiting = {owner: (use.running, use.seconds) for owner, use in uses.items() if use.waiting}
    ranked = sorted(waiting, key=lambda owner: waiting[owner])[: TRIED_FIRST + 1]
    alike = any(waiting[one] == waiting[other] for one, other in pairwise(ranked))
    return [] if alike else ranked[:TRIED_FIRST]


def _rank_all(
    session: Session, taker: Taker, uses: Mapping[int | None, shares.Use], without: set[str]
) -> Iterator[tuple[int | None, int]]:
    """Yield what `_rank_owners` does, by a look at each job that waits."""
    waiting = (*match(taker), Job.id.not_in(without))
    alike = (Job.owner_id, Job.priority)
    found = session.execute(select(*alike, func.min(Job.created_at)).where(*waiting).group_by(*alike))

    def rank(row: Row[int | None, int, datetime]) -> tuple[int, int, float, datetime]:
        owner, priority, oldest = row
        use = uses.get(owner, shares.Use())
        return -priority, use.running, use.seconds, oldest

    yield from ((owner, priority) for owner, priority, _ in sorted(found.all(), key=rank))


def _read_limits(session: Session) -> dict[int | None, int]:
    """Return how many jobs people may have at work, of those who have a limit of their own; 0: any."""
    return dict(session.execute(LIMITED).all())  # type: ignore[arg-type]


def _may_run_more(session: Session, owner: int | None, most: int, running: int) -> bool:
    """Check that a person may have one more job at work.

    Whoever has a limit is locked and counted anew, so that two claims at one moment do not pass it.
    """
    if owner is None or running >= most:
        return False
    session.execute(select(Person.id).where(Person.id == owner).with_for_update())
    return shares.count_running(session, owner) < most
