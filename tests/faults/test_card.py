"""A card fails in a real farm: see `broken_card/sitecustomize.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.testbed.processes import farm_up

pytestmark = pytest.mark.faults

BROKEN_CARD = Path(__file__).parent / "broken_card"


def test_another_process_is_started_and_finishes_the_job(tmp_path: Path, weights_dir: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    path = os.pathsep.join([str(BROKEN_CARD), os.environ.get("PYTHONPATH", "")])
    with farm_up(tmp_path / "home", PYTHONPATH=path, BROKEN_CARD=str(broken)) as farm:
        job_id = farm.submit(size=64, iterations=[2])
        job = farm.wait_for_state(job_id, "succeeded", "failed", seconds=300)
        assert (job["state"], job["attempt"]) == ("succeeded", 2)
        assert "the device failed" in farm.log.read_text()
    assert not broken.exists()
