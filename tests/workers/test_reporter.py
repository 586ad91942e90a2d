"""Reports take little of a rendering's time, however far away the database is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farm.database.setup import install
from farm.jobs.claims import Taker
from farm.storage import storage
from tests.jobs.test_jobs import claim, make_job
from workers.reporter import REPORT_SECONDS, REPORT_SHARE, Reporter

ITERATION = 0.2  # s


@pytest.mark.parametrize("took", [0.01, 4.0])
def test_reports_are_rarer_where_each_takes_long(
    farm_home: Path, monkeypatch: pytest.MonkeyPatch, took: float
) -> None:
    # Given a clock, and reports that take so long by it
    now, reported = 0.0, []

    def report(_reporter: Reporter, _step: Any) -> None:
        nonlocal now
        reported.append(now)
        now += took

    monkeypatch.setattr("workers.reporter.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(Reporter, "_report", report)
    monkeypatch.setattr(Reporter, "_store_preview", lambda *_: None)
    install()
    make_job()
    claimed = claim()
    assert claimed is not None
    reporter = Reporter(claimed, Taker("worker@test"), storage())
    monkeypatch.setattr(reporter, "_checkpoints", SimpleNamespace(update=lambda _step: None))
    # When a rendering goes on for a while
    for number in range(1, 501):
        now += ITERATION
        step: Any = SimpleNamespace(
            level=1, iteration=number, seconds=now, progress=0.5, ends_level=False
        )
        reporter.update(step)
    # Then they take no more than their share, and come once a second where they are quick
    pause = max(REPORT_SECONDS, took / REPORT_SHARE)
    gaps = [later - earlier for earlier, later in pairwise(reported)]
    assert gaps
    assert all(pause <= gap + 1e-6 <= pause + 2 * ITERATION for gap in gaps)
