"""Real workers obey their rows: they drain, pause, resume, and do not have twins."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.testbed.processes import FARM, redis_server, wait_for
from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.models import Job, State
from farm.fleet import instances, operations, registry
from farm.jobs import states
from farm.jobs.submit import submit
from farm.recipe import Recipe
from tests.conftest import fresh_settings
from tests.jobs.test_submit import picture

pytestmark = [
    pytest.mark.processes,
    pytest.mark.usefixtures("database", "weights_dir"),
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]

NAME = "cpu@attic"
QUICK = Recipe(size=64, start_size=64, iterations=(2,), features="vgg16")
LONG = Recipe(size=64, start_size=64, iterations=(4000,), features="vgg16")


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[None]:
    """A queue of this test's own, for this process and the workers that it starts."""
    with redis_server() as (port, _):
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
        monkeypatch.setenv("FARM_DEVICE", "cpu")
        monkeypatch.setenv("FARM_LEASE_SECONDS", "12")  # a beat each 3 s
        fresh_settings()
        yield


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(queue: None, tmp_path: Path) -> Iterator[Start]:
    """Start a worker; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        with (tmp_path / "log").open("a") as log:
            command = [*FARM, "worker", "--name", NAME, *options]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, text=True))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()  # which ends its child, too
            process.wait(120)


def read_worker() -> Worker:
    with sessions.read_session() as session:
        found = session.get(Worker, NAME)
    assert found is not None
    return found


def operate(operation: Callable[..., Worker]) -> None:
    with sessions.write_session() as session:
        operation(session, NAME, "Ada")


def read_job(job: Job) -> Job:
    with sessions.read_session() as session:
        return states.get(session, job.id)


def wait_for_worker() -> Worker:
    """Wait until the worker is ready."""

    def find() -> Worker | None:
        with sessions.read_session() as session:
            found = session.get(Worker, NAME)
        return found if found and found.instance != instances.ENDED and found.version else None

    return wait_for(find)


def wait_for_state(job: Job, state: State) -> None:
    wait_for(lambda: read_job(job).state is state)


def wait_for_beats(count: int) -> None:
    """Wait until the worker has reported so often that it must have read its orders."""
    seen = {read_worker().seen_at}
    wait_for(lambda: seen.add(read_worker().seen_at) or len(seen) > count)


def test_a_worker_tells_what_it_is_pauses_resumes_at_once_and_is_drained(
    start: Start, tmp_path: Path
) -> None:
    # Given a worker that has made a job
    worker = start("--classes", "preview", "--tags", "fast,night")
    found = wait_for_worker()
    assert (found.classes, found.tags) == (["preview"], ["fast", "night"])
    assert found.device_kind == "cpu"
    assert found.instance.startswith(f"{worker.pid}.")
    assert found.precision
    assert found.host
    first = submit(picture(0), [picture(1)], QUICK)
    wait_for_state(first, State.SUCCEEDED)
    # When it is paused, then it takes nothing until it is resumed, and then at once
    operate(operations.pause)
    waiting = submit(picture(0), [picture(1)], QUICK)
    wait_for_beats(3)
    assert read_job(waiting).state is State.QUEUED
    operate(operations.resume)
    wait_for_state(waiting, State.SUCCEEDED)
    # When it is drained at a job, and one waits
    job = submit(picture(0), [picture(1)], QUICK.model_copy(update={"iterations": (60,)}))
    wait_for(lambda: read_worker().job_id == job.id)
    other = submit(picture(0), [picture(1)], QUICK)
    operate(operations.drain)
    # Then it finishes its job, takes no other, and ends well
    assert worker.wait(120) == 0
    assert (read_job(job).state, read_job(job).attempt) == (State.SUCCEEDED, 1)
    assert read_job(other).state is State.QUEUED
    ended = read_worker()
    assert (ended.state, ended.job_id) == (WorkerState.PAUSED, None)
    assert ended.state_reason == registry.DRAINED
    assert ended.instance == instances.ENDED
    assert "message dropped" not in (tmp_path / "log").read_text()  # of its own queue, neither


def test_a_live_twin_is_refused_and_a_dead_ones_name_and_job_are_taken_at_once(
    start: Start, tmp_path: Path
) -> None:
    # Given a worker at a job
    first = start()
    wait_for_worker()
    job = submit(picture(0), [picture(1)], LONG)
    wait_for_state(job, State.RUNNING)
    # When another of its name starts, then that one is refused, and nothing happens to the first
    second = start()
    assert second.wait(60) == 75
    assert f"There is a worker {NAME} already" in (tmp_path / "log").read_text()
    assert first.poll() is None
    # When it is killed, and its child goes on alone, then the next takes the name, and the job
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    third = start()
    wait_for(lambda: read_worker().instance.startswith(f"{third.pid}."))
    wait_for(lambda: read_job(job).attempt == 2)
    assert read_worker().job_id == job.id
    third.send_signal(signal.SIGTERM)
    assert third.wait(120) == 0
    assert read_job(job).state is State.QUEUED
    assert read_worker().state is WorkerState.ACTIVE
