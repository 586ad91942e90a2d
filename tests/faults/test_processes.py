"""A process dies, sleeps, or comes twice."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from celery import Celery

from benchmarks.testbed.processes import FARM, RunningFarm, farm_up
from tests.faults.six_jobs import QUICK, RECIPES, at_work, in_the_middle, nothing_left, recovery, results

pytestmark = pytest.mark.faults


def kill_the_renderer(farm: RunningFarm) -> None:
    farm.renderer().kill()


def kill_the_worker(farm: RunningFarm) -> None:
    farm.children()["celery"].kill()


def stop_the_worker_past_its_lease(farm: RunningFarm) -> None:
    """And let it go on, believing that the job is still its own."""
    child = farm.renderer()
    held = next(job for job in farm.api("GET", "/jobs?state=running").json()["items"])["id"]
    child.suspend()
    farm.wait_for_state(held, "queued", seconds=60)
    child.resume()


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
        send_tickets_for_nothing,
        run_a_second_janitor,
    ],
    ids=lambda hurt: hurt.__name__,
)
def test_all_jobs_end_as_if_nothing_had_happened(hurt, tmp_path: Path, undisturbed: list[str]) -> None:
    with at_work(tmp_path) as (farm, ids):
        with recovery(farm, ids[1], hurt.__name__):
            hurt(farm)
        assert results(farm, ids) == undisturbed
        nothing_left(farm, ids)


def test_a_farm_that_is_killed_goes_on_when_it_is_started_again(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    home = tmp_path / "home"
    with farm_up(home, **QUICK) as farm:
        ids = [farm.submit(**recipe) for recipe in RECIPES]
        in_the_middle(farm, ids)
        family = psutil.Process(farm.process.pid).children(recursive=True)
        before = farm.job(ids[1])["progress"]
        for process in [psutil.Process(farm.process.pid), *family]:
            process.kill()
        farm.process.wait()
    with farm_up(home, **QUICK) as farm:
        with recovery(farm, ids[1], "kill_the_whole_farm", before):
            pass
        assert results(farm, ids) == undisturbed
        assert farm.job(ids[1])["attempt"] == 2
        nothing_left(farm, ids)


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
        assert len(set(ids)) == 500
        for job_id in ids:
            ended = farm.wait_for_state(job_id, "succeeded", "failed", seconds=900)
            assert ended["state"] == "succeeded"
