"""An upgrade with jobs at work: the last version's processes go on beside new ones, or refuse to."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from benchmarks.testbed.processes import FARM, as_json, free_port, redis_server, sample_files, wait_for

ROOT = Path(__file__).parents[2]
BEFORE = "cb42fcd"  # the last version that landed: 0.2.0, before there was a fleet
QUICK = {"size": 64, "start_size": 64, "iterations": 2}
LONG = {"size": 96, "start_size": 96, "iterations": 60}  # at work while the new processes start
pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("neighbours")]


@pytest.fixture
def old_code(tmp_path: Path) -> Path:
    """The last version's code; skipped where the repository came without its history."""
    archive = tmp_path / "old.tar"
    made = subprocess.run(["git", "-C", str(ROOT), "archive", "-o", str(archive), BEFORE])
    if made.returncode:
        pytest.skip("the last version's code is not in this clone")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "old", filter="data")
    return tmp_path / "old"


class Farm:
    """One home, and processes of either version that share it."""

    def __init__(self, folder: Path, redis_port: int, weights: Path) -> None:
        self.folder = folder
        own = {"FARM_HOME": str(folder / "home"), "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0"}
        self.environment = os.environ | own | {"OMP_NUM_THREADS": "1", "FARM_WEIGHTS_DIR": str(weights)}

    def run(self, code: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of a version, to its end."""
        environment = self.environment | {"PYTHONPATH": str(code)}
        return subprocess.run(
            [*FARM, *command], cwd=code, env=environment, capture_output=True, text=True, timeout=240
        )

    @contextmanager
    def start(self, code: Path, *command: str, **own: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process of a version, ended by SIGTERM."""
        environment = self.environment | {"PYTHONPATH": str(code)} | own
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*FARM, *command], cwd=code, env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)

    @contextmanager
    def serve(self, code: Path) -> Iterator[httpx.Client]:
        """A web part of a version."""
        port = free_port()
        with self.start(code, "web", PORT=str(port)), httpx.Client(timeout=120) as client:
            client.base_url = f"http://127.0.0.1:{port}/api/v1"
            wait_for(lambda: answers(client))
            yield client


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/queue").is_success
    except httpx.HTTPError:
        return False


def submit(client: httpx.Client, recipe: dict[str, int]) -> str:
    sent = client.post("/jobs", files=sample_files(), data={"recipe": as_json(recipe)})
    assert sent.status_code == 202, sent.text
    return str(sent.json()["id"])


def read_state(client: httpx.Client, job_id: str) -> str:
    return str(client.get(f"/jobs/{job_id}").json()["state"])


def has_succeeded(client: httpx.Client, job_id: str) -> bool:
    return read_state(client, job_id) == "succeeded"


def list_workers(client: httpx.Client) -> set[str]:
    return {worker["name"] for worker in client.get("/workers").json()["items"]}


def test_an_upgrade_with_jobs_at_work_loses_none(
    old_code: Path, tmp_path: Path, weights_dir: Path
) -> None:
    with redis_server() as (port, _):
        farm = Farm(tmp_path, port, weights_dir)
        # Given a farm of the last version with a job at work
        assert farm.run(old_code, "db", "upgrade").returncode == 0
        with (
            farm.serve(old_code) as old_web,
            farm.start(old_code, "worker", FARM_WORKER_NAME="old@host") as old_worker,
        ):
            first = submit(old_web, LONG)
            wait_for(lambda: read_state(old_web, first) == "running")
            # When the database is upgraded and this version's processes start beside the old ones
            upgraded = farm.run(ROOT, "db", "upgrade")
            assert upgraded.returncode == 0, upgraded.stderr
            with (
                farm.serve(ROOT) as new_web,
                farm.start(ROOT, "worker", FARM_WORKER_NAME="new@host"),
                farm.start(ROOT, "janitor"),
            ):
                jobs = [first, submit(old_web, QUICK)]
                wait_for(lambda: {"old@host", "new@host"} <= list_workers(new_web))
                # Then what either takes is made, by whichever worker, and told by either
                jobs += [submit(web, QUICK) for web in (old_web, new_web, new_web)]
                for job_id in jobs:
                    wait_for(partial(has_succeeded, new_web, job_id), 240)
                    assert read_state(old_web, job_id) == "succeeded"
                assert old_worker.poll() is None
                assert {"old@host", "new@host"} <= list_workers(new_web)
        # And an old process that starts now says what is the matter
        refused = farm.run(old_code, "worker")
        assert refused.returncode != 0
        assert "The database is ahead" in refused.stderr
        assert "Traceback" not in refused.stderr
