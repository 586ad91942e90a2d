"""Reports take little of a rendering's time, however far away the database is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farm.database import sessions
from farm.database.models import State
from farm.database.tallies import ATTEMPTS_ENDED, STALLS, WORK, read_sums
from farm.jobs.claims import Taker
from farm.storage import storage
from tests.jobs.test_jobs import claim, make_job
from workers.heartbeat import Heartbeat
from workers.reporter import REPORT_SECONDS, REPORT_SHARE, Reporter, Reports

ITERATION = 0.2  # s


@pytest.mark.parametrize("took", [0.01, 4.0])
def test_reports_are_rarer_where_each_takes_long(
    farm_with_tables: Path, monkeypatch: pytest.MonkeyPatch, took: float
) -> None:
    # Given a clock, and reports that take so long by it
    now, reported = 0.0, []

    def report(*_: Any) -> State:
        nonlocal now
        reported.append(now)
        now += took
        return State.RUNNING

    monkeypatch.setattr("workers.reporter.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr("workers.reporter.attempts.report", report)
    make_job()
    claimed = claim()
    assert claimed is not None
    reports = Reports(claimed, Taker("worker@test"))
    progress: Any = None
    # When a rendering goes on for a while
    for _ in range(500):
        now += ITERATION
        if reports.is_due():
            reports.write(progress)
    # Then they take no more than their share, and come once a second where they are quick
    pause = max(REPORT_SECONDS, took / REPORT_SHARE)
    gaps = [later - earlier for earlier, later in pairwise(reported)]
    assert gaps
    assert all(pause <= gap + 1e-6 <= pause + 2 * ITERATION for gap in gaps)


def test_work_is_tallied_once_and_what_a_checkpoint_brought_is_another_attempts(
    farm_with_tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage().mark()
    make_job()
    claimed = claim()
    assert claimed is not None

    def count(*progress: float) -> float:
        reporter = Reporter(claimed, Taker("worker@test"), storage())
        monkeypatch.setattr(reporter, "_checkpoints", SimpleNamespace(update=lambda _step: None))
        monkeypatch.setattr(Reporter, "_store_preview", lambda *_: None)
        before = read_work()
        for number, share in enumerate(progress, start=1):
            reporter.update(build_step(number, share))
        return (read_work() - before) / reporter._work

    # The whole of a picture is its work, however many reports it takes
    assert count(0.1, 0.5, 1.0) == pytest.approx(1.0)
    # One that goes on from a checkpoint counts what comes after it
    claimed.job.checkpoint_attempt = 1
    assert count(0.5, 1.0) == pytest.approx(0.5)


def build_step(number: int, progress: float) -> Any:
    """The last iteration of a level, which is always reported."""
    losses = SimpleNamespace(content=0.1, style=0.1, tv=0.1)
    sizes = {"height": 100, "width": 100, "done": number, "total": 3, "peak_memory_bytes": 1}
    plan = SimpleNamespace(describe=lambda: "whole")
    place = {"level": 1, "levels": 1, "iteration": number, "iterations": 3, "ends_level": True}
    return SimpleNamespace(
        **place, **sizes, plan=plan, seconds=float(number), progress=progress, losses=losses
    )


def read_work() -> float:
    with sessions.read_session() as session:
        return sum(value for _, value in WORK.list_sums(read_sums(session)))


def test_a_worker_that_ends_itself_over_a_job_without_progress_is_a_stall(
    farm_with_tables: Path,
) -> None:
    storage().mark()
    make_job()
    claimed = claim()
    assert claimed is not None
    Heartbeat("worker@test", None)._renew_lease(claimed, stuck=True)
    with sessions.read_session() as session:
        sums = read_sums(session)
    assert STALLS.list_sums(sums) == [((), 1.0)]
    assert dict(ATTEMPTS_ENDED.list_sums(sums))["worker_lost",] == 1.0
