"""A worker as the farm runs it, Celery and all, whose engine only waits: for benchmarks of the queue.

    celery --app benchmarks.testbed.stub_worker worker ...

A job's name ends in the seconds that it takes; a film's part takes `STUB_FRAME_SECONDS` for each frame.
It reports once a second as a rendering does, stops when it is asked to, and succeeds without a file. No
torch is loaded.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from farm.database import sessions
from farm.database.models import Job, State
from farm.errors import AttemptLost
from farm.films import films
from farm.films.parts import read_plan
from farm.fleet import registry
from farm.jobs import attempts, states
from farm.jobs.claims import Taker
from farm.jobs.states import Claim
from farm.recipe.film import Role
from workers.interrupts import stopping

REPORT_SECONDS = 1.0
FRAME_SECONDS = "STUB_FRAME_SECONDS"  # variable with how long a frame of a film takes
ANCHOR_FRAMES = 3.0  # between anchors, that take as long as one
MACHINE = registry.Machine("stub", 10**12, "cpu", 4, True, 10**12)


@dataclass(frozen=True)
class Ending:
    """Stand-in for `workers.render.Ending`, of a job that ends by itself."""

    exit_status: int | None = None
    made_way: bool = False


def render(claim: Claim, taker: Taker, on_progress: Callable[[], None]) -> Ending:
    """Wait for as long as the job's name says, and move its row as a rendering does."""
    whole = _count_seconds(claim.job)
    ends_at = time.monotonic() + whole
    try:
        while (left := ends_at - time.monotonic()) > 0:
            stopping.wait(min(left, REPORT_SECONDS))
            on_progress()
            if stopping.is_set():
                with sessions.write_session() as session:
                    states.requeue(session, claim.attempt, "its worker was stopped; waits for another")
                return Ending()
            if left > REPORT_SECONDS:
                _report(claim, 1 - left / whole, left)
        with sessions.write_session() as session:
            states.succeed(session, claim.attempt, {"seconds": whole})
    except AttemptLost:
        pass
    return Ending()


def _count_seconds(job: Job) -> float:
    """Return how long a job takes."""
    if job.film_id is None:
        return float(job.name.rpartition(" ")[2])
    part = read_plan(films.get(job.film_id))[job.film_part or 0]
    frames = {Role.ANCHOR: ANCHOR_FRAMES, Role.STRETCH: len(part.frames), Role.JOIN: 1.0}[part.role]
    return frames * float(os.environ[FRAME_SECONDS])


def _report(claim: Claim, progress: float, left: float) -> None:
    with sessions.write_session() as session:
        told = attempts.Progress(progress, 1, 1, 1, 1, left, 0.1, 0.1, 0.1)
        if attempts.report(session, claim.attempt, told) is State.CANCELLING:
            states.confirm_cancelled(session, claim.attempt)
            raise AttemptLost


def _stand_in(name: str, **members: Any) -> None:
    """Let a module of this name hold these members and nothing else."""
    module = ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


class _Idle:
    """A thread that need not run."""

    def __init__(self, *_: Any) -> None:
        self.reading = registry.Reading()

    def start(self) -> None:
        """Do nothing."""


_stand_in(
    "workers.render",
    render=render,
    Ending=Ending,
    describe_machine=lambda: MACHINE,
    measure_budget=lambda _: MACHINE.budget_bytes,
)
_stand_in("workers.decoding", start=lambda: None, await_ready=lambda: None)
_stand_in("workers.monitor", Monitor=_Idle)
_stand_in("farm.engine.quality", load_metrics=lambda: None)

from workers.tasks import app  # noqa: E402, F401 - after what it would load is there
