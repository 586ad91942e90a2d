"""`farm up`: what it starts it watches, and ends with itself."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.testbed.processes import FARM, RunningFarm, answers, wait_for

pytestmark = pytest.mark.processes


def test_what_was_begun_goes_on_after_ctrl_c_and_after_a_kill_to_the_same_picture(
    farm: RunningFarm,
) -> None:
    # Given a farm with one job running and one waiting
    recipe = {"size": 96, "start_size": 64, "iterations": [10, 80]}
    running = farm.submit(**recipe)
    waiting = farm.submit(size=64, iterations=[2])
    farm.wait_for_state(running, "running")
    wait_for(lambda: farm.job(running)["progress"] > 0)
    family = psutil.Process(farm.process.pid).children(recursive=True)
    assert set(farm.children()) == {"valkey-server", "gunicorn", "celery", "workers.janitor"}
    # When someone presses Ctrl-C
    farm.stop()
    # Then nothing of it is left, and it says that nothing is lost
    assert farm.process.returncode == 0
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert "stopped" in farm.log.read_text()
    # And the next start goes on with both jobs
    farm.start(FARM_CHECKPOINT_SECONDS="1")
    assert farm.job(running)["state"] in ("queued", "running")
    assert farm.wait_for_state(running, "running")["attempt"] == 2
    wait_for(lambda: "resumed at level" in page_of(farm, running))
    # When it is killed with all its parts after the next checkpoint, and started again
    with closing(sqlite3.connect(farm.home / "farm.db")) as rows:
        recorded = "SELECT id FROM jobs WHERE checkpoint_attempt = 2"
        wait_for(lambda: rows.execute(recorded).fetchall(), pause=0.05)
    farm.kill()
    farm.start()
    assert f"job {running} was cut off, and goes on" in farm.log.read_text()
    # Then the job goes on where it was, to what it would have been
    assert farm.wait_for_state(running, "succeeded", "failed")["attempt"] == 3
    assert page_of(farm, running).count("resumed at level") == 2
    assert farm.wait_for_state(waiting, "succeeded", "failed")["attempt"] == 1
    undisturbed = farm.submit(**recipe)
    farm.wait_for_state(undisturbed, "succeeded", "failed")
    ours, theirs = (farm.api("GET", f"/jobs/{each}/result").content for each in (running, undisturbed))
    assert ours == theirs
    # And nothing but its pictures is kept
    folder = farm.home / "storage" / "jobs" / running
    wait_for(lambda: {path.name for path in folder.rglob("*.*")} == {"preview.jpg", "result.png"})


def page_of(farm: RunningFarm, job_id: str) -> str:
    return httpx.get(f"{farm.url}/jobs/{job_id}", timeout=60).text


@pytest.mark.parametrize("name", ["valkey-server", "gunicorn", "celery", "workers.janitor"])
def test_a_child_that_dies_is_started_again(farm: RunningFarm, name: str) -> None:
    before = wait_for(lambda: farm.children().get(name))
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: (now := farm.children().get(name)) and now.pid != before.pid)
    wait_for(lambda: answers(farm.url))
    assert "ended (signal 9); again in" in farm.log.read_text()
    # And the farm still renders
    job_id = farm.submit(size=64, iterations=[2])
    assert farm.wait_for_state(job_id, "succeeded", "failed", seconds=300)["state"] == "succeeded"


def test_a_renderer_that_is_stopped_alone_gives_its_job_back_and_another_takes_it(
    farm: RunningFarm,
) -> None:
    job_id = farm.submit(size=96, iterations=[50])
    wait_for(lambda: farm.job(job_id)["iteration"], pause=0.05)
    stopped = farm.renderer()
    stopped.terminate()
    job = farm.wait_for_state(job_id, "succeeded", "failed", seconds=300)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert not stopped.is_running()
    assert "resumed at level" in page_of(farm, job_id)


def test_a_worker_that_slept_past_its_lease_goes_on_with_its_job(farm: RunningFarm) -> None:
    # Given a worker whose machine sleeps in the middle of a job, until its job waits for another
    job_id = farm.submit(size=96, iterations=[50])
    wait_for(lambda: farm.job(job_id)["iteration"], pause=0.05)
    sleeper = farm.renderer()
    sleeper.suspend()
    try:
        impatient = os.environ | {"FARM_HOME": str(farm.home), "FARM_LEASE_SECONDS": "3"}
        janitor = subprocess.Popen([*FARM, "janitor"], env=impatient)
        farm.wait_for_state(job_id, "queued", seconds=60)
        janitor.terminate()
        janitor.wait(20)
        done = farm.job(job_id)["iteration"]
    finally:
        # When it wakes
        sleeper.resume()
    # Then it goes on with it, where it was
    job = farm.wait_for_state(job_id, "succeeded", "failed", seconds=300)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert done
    page = page_of(farm, job_id)
    assert "its worker is back and goes on" in page
    assert "resumed at level" not in page


def test_a_second_farm_on_the_same_folder_is_refused(farm: RunningFarm) -> None:
    environment = os.environ | {"FARM_HOME": str(farm.home), "PORT": "1"}
    second = subprocess.run([*FARM, "up"], env=environment, capture_output=True, text=True, timeout=240)
    assert second.returncode == 1
    assert "already running" in second.stderr
    assert str(farm.process.pid) in second.stderr


def test_a_port_that_is_taken_is_named(farm: RunningFarm, tmp_path: Path) -> None:
    port = farm.url.rpartition(":")[2]
    environment = os.environ | {"FARM_HOME": str(tmp_path / "other"), "PORT": port}
    second = subprocess.run([*FARM, "up"], env=environment, capture_output=True, text=True, timeout=240)
    assert second.returncode == 1
    assert f"127.0.0.1:{port} cannot be used" in second.stderr
    assert "PORT=" in second.stderr
