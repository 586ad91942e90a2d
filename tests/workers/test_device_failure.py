"""A card that fails: the job goes on elsewhere, the process ends, and the next one does not turn to the
CPU where the operator asked for the card. The CPU plays the card, with errors as CUDA words them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from benchmarks.testbed.processes import FARM
from farm.database import sessions
from farm.database.models import Job, State
from farm.engine import cuda, device
from farm.engine.gradient import Objective
from farm.errors import DoesNotFit, NoDevice
from farm.jobs import details, losses
from farm.jobs.submit import submit
from farm.recipe import Recipe
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import claim
from tests.jobs.test_submit import picture
from workers import decoding, render, tasks
from workers.exit_status import ExitStatus
from workers.heartbeat import Heartbeat

ILLEGAL = (
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously"
    " reported at some other API call"
)
RECIPE = Recipe(size=64, start_size=64, iterations=(2,), features="vgg16")

sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the moves have both, below


class Ended(BaseException):
    """The process has ended, as `os._exit` ends it."""


def fail(*_: object) -> None:
    raise torch.AcceleratorError(ILLEGAL)


@contextmanager
def broken_card() -> Iterator[None]:
    """A card on which the gradient and everything after it fail, while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "__call__", fail)
        patch.setattr(torch.cuda, "is_initialized", lambda: True)
        patch.setattr(torch.cuda, "synchronize", fail)
        yield


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The statuses with which this process, a worker's, would have ended."""
    found: list[int] = []

    def end(status: int) -> None:
        found.append(status)
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(tasks, "_heartbeat", Heartbeat("worker", render.describe_machine()))
    before = signal.getsignal(signal.SIGTERM)
    yield found
    signal.signal(signal.SIGTERM, before)


def read_job(job: Job) -> Job:
    with sessions.read_session() as session:
        return details.get_with_history(session, job.id)


@sqlite
@pytest.mark.usefixtures("database", "weights_dir")
def test_a_card_that_fails_ends_the_process_and_the_job_goes_on_with_the_next(
    exits: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a job at work on a card
    job = submit(picture(0), [picture(1)], RECIPE)
    # When the card fails
    with broken_card(), pytest.raises(Ended):
        tasks.render_next(job.work_class)
    # Then the process ends, says why in its log, and gives the job back
    assert exits == [ExitStatus.DEVICE_FAILED]
    waiting = read_job(job)
    assert (waiting.state, waiting.error) == (State.QUEUED, None)
    assert waiting.events[-1].message == "its worker's GPU failed; waits for another"
    logged = "".join(capsys.readouterr())
    assert "the device failed" in logged
    assert "an illegal memory access was encountered" in logged
    # And a process whose card is whole finishes it
    tasks.render_next(job.work_class)
    assert read_job(job).state is State.SUCCEEDED


@sqlite
@pytest.mark.usefixtures("database", "weights_dir")
def test_a_card_that_is_gone_when_a_job_begins_gives_the_job_back(
    exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_DEVICE", "cuda")
    fresh_settings()
    monkeypatch.setattr(cuda, "find_obstacle", lambda: "torch finds no card")
    render.engine.cache_clear()
    job = submit(picture(0), [picture(1)], RECIPE)
    with pytest.raises(Ended):
        tasks.render_next(job.work_class)
    assert exits == [ExitStatus.DEVICE_FAILED]
    assert read_job(job).state is State.QUEUED


@sqlite
@pytest.mark.usefixtures("database", "weights_dir")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DoesNotFit("64 x 64 needs more than there is"), "64 x 64 needs more than there is"),
        (ValueError("a bug of the farm's"), "The renderer broke while making this picture."),
    ],
)
def test_an_error_on_a_card_that_is_whole_is_the_jobs_own(
    error: Exception, message: str, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise error

    waited: list[None] = []
    monkeypatch.setattr(Objective, "__call__", break_down)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(None))
    job = submit(picture(0), [picture(1)], RECIPE)
    tasks.render_next(job.work_class)
    assert exits == []
    failed = read_job(job)
    assert failed.state is State.FAILED
    assert (failed.error or "").startswith(message)
    assert len(waited) == (not isinstance(error, DoesNotFit))  # the farm's own errors are not the card's


@pytest.mark.usefixtures("database")
def test_a_job_on_which_every_card_fails_is_given_up_in_the_end() -> None:
    job = submit(picture(0), [picture(1)], RECIPE)
    for _ in range(losses.MAX_FAILURES[losses.DEVICE_FAILED]):
        assert read_job(job).state is State.QUEUED
        taken = claim()
        assert taken is not None
        with sessions.write_session() as session:
            losses.release_interrupted(session, taken.attempt, losses.DEVICE_FAILED, "failed")
    failed = read_job(job)
    assert failed.state is State.FAILED
    assert "5 times a worker's GPU failed" in (failed.error or "")


# What a worker renders on


@pytest.fixture
def without_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "find_obstacle", lambda: "this torch (2.9.0+cpu) is a build for CPUs")


def test_an_operator_who_wants_the_card_gets_no_cpu(without_card: None) -> None:
    with pytest.raises(NoDevice) as refused:
        device.choose("cuda")
    assert str(refused.value) == "FARM_DEVICE=cuda, but this torch (2.9.0+cpu) is a build for CPUs."


@pytest.mark.parametrize("driver", [True, False])
def test_a_card_that_is_left_aside_is_reported(
    without_card: None, driver: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "DRIVER", tmp_path / "version")
    if driver:
        cuda.DRIVER.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06")
    lines: list[str] = []
    assert device.choose("auto", lines.append).type == "cpu"
    expected = ["No GPU is used: this torch (2.9.0+cpu) is a build for CPUs."]
    assert lines == (expected if driver else [])


def test_an_operator_who_wants_the_cpu_gets_it_whatever_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "find_obstacle", lambda: None)
    assert device.choose("cpu").type == "cpu"
    assert device.choose("auto").type == "cuda"


def test_a_worker_that_cannot_be_prepared_ends_instead_of_idling(monkeypatch) -> None:
    def lack_metadata() -> None:
        raise LookupError("style-farm is not installed")

    def end(reason: str) -> None:
        raise SystemExit(reason)

    monkeypatch.setattr(decoding, "start", lambda: None)
    monkeypatch.setattr(tasks, "describe_process", lack_metadata)
    monkeypatch.setattr(tasks, "_end_worker", end)
    with pytest.raises(SystemExit, match="LookupError: style-farm is not installed"):
        tasks.prepare_child()


@pytest.mark.processes
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_a_worker_that_shall_use_a_card_ends_where_there_is_none(
    farm_with_tables: Path, weights_dir: Path
) -> None:
    environment = os.environ | {"FARM_DEVICE": "cuda", "REDIS_URL": "", "FARM_LOG_FORMAT": "json"}
    worker = [*FARM, "worker"]
    ended = subprocess.run(worker, env=environment, capture_output=True, text=True, timeout=240)
    assert '"event": "this worker ends"' in ended.stderr
    assert "FARM_DEVICE=cuda, but " in ended.stderr
    assert "Traceback" not in ended.stderr
