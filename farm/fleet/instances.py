"""Instances: which process a worker is, so that two of one name are told apart, and a dead one is known.

`7.184467.5f0c2a91`: process 7, which started at that tick of the clock, among the processes of a machine
since it was booted, or of a container.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import psutil

ENDED = "ended"  # of a worker that ended in order: its name is free
START_TICKS = 19  # fields of /proc/PID/stat behind the name, counted from 0: proc_pid_stat(5)


def identify(pid: int) -> str:
    """Return the instance of a process that runs on this machine.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    return f"{pid}.{_read_start(pid)}.{_hash_space()}"


def is_alive(instance: str) -> bool | None:
    """Check whether a process still runs; None: that cannot be known here, it is of another machine, of
    another container, or of a version of the farm that had no instances."""
    pid, _, rest = instance.partition(".")
    if instance == ENDED:
        return False
    if not pid.isdecimal() or not rest.endswith(f".{_hash_space()}"):
        return None
    try:
        return identify(int(pid)) == instance
    except psutil.NoSuchProcess:
        return False


def _read_start(pid: int) -> int:
    """Return when a process started: by ticks since boot, which nobody sets anew, where there are any.

    Raises:
        psutil.NoSuchProcess: there is none, or it is a zombie.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not stat.parent.parent.joinpath("self").exists():
        return int(psutil.Process(pid).create_time() * 1000)
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    if fields[0] == "Z":
        raise psutil.NoSuchProcess(pid)
    return int(fields[START_TICKS])


def _hash_space() -> str:
    """Return what tells the numbers of processes here from those of other machines and containers."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        here = f"{boot.read_text()} {space.readlink()}"
    except OSError:  # no Linux
        here = platform.node()
    return hashlib.sha256(here.encode()).hexdigest()[:8]
