"""Workers, for everybody: by host, with what they do. Operators see there what they can do with them."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from flask import Response, render_template
from sqlalchemy import select
from sqlalchemy.orm import Session, raiseload

from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.models import Job
from farm.fleet import registry
from web.middleware.authentication import get_visitor, may_operate
from web.pages import blueprint
from web.pages.fragments import send_fragment
from web.pages.jobs import read_choice

MANY = 50  # workers, beyond which their page is asked for half as often
REFRESH_MS = 5000


class Condition(enum.StrEnum):
    """State of a worker as pages show it: one that takes jobs is at work or free."""

    BUSY = "busy"
    FREE = "free"
    DRAINING = "draining"
    PAUSED = "paused"
    SICK = "sick"

    @classmethod
    def from_row(cls, worker: Worker) -> Condition:
        """Return the condition of a worker that is alive."""
        if worker.state is not WorkerState.ACTIVE:
            return cls(worker.state.value)
        return cls.BUSY if worker.job_id else cls.FREE

    @property
    def words(self) -> str:
        """Words for people."""
        return "At work" if self is Condition.BUSY else self.value.capitalize()


@dataclass(frozen=True)
class Line:
    """A worker with what is shown of it."""

    worker: Worker
    condition: Condition
    # At work; None: none, or it is not to be seen.
    job: Job | None = None

    @property
    def used_bytes(self) -> int | None:
        """Memory of its device that is taken; None: it does not tell."""
        free = self.worker.free_bytes
        return None if free is None else max(0, self.worker.memory_bytes - free)


@dataclass
class Host:
    """The workers of one machine."""

    name: str
    lines: list[Line] = field(default_factory=list)

    @property
    def common(self) -> list[str]:
        """Facts that all its workers have in common, for its heading."""
        found = [describe_facts(line.worker) for line in self.lines]
        return [fact for fact in found[0] if all(fact in each for each in found)]


def describe_facts(worker: Worker) -> list[str]:
    """Return what a worker is, in a few words each."""
    return [
        fact
        for fact, known in (
            (worker.device, True),
            (f"{worker.precision}", worker.precision),
            (f"driver {worker.driver}", worker.driver),
            (f"farm {worker.version}", worker.version),
        )
        if known
    ]


def describe_takes(worker: Worker) -> str:
    """Return `preview, standard · #night`; "" for one that takes all that asks for no tag."""
    parts = [", ".join(worker.classes), " ".join(f"#{tag}" for tag in worker.tags)]
    return " · ".join(filter(None, parts))


@blueprint.get("/workers")
def list_workers() -> str:
    """Show the workers that are alive; `?show=` those of one condition only."""
    return render_template("workers.html", **_load())


@blueprint.get("/workers/list")
def refresh_workers() -> Response:
    """Return the part of it that changes, alone."""
    return send_fragment("_workers.html", **_load())


def _load() -> dict[str, Any]:
    shown = read_choice(Condition, "show")
    with sessions.read_session() as session:
        workers = registry.list_alive(session)
        jobs = _load_jobs(session, workers)
        gone = registry.list_gone(session) if may_operate() else []
    lines = [Line(each, Condition.from_row(each), jobs.get(each.job_id or "")) for each in workers]
    counts = Counter(line.condition for line in lines)
    return {
        "hosts": _group_by_host(line for line in lines if shown in (None, line.condition)),
        "counts": {each: counts[each] for each in Condition},
        "shown": shown,
        "gone": gone,
        "every": REFRESH_MS * (2 if len(workers) > MANY else 1),
        "describe_facts": describe_facts,
        "describe_takes": describe_takes,
    }


def _load_jobs(session: Session, workers: Iterable[Worker]) -> dict[str, Job]:
    """Return the jobs at work that the visitor sees, by their ids, without their pictures' rows."""
    ids = {worker.job_id for worker in workers if worker.job_id}
    seen = select(Job).where(Job.id.in_(ids), get_visitor().match_visible(Job.owner_id))
    return {job.id: job for job in session.scalars(seen.options(raiseload("*")))}


def _group_by_host(lines: Iterable[Line]) -> list[Host]:
    """Return the hosts by name; workers of an earlier version, which do not tell theirs, come last."""

    def name(line: Line) -> str:
        return line.worker.host

    ordered = sorted(lines, key=lambda line: (not name(line), name(line), line.worker.name))
    return [Host(host, list(theirs)) for host, theirs in groupby(ordered, name)]
