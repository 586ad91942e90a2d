"""Poison in the queue of a real worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from benchmarks.testbed.processes import FARM, redis_server, wait_for
from tests.workers.poison import POISON
from tests.workers.test_poison import write_other_types

pytestmark = pytest.mark.faults
WORKER = ["-m", "celery", "--quiet", "--app", "workers.tasks", "worker", "--queues", "standard"]


def test_a_worker_outlives_whatever_lies_in_its_queue(tmp_path: Path) -> None:
    with redis_server() as (port, _):
        environment = os.environ | {
            "FARM_HOME": str(tmp_path),
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        }
        subprocess.run([*FARM, "db", "upgrade"], env=environment, check=True, capture_output=True)
        queue = redis.Redis(port=port)
        write_other_types(queue)
        log = tmp_path / "log"
        with log.open("w") as file:  # without a pool: no ticket needs torch here
            worker = subprocess.Popen(
                [sys.executable, *WORKER, "--pool", "solo"], env=environment, stdout=file, stderr=file
            )
        try:
            wait_for(lambda: worker.poll() is not None or not queue.exists("farm:standard"))
            queue.lpush("farm:standard", *POISON)
            wait_for(lambda: worker.poll() is not None or not queue.llen("farm:standard"))
            assert worker.poll() is None, log.read_text()
            assert log.read_text().count("message dropped") > len(POISON) // 2
        finally:
            worker.kill()  # without a pool a ticket takes SIGTERM for its child
            worker.wait(120)
