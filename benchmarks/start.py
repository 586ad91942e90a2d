"""Latency of a job's start: from the request to the worker's first iteration, on an idle, warm farm.

    python -m benchmarks.start [--times 40] [--size 96]

Starts a farm as `farm up` does, paints one picture to warm the worker, then sends a photograph that the
farm has not seen and a painting that it has, again and again, and looks at the job's row now and then.
Decoding is measured beside it: what the web part needs for the photograph, and the worker for both. An
iteration is reported when it is finished; its start is earlier by the mean of the next ones.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from sqlalchemy import ColumnElement, select

from benchmarks.testbed.processes import RunningFarm, as_json, farm_up, sample_files
from farm.database import sessions
from farm.database.models import Job
from farm.pictures import decoder_pool
from farm.pictures.decode import decode
from farm.pictures.decoder_request import PictureFile

ITERATIONS = 4  # the first and the last are reported
POLL_SECONDS = 0.01  # oftener would take the processor from the worker


def build_files(number: int) -> tuple[bytes, bytes]:
    """Return a photograph that is new to the farm (by bytes after the JPEG's end), and a painting."""
    (_, (_, photograph)), (_, (_, painting)) = sample_files()
    return photograph + number.to_bytes(4, "big"), painting


def decode_inputs(photograph: bytes, painting: bytes) -> None:
    """Decode what stands between the request and the first iteration.

    The web part checks the new picture, and the worker reads both.
    """
    list(decoder_pool.check([PictureFile(photograph, "content")]))
    for data in (photograph, painting):
        decode(data, "picture", 100)


def submit(client: httpx.Client, number: int, recipe: str) -> str:
    photograph, painting = build_files(number)
    sent = {"content": ("photo.jpg", photograph), "style": ("painting.jpg", painting)}
    answer = client.post("/api/v1/jobs", files=sent, data={"recipe": recipe})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait_for_fact(job_id: str, fact: ColumnElement[bool]) -> float:
    """Wait until this is true of the job's row; return the clock, s."""
    query = select(fact).where(Job.id == job_id)
    while True:
        with sessions.read_session() as session:
            if session.scalars(query).one():
                return time.perf_counter()
        time.sleep(POLL_SECONDS)


def measure(farm: RunningFarm, times: int, size: int) -> dict[str, list[float]]:
    """Measure each stretch `times` times, ms."""
    recipe = as_json({"size": size, "start_size": size, "iterations": ITERATIONS})
    rows: dict[str, list[float]] = {
        "sent -> accepted": [],
        "sent -> claimed by the worker": [],
        "sent -> first iteration begun": [],
        "sent -> first iteration reported": [],
        "decoding, in web part and worker": [],
        "begun, less decoding": [],
        "reported, less decoding": [],
    }
    with httpx.Client(base_url=farm.url, timeout=60) as client:
        for number in range(times + 1):
            sent = time.perf_counter()
            job_id = submit(client, number, recipe)
            accepted = time.perf_counter()
            claimed = wait_for_fact(job_id, Job.started_at.is_not(None))
            reported = wait_for_fact(job_id, Job.iteration > 0)
            last = wait_for_fact(job_id, Job.iteration == ITERATIONS)
            begun = reported - (last - reported) / (ITERATIONS - 1)
            farm.wait_for_state(job_id, "succeeded")
            alone = time.perf_counter()
            decode_inputs(*build_files(number))
            read = time.perf_counter() - alone
            if number:  # the first one warms everything
                taken = (accepted, claimed, begun, reported, sent + read, begun - read, reported - read)
                for row, moment in zip(rows.values(), taken, strict=True):
                    row.append((moment - sent) * 1000)
    return rows


def main() -> None:
    """Print medians and the worst of ten."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--size", type=int, default=96)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ["FARM_HOME"] = str(home)
        with farm_up(home) as farm:
            rows = measure(farm, asked.times, asked.size)
    for what, times in rows.items():
        tenth = statistics.quantiles(times, n=10)[-1]
        print(f"{what:34} median {statistics.median(times):7.0f} ms   9 of 10 within {tenth:7.0f} ms")


if __name__ == "__main__":
    main()
