"""How soon a job begins: from the request to the worker's first iteration, on an idle farm whose worker
is warm.

    python benchmarks/start.py [--times 40] [--size 96]

Starts a farm as `farm up` does, paints one picture to warm the worker, then sends the same small pair
again and again, each with another seed, and looks at its row every two milliseconds. Decoding is
measured beside it: what the web part and the worker each need to read the two files.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import select

from farm import db, images
from farm.models import Job
from tests.processes import SAMPLES, farm_up

LOOK_SECONDS = 0.015
PAIR = ("mountain_lake", "brushwork")


def decoding() -> float:
    """Seconds to read both files, as the web part does and again as the worker does."""
    files = [(SAMPLES / f"{name}.jpg").read_bytes() for name in PAIR]
    begun = time.perf_counter()
    for data in files:
        images.check(data, "picture", 100)
        images.decode(data, "picture", 100)
    return time.perf_counter() - begun


def seen_at(job_id: str, column: str) -> float:
    """When a column of its row was no longer empty."""
    query = select(getattr(Job, column)).where(Job.id == job_id)
    while True:
        with db.reading() as session:
            if session.scalars(query).one():
                return time.perf_counter()
        time.sleep(LOOK_SECONDS)


def main() -> None:
    """Print medians and the worst of ten."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--size", type=int, default=96)
    asked = parser.parse_args()
    rows: dict[str, list[float]] = {
        "sent -> accepted": [],
        "sent -> claimed by the worker": [],
        "sent -> first iteration told": [],
        "decoding, in web part and worker": [],
        "first iteration, less decoding": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ["FARM_HOME"] = str(home)
        with farm_up(home) as farm:
            recipe = {"size": asked.size, "start_size": asked.size, "iterations": 3}
            farm.wait_for_state(farm.submit(**recipe), "succeeded")
            for seed in range(asked.times):
                begun = time.perf_counter()
                job_id = farm.submit(**recipe, seed=seed + 1)
                accepted = time.perf_counter()
                claimed = seen_at(job_id, "started_at")
                first = seen_at(job_id, "iteration")
                read = decoding()
                taken = (accepted, claimed, first, begun + read, first - read)
                for times, moment in zip(rows.values(), taken, strict=True):
                    times.append((moment - begun) * 1000)
                farm.wait_for_state(job_id, "succeeded")
    for what, times in rows.items():
        tenth = statistics.quantiles(times, n=10)[-1]
        print(f"{what:34} median {statistics.median(times):7.0f} ms   9 of 10 within {tenth:7.0f} ms")


if __name__ == "__main__":
    main()
