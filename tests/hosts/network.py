"""Hosts on one machine: network namespaces, and a switch in this process that carries their frames.

Each host has a TAP device. The switch hands on what one sends to another, over cables that can be cut,
and that delay and lose frames: like `tc netem`, which not every kernel has.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from farm import prctl

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP_WITHOUT_HEADER = 0x1002
MAX_FRAME = 10_000  # bytes
MTU = 9000  # few frames, for a switch written in Python
IPV4 = b"\x08\x00"  # kind of a frame
GROUP_BIT = 1  # of a MAC's first byte: for several, or for all

T = TypeVar("T")


@dataclass
class Cable:
    """The link of one host, as it is now."""

    # Nothing passes, and nobody is notified.
    is_cut: bool = False
    # TCP ports of which nothing passes.
    silent_ports: frozenset[int] = frozenset()
    # Of each frame in each direction, s.
    delay: float = 0.0
    # Share of frames that never arrive, 0..1.
    loss: float = 0.0

    @contextmanager
    def cut(self, *ports: int) -> Iterator[None]:
        """Cut the cable while the block runs; for these ports alone, if any are given."""
        self.is_cut, self.silent_ports = not ports, frozenset(ports)
        try:
            yield
        finally:
            self.is_cut, self.silent_ports = False, frozenset()

    def drops(self, frame: bytes, luck: float) -> bool:
        """Return whether a frame is lost; luck: a random number from 0 to 1."""
        silent = self.silent_ports and not self.silent_ports.isdisjoint(_read_ports(frame))
        return bool(self.is_cut or silent or luck < self.loss)

    @contextmanager
    def slow_down(self, delay: float, loss: float) -> Iterator[None]:
        """Delay and lose frames while the block runs."""
        self.delay, self.loss = delay, loss
        try:
            yield
        finally:
            self.delay = self.loss = 0.0


@dataclass
class Host:
    """A namespace with an address of its own, and the processes in it."""

    # Of its namespace in /run/netns.
    namespace: str
    # IPv4.
    address: str
    cable: Cable = field(default_factory=Cable)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: list[str], log: Path, **environment: str) -> None:
        """Start a process on this host, which ends with this one at the latest."""
        with log.open("ab") as file:
            self.processes[name] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.namespace}", *command],
                env=os.environ | environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=partial(prctl.end_with_parent, signal.SIGKILL),
            )

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in a thread whose sockets are this host's, and return what it returns."""
        outcome: list[T] = []
        failed: list[BaseException] = []

        def enter_and_run() -> None:
            try:
                _enter(self.namespace)
                outcome.append(function())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=enter_and_run, daemon=True)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return outcome[0]

    def stop(self, name: str, seconds: float = 60) -> None:
        """Stop a process as an operator does, and wait for it."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(seconds)

    def kill_all(self) -> None:
        """Kill every process of this host, children included."""
        command = ["ip", "netns", "pids", self.namespace]
        for number in subprocess.run(
            command, capture_output=True, text=True, check=False
        ).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        for process in self.processes.values():
            process.wait(30)
        self.processes.clear()


@contextmanager
def build_network(names: tuple[str, ...]) -> Iterator[dict[str, Host]]:
    """Hosts of these names on one switch; without a trace at the end.

    Skips the test where namespaces or TAP devices cannot be made.
    """
    if not shutil.which("ip") or not shutil.which("nsenter"):
        pytest.skip("hosts need the commands ip (iproute2) and nsenter (util-linux)")
    hosts = {
        name: Host(f"farm-{os.getpid()}-{name}", f"10.77.0.{number}")
        for number, name in enumerate(names, 1)
    }
    devices: dict[int, Host] = {}
    try:
        for host in hosts.values():
            devices[_set_up(host)] = host
        switch = Switch(devices)
        switch.start()
        yield hosts
        switch.stop()
    finally:
        for host in hosts.values():
            if Path("/run/netns", host.namespace).exists():
                host.kill_all()
                subprocess.run(["ip", "netns", "del", host.namespace], check=False)
        for device in devices:
            os.close(device)


def _set_up(host: Host) -> int:
    """Make a namespace with a TAP device; return the other end of it."""
    made = subprocess.run(["ip", "netns", "add", host.namespace], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"network namespaces are not allowed here: {made.stderr.strip()}")
    try:
        device = host.call(_open_tap)
    except OSError as error:
        pytest.skip(f"TAP devices are not allowed here: {error}")
    for words in (
        "link set lo up",
        f"link set eth0 mtu {MTU} up",
        f"address add {host.address}/24 dev eth0",
    ):
        subprocess.run(["ip", "-n", host.namespace, *words.split()], check=True)
    return device


def _enter(namespace: str) -> None:
    """Move the calling thread into a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(handle)


def _open_tap() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP_WITHOUT_HEADER))
    os.set_blocking(device, False)
    return device


def _read_ports(frame: bytes) -> tuple[int, ...]:
    """Return the two ports of a frame with TCP over IPv4; none of any other."""
    if frame[12:14] != IPV4 or frame[23] != socket.IPPROTO_TCP:
        return ()
    start = 14 + 4 * (frame[14] & 0xF)
    return struct.unpack("!HH", frame[start : start + 4])


class Switch(threading.Thread):
    """Reads the frames of all hosts, and writes each to those that it is for, when it is due."""

    def __init__(self, devices: dict[int, Host]) -> None:
        super().__init__(name="switch", daemon=True)
        self._devices = devices
        self._ports: dict[bytes, int] = {}  # by MAC
        self._due: list[tuple[float, int, int, bytes]] = []  # time, order, device, frame
        self._order = itertools.count()
        self._random = random.Random(1)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join()

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for device in self._devices:
                selector.register(device, selectors.EVENT_READ)
            while not self._stopped.is_set():
                for key, _ in selector.select(self._find_wait()):
                    self._read(int(key.fd))
                self._deliver()

    def _find_wait(self) -> float:
        return max(0.0, min(0.2, self._due[0][0] - time.monotonic())) if self._due else 0.2

    def _read(self, device: int) -> None:
        """Take what lies there, and book it for whoever it is for."""
        with suppress(BlockingIOError):
            while frame := os.read(device, MAX_FRAME):
                self._ports[frame[6:12]] = device
                known = self._ports.get(frame[:6])
                for target in [known] if known and not frame[0] & GROUP_BIT else self._devices:
                    if target != device:
                        self._book(device, target, frame)

    def _book(self, source: int, target: int, frame: bytes) -> None:
        cables = self._devices[source].cable, self._devices[target].cable
        if any(cable.drops(frame, self._random.random()) for cable in cables):
            return
        due = time.monotonic() + sum(cable.delay for cable in cables)
        heapq.heappush(self._due, (due, next(self._order), target, frame))

    def _deliver(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(self._due)
            with suppress(OSError):  # of a host that takes no more, as on a real wire
                os.write(target, frame)
