"""The disk is full; an S3 API fails, or is slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from farm.storage import Storage
from tests.faults.disk import full, small_disk
from tests.faults.proxy import Proxy, proxy
from tests.faults.six_jobs import LONGEST, at_work, nothing_left, recovery, results

pytestmark = pytest.mark.faults


def test_a_full_disk_fails_jobs_in_words_and_they_can_be_tried_again(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    disk = tmp_path / "home" / "storage"
    with small_disk(disk), at_work(tmp_path, FARM_OUTAGE_SECONDS="5") as (farm, ids):
        # When the disk is full from the second job on
        with full(disk):
            jobs = [
                farm.wait_for_state(job_id, "failed", "succeeded", seconds=LONGEST) for job_id in ids
            ]
        # Then the one at hand fails, and others may have found the room that its checkpoint took
        failed = [job for job in jobs if job["state"] == "failed"]
        assert ids[1] in [job["id"] for job in failed]
        for job in failed:
            assert "The storage refused: No space left on device. Once that" in job["error"]
        # And when there is room again, each can be tried again
        for job_id in [job["id"] for job in failed]:
            assert farm.api("POST", f"/jobs/{job_id}/retry").status_code == 200
        assert results(farm, ids) == undisturbed
        nothing_left(farm, ids)


def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path: Path, undisturbed: list[str]) -> None:
    disk = tmp_path / "home" / "storage"
    with small_disk(disk), at_work(tmp_path) as (farm, ids):
        with recovery(farm, ids[1], "storages_disk_full"), full(disk):
            time.sleep(15)
        assert results(farm, ids) == undisturbed
        nothing_left(farm, ids)


@pytest.fixture
def network(s3_server: str) -> Iterator[Proxy]:
    """Between the farm and an S3 API."""
    there = urlsplit(s3_server)
    with proxy(str(there.hostname), int(there.port or 80)) as running:
        yield running


def test_s3_fails_for_a_while(
    tmp_path: Path, bucket: str, network: Proxy, undisturbed: list[str]
) -> None:
    elsewhere = {"FARM_STORAGE": bucket, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{network.port}"}
    with at_work(tmp_path, **elsewhere) as (farm, ids):
        with recovery(farm, ids[1], "s3_fails"):
            network.failing = True
            time.sleep(15)
            network.failing = False
        assert results(farm, ids) == undisturbed
        nothing_left(farm, ids, Storage(bucket))


def test_s3_is_slow_for_a_while(
    tmp_path: Path, bucket: str, network: Proxy, undisturbed: list[str]
) -> None:
    elsewhere = {"FARM_STORAGE": bucket, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{network.port}"}
    with at_work(tmp_path, **elsewhere) as (farm, ids):
        with recovery(farm, ids[1], "s3_slow"):
            network.slow = True
            time.sleep(20)
            network.slow = False
        assert results(farm, ids) == undisturbed
        nothing_left(farm, ids, Storage(bucket))
