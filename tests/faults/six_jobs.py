"""What all faults are measured by: six jobs, their results, what is left behind, how long it took."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from benchmarks.testbed.processes import RunningFarm, farm_up, wait_for
from farm.storage import Storage

QUICK_RECIPE = {"start_size": 90, "size": 128, "iterations": [40, 30], "style_loss": "gram"}
RECIPES = [QUICK_RECIPE | {"init": "noise", "seed": seed} for seed in range(6)]
LEASE = 4  # s
QUICK = {
    "FARM_LEASE_SECONDS": str(LEASE),
    "FARM_CHECKPOINT_SECONDS": "1",
    "FARM_OUTAGE_SECONDS": "60",
}
LONGEST = 300.0  # s for any job and the recovery

log = logging.getLogger(__name__)


@contextmanager
def at_work(tmp_path: Path, **environment: str) -> Iterator[tuple[RunningFarm, list[str]]]:
    """A farm in the middle of six jobs; at its end no process of it is left."""
    with farm_up(tmp_path / "home", **QUICK | environment) as farm:
        ids = [farm.submit(**recipe) for recipe in RECIPES]
        in_the_middle(farm, ids)
        yield farm, ids
        family = psutil.Process(farm.process.pid).children(recursive=True)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def in_the_middle(farm: RunningFarm, ids: list[str]) -> None:
    """Wait until the second job is well at work."""
    farm.wait_for_state(ids[0], "succeeded", seconds=LONGEST)
    wait_for(lambda: farm.job(ids[1])["progress"] > 0.3, LONGEST, pause=0.05)


@contextmanager
def recovery(farm: RunningFarm, job_id: str, fault: str, before: float | None = None) -> Iterator[None]:
    """What the block does to a job at work; then, how long it takes until the job is further than it had
    been, and how much of its work is done twice. before: its progress, if it is past already."""
    before = before or farm.job(job_id)["progress"]
    began = time.monotonic()
    yield
    ended = time.monotonic()
    lowest = before

    def further() -> bool:
        nonlocal lowest
        job = farm.job(job_id)
        if job["state"] == "running" and job["progress"]:
            lowest = min(lowest, job["progress"])
        return job["progress"] > before or job["state"] == "succeeded"

    wait_for(further, LONGEST, pause=0.1)
    took, back = ended - began, time.monotonic() - ended
    lost = 100 * (before - lowest)
    log.info("%s: %.1f s long, made good %.1f s later, %.0f %% lost", fault, took, back, lost)


def results(farm: RunningFarm, ids: list[str]) -> list[str]:
    """Wait for all; SHA-256 of each."""
    for job_id in ids:
        job = farm.wait_for_state(job_id, "succeeded", "failed", "cancelled", seconds=LONGEST)
        assert job["state"] == "succeeded", job["error"]
    found = [farm.api("GET", f"/jobs/{job_id}/result").content for job_id in ids]
    return [hashlib.sha256(data).hexdigest() for data in found]


def nothing_left(farm: RunningFarm, ids: list[str], store: Storage | None = None) -> None:
    """Of each job a result and a preview, under one attempt; no checkpoint, no half file."""
    store = store or Storage(f"file://{farm.home}/storage")
    for job_id in ids:
        folder = f"jobs/{job_id}"
        attempt = farm.job(job_id)["attempt"]
        expected = [f"{folder}/{attempt}/preview.jpg", f"{folder}/{attempt}/result.png"]
        wait_for(partial(_holds, store, folder, expected))


def _holds(store: Storage, folder: str, keys: list[str]) -> bool:
    return store.list_keys(folder) == keys
