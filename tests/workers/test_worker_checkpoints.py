"""Checkpoints of a running job in storage."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from farm.database import sessions
from farm.database.models import Job, State
from farm.engine import checkpoint_writer
from farm.engine.checkpoint import Checkpoint
from farm.errors import AttemptLost, InvalidInput, NotFound
from farm.jobs import attempts, cleanup, states
from farm.jobs.submit import submit
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import storage
from tests.fleet.test_estimate import step
from tests.jobs.test_jobs import claim, lose
from tests.jobs.test_submit import picture
from workers import checkpoints
from workers.checkpoints import CheckpointWriter
from workers.interrupts import Interrupted

pytestmark = pytest.mark.usefixtures("any_storage", "database")


def taken() -> states.Claim:
    found = claim()
    assert found is not None
    return found


def keys(job: Job) -> list[str]:
    return [key.removeprefix(f"{job.folder}/") for key in storage().list_keys(job.folder)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The seconds that checkpoints are due by: `clock.now`."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(checkpoint_writer, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_one_checkpoint_is_kept_and_the_next_attempt_finds_it(clock: SimpleNamespace) -> None:
    # Given an attempt that ends a level before a checkpoint is due, and goes on when one was
    submit(picture(0), [picture(1)], Recipe(size=256))
    first = taken()
    with CheckpointWriter(first, storage()) as writer:
        clock.now += settings().checkpoint_seconds - 1
        writer.update(step(1, 2, 2, side=8, seconds=1))
        clock.now += 1
        writer.update(step(2, 1, 3, side=8, seconds=2))
        clock.now += 1
        writer.update(step(2, 2, 3, side=8, seconds=3))
    # When it is lost, and another takes the job
    lose(first.job.id, 1)
    second = taken()
    found = checkpoints.read_newest(second.job, storage())
    # Then it goes on from where it was when one was due
    assert found is not None
    assert (found.facts.level, found.facts.iteration) == (2, 1)
    # And its own replaces the first one's
    CheckpointWriter(second, storage()).write(step(2, 1, 2, side=8, seconds=3))
    assert keys(second.job) == ["2/checkpoint.safetensors"]
    with sessions.read_session() as session:
        assert states.get(session, second.job.id).checkpoint_attempt == 2


def test_a_job_that_is_cancelled_while_one_is_stored_keeps_none(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an attempt whose checkpoint takes a while to write
    submit(picture(0), [picture(1)], Recipe(size=256))
    first = taken()
    begun, write = threading.Event(), Checkpoint.write
    cancelled = threading.Event()

    def write_slowly(saved: Checkpoint, path: Path) -> None:
        begun.set()
        assert cancelled.wait(60)
        write(saved, path)

    monkeypatch.setattr(Checkpoint, "write", write_slowly)

    def cancel_meanwhile() -> None:
        with CheckpointWriter(first, storage()) as writer:
            clock.now += settings().checkpoint_seconds
            writer.update(step(1, 1, 2, side=8, seconds=1))
            assert begun.wait(60)
            with sessions.write_session() as session:
                states.cancel(session, first.job.id)
            cancelled.set()
            raise Interrupted(State.CANCELLING)

    # When a person cancels the job meanwhile
    with pytest.raises(Interrupted):
        cancel_meanwhile()
    # Then it is stored before the attempt ends, and removed when it has
    assert keys(first.job) == ["1/checkpoint.safetensors"]
    with sessions.write_session() as session:
        states.confirm_cancelled(session, first.attempt)
    cleanup.remove_files(first.job.id)
    assert keys(first.job) == []


def test_an_attempt_learns_from_its_thread_that_it_is_stale(clock: SimpleNamespace) -> None:
    submit(picture(0), [picture(1)], Recipe(size=256))
    first = taken()
    lose(first.job.id, 1)
    taken()
    writer = CheckpointWriter(first, storage())
    clock.now += settings().checkpoint_seconds
    with pytest.raises(AttemptLost), writer:
        writer.update(step(1, 1, 2, side=8, seconds=1))


def test_a_stale_attempts_checkpoint_is_refused_and_the_newer_stays() -> None:
    submit(picture(0), [picture(1)], Recipe(size=256))
    first = taken()
    lose(first.job.id, 1)
    second = taken()
    CheckpointWriter(second, storage()).write(step(2, 1, 2, side=8, seconds=3))
    with pytest.raises(AttemptLost):
        CheckpointWriter(first, storage()).write(step(1, 1, 2, side=8, seconds=1))
    lose(first.job.id, 2)
    third = checkpoints.read_newest(taken().job, storage())
    assert third is not None
    assert third.facts.level == 2


@pytest.mark.parametrize(("harm", "told"), [("gone", NotFound), ("cut", InvalidInput)])
def test_a_checkpoint_that_cannot_be_read_is_told_of(harm: str, told: type[Exception]) -> None:
    submit(picture(0), [picture(1)], Recipe(size=256))
    first = taken()
    CheckpointWriter(first, storage()).write(step(1, 1, 2, side=8, seconds=1))
    key = first.job.checkpoint_key(1)
    if harm == "gone":
        storage().delete(key)
    else:
        storage().put(key, storage().get(key)[:-5])
    lose(first.job.id, 1)
    with pytest.raises(told):
        checkpoints.read_newest(taken().job, storage())


def test_a_storage_that_refuses_stops_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    submit(picture(0), [picture(1)], Recipe(size=256))
    first = taken()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as away:
        away.setattr("farm.storage.Storage.open_writer", full)
        CheckpointWriter(first, storage()).write(step(1, 1, 2, side=8, seconds=1))
    with sessions.read_session() as session:
        assert states.get(session, first.job.id).checkpoint_attempt is None
    with sessions.write_session() as session:
        attempts.renew_lease(session, first.attempt)
