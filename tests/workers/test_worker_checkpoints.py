"""Checkpoints of a running job in storage."""

from __future__ import annotations

import pytest

from farm.database import sessions
from farm.database.models import Job
from farm.errors import AttemptLost, InvalidInput, NotFound
from farm.jobs import attempts, states
from farm.jobs.submit import submit
from farm.recipe import Recipe
from farm.storage import storage
from tests.fleet.test_estimate import step
from tests.jobs.test_jobs import claim, lose
from tests.jobs.test_submit import picture
from workers import checkpoints
from workers.checkpoints import CheckpointWriter

pytestmark = pytest.mark.usefixtures("any_storage", "database")


def taken() -> states.Claim:
    found = claim()
    assert found is not None
    return found


def keys(job: Job) -> list[str]:
    return [key.removeprefix(f"{job.folder}/") for key in storage().list_keys(job.folder)]


def test_one_checkpoint_is_kept_and_the_next_attempt_finds_it() -> None:
    # Given an attempt that has come to the end of a level, and one iteration further
    submit(picture(0), [picture(1)], Recipe(size=256))
    first = taken()
    writer = CheckpointWriter(first, storage())
    for number in (1, 2):
        writer.update(step(1, number, 2, side=8, seconds=number))
    writer.update(step(2, 1, 2, side=8, seconds=3))
    # When it is lost, and another takes the job
    lose(first.job.id, 1)
    second = taken()
    found = checkpoints.read_newest(second.job, storage())
    # Then it goes on from the level's end
    assert found is not None
    assert (found.facts.level, found.facts.iteration) == (1, 2)
    # And its own replaces the first one's
    CheckpointWriter(second, storage()).write(step(2, 1, 2, side=8, seconds=3))
    assert keys(second.job) == ["2/checkpoint.safetensors"]
    with sessions.read_session() as session:
        assert states.get(session, second.job.id).checkpoint_attempt == 2


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
