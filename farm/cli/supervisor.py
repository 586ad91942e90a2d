"""Supervisor of `farm up`: the whole farm on one machine, as child processes that live and die together.

The private Redis-protocol server (unless REDIS_URL is set), the web part, one worker for each GPU or
one for the CPU (`devices.py`), and the janitor. A child that dies is started again, with back-off.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import redis
import structlog
from rich.table import Table

from farm import log
from farm.addresses import is_loopback
from farm.cli.devices import WorkerDevice, list_devices
from farm.cli.private_redis import build_redis_command
from farm.cli.screen import Screen
from farm.database import sessions
from farm.database.setup import install
from farm.fleet import registry
from farm.jobs import losses
from farm.people import sign_in
from farm.prctl import end_with_parent
from farm.recipe.networks import AUTOMATIC
from farm.settings import Settings, settings

LONGEST_BACK_OFF = 30.0  # s
STEADY_SECONDS = 60.0  # of life, after which a child's back-off is reset
START_SECONDS = 20.0  # for the private server to answer
EVERYWHERE = ("0.0.0.0", "::", "")  # of HOST: all addresses of this machine  # noqa: S104
LOCAL_HOST = "127.0.0.1"
REPLACED_ELSEWHERE = (
    f"On another machine, put this one's name or address in place of {LOCAL_HOST}; FARM_PUBLIC_URL"
    " does so in all links."
)

console = Screen(stderr=True)


@dataclass
class Child:
    """Child process of the farm, with its back-off after it died."""

    # Shown to people.
    name: str
    # Socket, device or address, shown to people.
    location: str
    # Program and arguments.
    command: list[str]
    # Variables beside those of this process.
    environment: dict[str, str] = field(default_factory=dict)
    # From SIGTERM to SIGKILL, s.
    grace: float = 10.0
    # None before the first start and during back-off.
    process: subprocess.Popen[bytes] | None = None
    # Monotonic clock at the last start, s.
    started: float = 0.0
    # Until the next restart, s.
    back_off: float = 1.0
    # Monotonic clock of that restart, s.
    start_at: float = 0.0
    # Exit statuses after which it is not started again.
    final: frozenset[int] = frozenset()
    # The one of these that it ended with; None: it shall run.
    ended: int | None = None

    def start(self) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches the farm and not its parts.

        On Linux it dies with the farm even if that is killed.
        """
        self.process = subprocess.Popen(  # noqa: S603 - the farm's own commands
            self.command,
            env=os.environ | self.environment,
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGTERM) if sys.platform == "linux" else None,
        )
        self.started = time.monotonic()

    def stop(self) -> None:
        """Send SIGTERM, and after `grace` SIGKILL."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.grace)
        except subprocess.TimeoutExpired:
            _report(f"{self.name} did not stop within {self.grace:.0f} s: killed", "yellow")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def revive(self, now: float) -> None:
        """Report a process that died, and start it again when its back-off is over."""
        if self.ended is not None:
            return
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        if code in self.final:
            _report(f"{self.name} ended (exit status {code}), and is not started again", "yellow")
            self.ended, self.process = code, None
            return
        if now - self.started > STEADY_SECONDS:
            self.back_off = 1.0
        reason = f"signal {-code}" if code < 0 else f"exit status {code}"
        _report(f"{self.name} ended ({reason}); again in {self.back_off:.0f} s", "red")
        self.start_at = now + self.back_off
        self.back_off = min(LONGEST_BACK_OFF, self.back_off * 2)
        self.process = None


def run_farm() -> None:
    """Run the farm until Ctrl-C or SIGTERM.

    Raises:
        ClickException: the folder, the port, the weights, the private server or a card that is asked for
            cannot be had.
    """
    config = settings()
    log.configure()
    try:
        config.make_home()
    except OSError as error:
        raise click.ClickException(f"FARM_HOME={config.home}: {error.strerror}.") from error
    with _lock_home(config.home):
        _check_port(config)
        ensure_weights(config)
        install()
        children = build_children(config)
        if config.database_url.startswith("sqlite"):
            _requeue_interrupted(children)
        _supervise(config, children)


def run_workers(children: list[Child]) -> int:
    """Run several workers until Ctrl-C or SIGTERM, or until all have ended for good; return the status
    to end with."""
    log.configure()
    stop = _catch_signals()
    try:
        while not stop and any(child.ended is None for child in children):
            for child in children:
                child.revive(time.monotonic())
            time.sleep(0.2)
    finally:
        for child in children:  # at once: each may take its time to put down its job
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        for child in children:
            child.stop()
    return max(child.ended or 0 for child in children)


def _report(text: str, style: str = "") -> None:
    """Report to whoever watches the terminal, or in the log's JSON."""
    if settings().log_format == "json":
        structlog.get_logger().info(text)
    else:
        console.print(text, style=style, soft_wrap=True)


def _supervise(config: Settings, children: list[Child]) -> None:
    """Start the children in order, restart those that die, and stop all of them at a signal."""
    stop = _catch_signals()
    try:
        for child in children:
            child.start()
            if child.name == "redis":
                _wait_for_redis(config, child)
        _wait_for_web(config, stop)
        if not stop:
            _print_summary(config, children)
        while not stop:
            time.sleep(0.2)
            for child in children:
                child.revive(time.monotonic())
    finally:
        _report("stopping ...")
        for child in reversed(children):
            child.stop()
        _report("stopped. Jobs and pictures are kept; `farm up` goes on with them.")


def _requeue_interrupted(children: list[Child]) -> None:
    """Requeue the jobs that ran when the farm was killed; no other farm uses this database."""
    names = [child.environment["FARM_WORKER_NAME"] for child in children if child.environment]
    with sessions.write_session() as session:
        for name in names:
            registry.release_name(session, name)
        for job_id in losses.requeue_by_workers(session, names):
            _report(f"job {job_id} was cut off, and goes on")


def build_children(config: Settings) -> list[Child]:
    """Build the farm's processes in the order they start; they stop in the opposite one."""
    farm = [sys.executable, "-m", "farm.cli"]
    children = []
    if config.embedded_redis:
        children.append(Child("redis", str(config.redis_socket), build_redis_command(config)))
    children += build_workers(list_devices(config.device, warn), config)
    children.append(Child("janitor", "", [*farm, "janitor"]))
    children.append(Child("web", build_url(config), [*farm, "web", "--no-link"]))
    return children


def build_workers(devices: list[WorkerDevice], config: Settings) -> list[Child]:
    """Build a worker for each device, `gpu0@host` or, where the operator gave a name, that; if there are
    several, with the device behind it."""
    host, workers = socket.gethostname(), []
    for device in devices:
        slot = device.name.replace(" ", "")
        name = f"{slot}@{host}"
        if config.names_worker:
            name = config.worker_name if len(devices) == 1 else f"{config.worker_name}-{slot}"
        environment = device.environment | {"FARM_WORKER_NAME": name}
        command = [sys.executable, "-m", "farm.cli", "worker"]
        final = frozenset({0, registry.TWIN_STATUS})  # drained, or another process has the name
        workers.append(
            Child(f"worker {device.name}", name, command, environment, grace=60.0, final=final)
        )
    return workers


def warn(line: str) -> None:
    _report(line, "yellow")


def _find_local_host(config: Settings) -> str:
    """Return the host by which this machine reaches the web part."""
    return LOCAL_HOST if config.host in EVERYWHERE else config.host


def build_url(config: Settings) -> str:
    """Return the URL of the farm for a browser on this machine."""
    host = _find_local_host(config)
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}"


@contextmanager
def _lock_home(home: Path) -> Iterator[None]:
    """Hold the folder's lock: two farms would fight over its server and database.

    Raises:
        ClickException: another process holds it.
    """
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


def _check_port(config: Settings) -> None:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            message = f"{config.host}:{config.port} cannot be used ({error.strerror})."
            raise click.ClickException(f"{message} Choose another with PORT=... or HOST=...") from None


def ensure_weights(config: Settings) -> None:
    """Fetch a network's weights unless there are some that `auto` would take.

    A process of its own fetches, so that this one never holds torch.

    Raises:
        ClickException: the weights cannot be fetched.
    """
    if any((config.weights_dir / f"{name}.safetensors").exists() for name in AUTOMATIC):
        return
    command = [sys.executable, "-m", "farm.cli", "weights", "fetch", "auto"]
    if subprocess.run(command).returncode:  # noqa: S603
        raise click.ClickException("The farm cannot render without weights; see above.")


def _catch_signals() -> list[int]:
    """Return a list to which each signal that stops this process is appended."""
    caught: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: caught.append(received))
    return caught


def _wait_for_redis(config: Settings, child: Child) -> None:
    client = redis.Redis(unix_socket_path=str(config.redis_socket))
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


def _wait_for_web(config: Settings, stop: list[int]) -> None:
    host = _find_local_host(config)
    deadline = time.monotonic() + START_SECONDS
    while not stop and time.monotonic() < deadline:
        try:
            socket.create_connection((host, config.port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)


def _print_summary(config: Settings, children: list[Child]) -> None:
    if config.log_format == "console":
        console.print(_build_summary(config, children))
    if not is_loopback(config.host) and not config.require_token:
        _report("Whoever reaches this machine can use the farm: FARM_REQUIRE_TOKEN=0 is set.", "yellow")
    report_first_link(config)
    _report(f"The farm is at {build_url(config)}   Ctrl-C stops it.", "bold green")


def report_first_link(config: Settings) -> None:
    """Report a link that signs the operator in, while the farm asks for tokens and nobody has one."""
    secret = sign_in.make_first_link() if config.require_token else None
    if secret:
        url, advice = build_link(config, secret)
        _report(f"The operator signs in once, within a day, by {url}", "bold green")
        if advice:
            warn(advice)


def build_link(config: Settings, secret: str) -> tuple[str, str | None]:
    """Return the address of a sign-in link as this machine knows it, and what other machines put in the
    place of its host; None: it is right there, too, or the farm is for this machine alone."""
    url = sign_in.build_url(config.public_url or build_url(config), secret)
    return url, None if config.public_url or config.host not in EVERYWHERE else REPLACED_ELSEWHERE


def _build_summary(config: Settings, children: list[Child]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    for child in children:
        pid = child.process.pid if child.process else "-"
        table.add_row(child.name, child.location, f"process {pid}")
    table.add_row("database", sessions.redact_url(), sessions.describe_version())
    table.add_row("storage", config.storage)
    table.add_row("weights", str(config.weights_dir))
    return table
