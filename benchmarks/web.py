"""Latency of the web part while it is busy: 100,000 jobs in the table, 50 live streams open.

    python -m benchmarks.web [--database sqlite|postgres|both] [--jobs 100000] [--seconds 20]

Starts the web part as `farm web` does, beside a thread that reports for the running jobs as workers do,
and asks it over loopback: status (with and without a known ETag), the list, submissions of a photograph
of 5 MB; then has it stop with all streams open. Everything shares one machine, so the load itself takes
its part of the processors. Prints a table, and JSON lines with --json.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image
from sqlalchemy import select, update

from benchmarks.lists import fill, open_database, update_statistics
from benchmarks.testbed.processes import FARM, SAMPLES, answers, free_port, wait_for
from farm.database import sessions
from farm.database.models import Job, State
from farm.database.setup import install
from farm.jobs import attempts
from farm.jobs.states import AttemptRef

STREAMS = 50
POLLERS = 8
RUNNING = 10  # jobs at work, watched by the streams and asked for by the pollers
PHOTOGRAPH = (4000, 3000)  # px
PHOTOGRAPH_BYTES = 5_000_000
STYLE = SAMPLES / "mosaic.jpg"
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
ETAG = re.compile(rb"\r\nETag: ([^\r]+)", re.IGNORECASE)


@dataclass
class Measured:
    """One row of the table."""

    # Name of the measurement.
    what: str
    # Bound to hold, for people; may be empty.
    wanted: str
    # Latency of each request, ms.
    took: list[float]
    # Duration of the load, s; 0 where no rate is measured.
    seconds: float

    def format_row(self) -> str:
        rate = f"{len(self.took) / self.seconds:7.0f}/s" if self.seconds else " " * 9
        if len(self.took) == 1:
            return f"{self.what:36} {self.took[0]:9.0f} ms {'':>22} {self.wanted}"
        p99 = statistics.quantiles(self.took, n=100)[-1]
        median = statistics.median(self.took)
        return f"{self.what:36} {median:9.1f} ms   p99 {p99:7.1f} ms {rate}   {self.wanted}"


@contextmanager
def run_web(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the web part alone; its tickets reach no queue."""
    environment = os.environ | {"PORT": str(port), "REDIS_URL": ""}
    process = subprocess.Popen([*FARM, "web"], env=environment)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}"), 30)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def start_jobs() -> list[str]:
    """Set some jobs to running and return their ids."""
    with sessions.write_session() as session:
        ids = list(session.scalars(select(Job.id).where(Job.exploration_id.is_(None)).limit(RUNNING)))
        values = {"state": State.RUNNING, "attempt": 1, "eta_seconds": 99.0}
        session.execute(update(Job).where(Job.id.in_(ids)).values(**values))
    return ids


def report_progress(ids: list[str], stop: threading.Event) -> None:
    """Write what workers report of these jobs, each once a second, until `stop` is set."""
    number = 0
    while not stop.wait(1 / len(ids)):
        number += 1
        progress = attempts.Progress(0.5, 2, 4, number, 10**6, 60.0, 0.5, 0.1, 0.01, 4.0)
        with sessions.write_session() as session:
            attempts.report(session, AttemptRef(ids[number % len(ids)], 1), progress)


def open_stream(port: int, job_id: str) -> socket.socket:
    """Open a live stream whose events stay in the system's buffer."""
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"GET /api/v1/jobs/{job_id}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    connection.sendall(head.encode())
    assert b" 200 " in connection.recv(200)
    return connection


def poll(port: int, ids: list[str], until: float, *, tags: bool, took: list[float]) -> None:
    """Request one job after another over one connection, and append each latency to `took`, ms.

    By hand: Python's own client takes as long as the farm does, on the same processors.
    """
    known: dict[str, str] = {}
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while time.perf_counter() < until:
            job_id = random.choice(ids)
            tag = f"If-None-Match: {known[job_id]}\r\n" if tags and job_id in known else ""
            begun = time.perf_counter()
            head = f"GET /api/v1/jobs/{job_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n{tag}\r\n"
            connection.sendall(head.encode())
            status, known[job_id] = read_answer(connection)
            took.append((time.perf_counter() - begun) * 1000)
            assert status in (200, 304), status


def read_answer(connection: socket.socket) -> tuple[int, str]:
    """Read an answer to its end; return status and ETag."""
    data = connection.recv(65536)
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0:
        missing -= len(connection.recv(65536))
    tag = ETAG.search(head)
    assert tag
    return int(head[9:12]), tag[1].decode()


def poll_together(port: int, ids: list[str], seconds: float, *, tags: bool) -> list[float]:
    """Poll over several connections at once; return all latencies, ms."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=poll, args=(port, ids, until), kwargs={"tags": tags, "took": took})
        for _ in range(POLLERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def time_calls(times: int, act: Callable[[], None]) -> list[float]:
    """Call `act` so many times; return the latencies, ms."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        took.append((time.perf_counter() - begun) * 1000)
    return took


def fetch(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status


def make_photograph() -> bytes:
    """Make a JPEG of 12 megapixels and about 5 MB."""
    noise = np.random.default_rng(0).normal(0, 9, (PHOTOGRAPH[1], PHOTOGRAPH[0], 1))
    with Image.open(SAMPLES / "street.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize(PHOTOGRAPH)) + noise
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    for quality in range(95, 30, -3):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= PHOTOGRAPH_BYTES:
            break
    return buffer.getvalue()


def submit(port: int, picture: bytes, number: int) -> None:
    """Submit a picture that is new to the farm (by bytes after the JPEG's end) and a known painting."""
    parts = (("content", picture + number.to_bytes(4, "big")), ("style", STYLE.read_bytes()))
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.jpg"\r\n\r\n%s\r\n'
        % (name.encode(), data)
        for name, data in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/api/v1/jobs", body + b"--x--\r\n", headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 202, text


def measure(jobs: int, seconds: float) -> Iterator[Measured]:
    """Run all measurements on the database of the environment."""
    install()
    fill(jobs)
    update_statistics()
    ids, port, stop = start_jobs(), free_port(), threading.Event()
    picture, numbers = make_photograph(), iter(range(10**6))
    worker = threading.Thread(target=report_progress, args=(ids, stop))
    with run_web(port) as process, ExitStack() as streams:
        worker.start()
        try:
            for number in range(STREAMS):
                streams.enter_context(open_stream(port, ids[number % len(ids)]))
            time.sleep(2)
            took = poll_together(port, ids, seconds, tags=True)
            yield Measured("status, ETag known", ">= 400/s, p99 <= 100 ms", took, seconds)
            took = poll_together(port, ids, seconds, tags=False)
            yield Measured("status, whole answer", "", took, seconds)
            took = time_calls(150, lambda: fetch(port, "/jobs"))
            yield Measured("list page", "p99 <= 150 ms", took, 0)
            took = time_calls(100, lambda: submit(port, picture, next(numbers)))
            what = f"submit, {len(picture) / 1e6:.1f} MB"
            yield Measured(what, "p99 <= 400 ms", took, 0)
        finally:
            stop.set()
            worker.join()
        begun = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        took = [(time.perf_counter() - begun) * 1000]
        yield Measured(f"graceful stop, {STREAMS} streams open", "<= 5 s", took, 0)


def main() -> None:
    """Measure on one database or both, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.database == "both":
        rest = [argument for argument in sys.argv[1:] if argument not in ("--database", "both")]
        for kind in ("sqlite", "postgres"):
            subprocess.run(
                [sys.executable, "-m", "benchmarks.web", *rest, "--database", kind], check=True
            )
        return
    print(asked.database, flush=True)
    with open_database(asked.database):
        for measured in measure(asked.jobs, asked.seconds):
            print(measured.format_row(), flush=True)
            if asked.json:
                print(json.dumps({"database": asked.database} | vars(measured)), flush=True)


if __name__ == "__main__":
    main()
