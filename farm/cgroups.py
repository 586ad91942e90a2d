"""Limits of this process's control groups (cgroups(7)): what a container may use of the machine.

Version 2 and version 1, nested groups too: the narrowest of a process's own group and those above it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

PROC = Path("/proc/self")

T = TypeVar("T", int, float)


def read_memory_limit(proc: Path = PROC) -> int | None:
    """Return the bytes of memory that this process may use; None: no group limits it."""
    return _find_least(proc, "memory", _read_memory)


def read_memory_left(proc: Path = PROC) -> int | None:
    """Return the bytes that this process and others of its groups may still take; None: no limit.

    What is kept of files that were read counts as free: it is given up for whoever needs memory.
    """
    return _find_least(proc, "memory", _read_memory_left)


def read_cpu_limit(proc: Path = PROC) -> float | None:
    """Return how many processors' time this process may use; None: no group limits it."""
    return _find_least(proc, "cpu", _read_cpus)


def count_cpus(proc: Path = PROC) -> int:
    """Return how many processors this process may use, within its affinity and its groups."""
    permitted = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    present = len(permitted) or os.cpu_count() or 1
    limit = read_cpu_limit(proc)
    return present if limit is None else max(1, min(present, round(limit)))


def _find_least(proc: Path, controller: str, read: Callable[[Path], T | None]) -> T | None:
    found = [limit for folder in _list_folders(proc, controller) if (limit := read(folder)) is not None]
    return min(found, default=None)


def _list_folders(proc: Path, controller: str) -> Iterator[Path]:
    """List the folders of this process's groups, its own first, in every hierarchy with a controller."""
    try:
        groups = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in groups:
        _number, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for root, mounted in _list_mounts(mounts, controller if controllers else ""):
            yield from _walk_up(PurePosixPath(group), root, mounted)


def _list_mounts(lines: list[str], controller: str) -> Iterator[tuple[PurePosixPath, Path]]:
    """List where a hierarchy is mounted, with the group that is seen there (proc_pid_mountinfo(5)).

    Args:
        controller: of version 1; "": the one of version 2.
    """
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _source, options = after.split(" ", 2)
        if kind != ("cgroup" if controller else "cgroup2"):
            continue
        if not controller or controller in options.replace(",", " ").split():
            root, mounted = before.split(" ")[3:5]
            yield PurePosixPath(root), Path(mounted)


def _walk_up(group: PurePosixPath, root: PurePosixPath, mounted: Path) -> Iterator[Path]:
    """List a group's folder and those above it, as far as they are seen here."""
    inner = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
    for part in (inner, *inner.parents):
        if ".." not in part.parts:
            yield mounted / part


def _read_memory(folder: Path) -> int | None:
    """Return a group's limit of memory; version 1 has a huge number for none."""
    text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    return int(text) if text.isdecimal() else None


def _read_memory_left(folder: Path) -> int | None:
    limit = _read_memory(folder)
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    if limit is None or not used.isdecimal():
        return None
    kept = re.search(r"^(?:total_)?inactive_file ([0-9]+)$", _read(folder / "memory.stat"), re.MULTILINE)
    return max(0, limit - int(used) + (int(kept[1]) if kept else 0))


def _read_cpus(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max", or -1
    return int(quota) / int(period)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
