"""Drafts beside a large picture on one worker: how soon they begin, and that the picture stays the same.

    python -m benchmarks.overtaking [--size 2048] [--cells 3]

Starts a farm with one CPU worker, renders a large picture undisturbed, renders it again, and in its last
level submits an exploration of small drafts. Prints when the first draft began and when the large one
went on, and compares the two files byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.testbed.processes import RunningFarm, as_json, farm_up, sample_files, wait_for

ITERATIONS = [2, 2, 4]  # of the levels; the last takes longest
POLL_SECONDS = 0.1


def submit(farm: RunningFarm, size: int) -> str:
    """Submit the large picture; return its job's id."""
    return farm.submit(size=size, start_size=size // 2, iterations=ITERATIONS)


def render(farm: RunningFarm, size: int) -> str:
    """Render the large picture in peace; return the SHA-256 of its file."""
    return fetch(farm, submit(farm, size))


def fetch(farm: RunningFarm, job_id: str) -> str:
    """Return the SHA-256 of a finished job's file, without its metadata, which tells of the job."""
    farm.wait_for_state(job_id, "succeeded", seconds=3600)
    return hashlib.sha256(farm.api("GET", f"/jobs/{job_id}/result").content).hexdigest()


def explore(farm: RunningFarm, cells: int) -> list[str]:
    """Submit an exploration of a row of drafts; return their jobs' ids."""
    fields = {"across": "balance", "across_values": as_json(list(range(cells))), "cell_size": "128"}
    fields |= {"down": "style_scale", "down_values": "[1]"}
    recipe = as_json({"size": 128, "start_size": 64, "iterations": 3})
    answer = farm.api("POST", "/explorations", files=sample_files(), data=fields | {"recipe": recipe})
    assert answer.status_code == 202, answer.text
    return [cell["id"] for cell in answer.json()["cells"]]


def measure(size: int, cells: int) -> dict[str, Any]:
    """Return the seconds, and whether the files were the same."""
    with tempfile.TemporaryDirectory() as folder, farm_up(Path(folder) / "home") as farm:
        undisturbed = render(farm, size)
        large = submit(farm, size)
        wait_for(lambda: (job := farm.job(large))["level"] == job["levels"] != 0, 3600, POLL_SECONDS)
        asked = time.monotonic()
        drafts = explore(farm, cells)
        wait_for(lambda: any(farm.job(each)["started_at"] for each in drafts), 600, POLL_SECONDS)
        begun = time.monotonic() - asked
        for draft in drafts:
            farm.wait_for_state(draft, "succeeded", seconds=600)
        drawn = time.monotonic() - asked
        wait_for(lambda: farm.job(large)["state"] in ("running", "succeeded"), 600, POLL_SECONDS)
        went_on = time.monotonic() - asked
        disturbed = fetch(farm, large)
        attempts = farm.job(large)["attempt"]
    return {
        "first draft begun": begun,
        "all drafts finished": drawn,
        "large picture went on": went_on,
        "attempts": attempts,
        "same file": disturbed == undisturbed,
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--cells", type=int, default=3)
    asked = parser.parse_args()
    for what, value in measure(asked.size, asked.cells).items():
        print(f"{what:24} {f'{value:6.1f} s' if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
