"""One claimed job in this process: what goes wrong with its files and in its last moments."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.testbed.processes import wait_for
from farm.database import sessions
from farm.database.models import Job, State
from farm.engine import quality
from farm.jobs import details, states
from farm.jobs.claims import Taker
from farm.jobs.submit import submit
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import MARK, storage
from tests.jobs.test_jobs import claim, lose
from tests.jobs.test_submit import picture
from workers.render import Ending, render

RECIPE = Recipe(size=64, start_size=64, iterations=(2,), features="vgg16")

pytestmark = pytest.mark.usefixtures("database", "weights_dir")


def submitted() -> Job:
    return submit(picture(0), [picture(1)], RECIPE)


def rendered(job: Job) -> Job:
    """As it stands after a worker has taken it."""
    taken = claim()
    assert taken is not None
    assert taken.job.id == job.id
    assert render(taken, Taker("worker@test"), lambda: None) == Ending()
    return now(job)


def now(job: Job) -> Job:
    """With its timeline."""
    with sessions.read_session() as session:
        return details.get_with_history(session, job.id)


def test_a_photograph_damaged_in_storage_is_told_of_and_mended_by_sending_it_again() -> None:
    job = submitted()
    damaged = bytearray(storage().get(job.content.key))
    damaged[len(damaged) // 2] ^= 1
    storage().put(job.content.key, bytes(damaged))
    failed = rendered(job)
    assert failed.state is State.FAILED
    assert failed.error == (
        "Photograph: This file was damaged in storage. Send the same picture again, then retry this job."
    )
    # When somebody does as told, the same job succeeds
    other = submitted()
    with sessions.write_session() as session:
        states.cancel(session, other.id)
        states.retry(session, job.id)
    assert rendered(job).state is State.SUCCEEDED


def test_a_painting_that_is_gone_is_named() -> None:
    job = submit(picture(0), [picture(1), picture(2)], RECIPE)
    storage().delete(job.styles[1].upload.key)
    assert (rendered(job).error or "").startswith("Painting 2: This file is no longer in storage. Send")


def test_a_checkpoint_that_cannot_be_read_is_told_of_and_the_job_begins_anew() -> None:
    job = submitted()
    first = claim()
    assert first is not None
    storage().put(job.checkpoint_key(1), b"no checkpoint")
    with sessions.write_session() as session:
        session.get_one(Job, job.id).checkpoint_attempt = 1
    lose(job.id, 1)
    done = rendered(job)
    assert done.state is State.SUCCEEDED
    assert "begins anew: what the last attempt left cannot be read" in [e.message for e in done.events]


def test_a_cancellation_while_the_picture_is_stored_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    job = submitted()
    measure = quality.measure

    def cancelled_meanwhile(*given: Any, **named: Any) -> Any:
        with sessions.write_session() as session:
            states.cancel(session, job.id)
        return measure(*given, **named)

    monkeypatch.setattr(quality, "measure", cancelled_meanwhile)
    ended = rendered(job)
    assert ended.state is State.CANCELLED
    assert ended.metrics is None


@pytest.fixture
def unmounted(farm_home: Path) -> Path:
    """Where the storage's mark belongs; an empty folder has none."""
    return Path(settings().storage.removeprefix("file://")) / MARK


def test_a_job_waits_for_a_storage_that_is_not_mounted(unmounted: Path) -> None:
    job = submitted()
    unmounted.unlink()
    storage_back = threading.Timer(2.0, lambda: storage().mark())
    storage_back.start()
    content = Path(settings().storage.removeprefix("file://")) / job.content.key
    away = content.rename(content.with_suffix(".away"))
    files_back = threading.Timer(1.0, lambda: away.rename(content))
    files_back.start()
    done = rendered(job)
    assert done.state is State.SUCCEEDED
    assert "waits for the storage, which does not answer" in [event.message for event in done.events]


def test_a_job_that_waits_for_the_storage_is_cancelled_all_the_same(unmounted: Path) -> None:
    job = submitted()
    unmounted.unlink()
    Path(settings().storage.removeprefix("file://"), job.content.key).unlink()
    taken = claim()
    assert taken is not None
    worker = threading.Thread(target=render, args=(taken, Taker("worker@test"), lambda: None))
    worker.start()
    wait_for(lambda: any("waits for the storage" in event.message for event in now(job).events))
    with sessions.write_session() as session:
        states.cancel(session, job.id)
    worker.join(120)
    assert not worker.is_alive()
    assert now(job).state is State.CANCELLED
