"""A worker that fails job after job takes itself out; on both databases."""

from __future__ import annotations

import pytest

from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.models import State
from farm.fleet import operations, registry
from farm.jobs import losses, states, worker_failures
from farm.jobs.losses import DEVICE_FAILED, OUT_OF_MEMORY
from farm.jobs.states import BROKE, Claim
from tests.jobs.test_jobs import claim, machine, to_state

pytestmark = pytest.mark.usefixtures("database")
NAME = "worker@test"


@pytest.fixture(autouse=True)
def worker(database: str) -> None:
    with sessions.write_session() as session:
        registry.record_heartbeat(session, NAME, machine("CPU"))


def start_job() -> Claim:
    to_state(State.QUEUED)
    taken = claim()
    assert taken is not None
    return taken


def fail(taken: Claim, outcome: str) -> None:
    """End an attempt as `workers/render.py` does."""
    with sessions.write_session() as session:
        if outcome == BROKE:
            states.fail(session, taken.attempt, "broke", BROKE)
        else:
            losses.release_interrupted(session, taken.attempt, outcome, "failed")
        worker_failures.count(session, taken.attempt, f"it met {outcome}")


def read() -> Worker:
    with sessions.read_session() as session:
        return session.get_one(Worker, NAME)


def cancel(taken: Claim) -> None:
    """Let nobody take the job again."""
    with sessions.write_session() as session:
        states.cancel(session, taken.job.id)


def test_three_different_jobs_in_a_row_make_a_worker_sick() -> None:
    for number, outcome in enumerate([OUT_OF_MEMORY, DEVICE_FAILED, BROKE], 1):
        assert read().state is WorkerState.ACTIVE
        taken = start_job()
        fail(taken, outcome)
        if outcome != BROKE:
            cancel(taken)
        assert read().failures_in_row == number
    found = read()
    assert found.state is WorkerState.SICK
    assert "3 different jobs in a row failed on it; the last time it met renderer broke" in str(
        found.state_reason
    )
    # And it is claimed for no more
    to_state(State.QUEUED)
    assert claim() is None


def test_one_job_that_fails_again_and_again_counts_once() -> None:
    first = start_job()
    fail(first, DEVICE_FAILED)
    for _ in range(3):
        again = claim()
        assert again is not None
        fail(again, DEVICE_FAILED)
    assert (read().failures_in_row, read().state) == (1, WorkerState.ACTIVE)


def test_a_job_that_succeeds_and_an_operators_word_begin_the_count_anew() -> None:
    for _ in range(2):
        taken = start_job()
        fail(taken, BROKE)
    with sessions.write_session() as session:
        worker_failures.reset(session, NAME)
    assert read().failures_in_row == 0
    for _ in range(3):
        taken = start_job()
        fail(taken, BROKE)
    assert read().state is WorkerState.SICK
    with sessions.write_session() as session:
        operations.resume(session, NAME, "Ada")
    taken = start_job()
    fail(taken, BROKE)
    assert (read().failures_in_row, read().state) == (1, WorkerState.ACTIVE)
