"""The device that renders: its choice, its memory, and how much of it a rendering used."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil
import torch

from farm import cgroups
from farm.counts import format_count
from farm.engine import cuda
from farm.errors import NoDevice, OutOfMemory

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
# Messages of a failed allocation that has no class of its own: torch's on a CPU, the driver's, CUDA's
# libraries', and cuDNN's where no way to convolve is left that fits its workspace.
OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|CUDA out of memory|CUDA (driver )?error: out of memory"
    r"|\bCU[A-Z]+_(STATUS_)?ALLOC_FAILED\b|\bCUDNN_STATUS_\w+_ALLOCATION_FAILED\b"
    r"|unable to find an engine to execute this computation"
)


def choose(
    wanted: Literal["auto", "cpu", "cuda"] = "auto", report: Callable[[str], None] | None = None
) -> torch.device:
    """Choose the first GPU that this process may see, or the CPU.

    Args:
        wanted: FARM_DEVICE. report: takes a line where `auto` leaves a machine's GPU aside.

    Raises:
        NoDevice: `cuda` is wanted, and no GPU can be used; says why.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    obstacle = cuda.find_obstacle()
    if obstacle is None:
        return torch.device("cuda")
    if wanted == "cuda":
        raise NoDevice(f"FARM_DEVICE=cuda, but {obstacle}.")
    if report and cuda.has_driver():
        report(f"No GPU is used: {obstacle}.")
    return torch.device("cpu")


def describe(device: torch.device) -> str:
    """Describe a device for people: the card's name, or the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {format_count(torch.get_num_threads(), 'thread')}"


def read_total_memory(device: torch.device) -> int:
    """Return the bytes of memory the device has; for a CPU within what a container may use."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = int(psutil.virtual_memory().total)
    return min(total, cgroups.read_memory_limit() or total)


def limit_threads() -> None:
    """Compute in no more threads than a container has processors for; torch counts the machine's alone.

    More threads than that wait for each other while they are kept from running.
    """
    torch.set_num_threads(min(torch.get_num_threads(), cgroups.count_cpus()))


def read_available_memory(device: torch.device) -> int:
    """Return the bytes that this process may come to use: on a CUDA card what nobody has, with what
    torch has reserved here already; on a CPU all there is."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))
    return read_total_memory(device)


def read_free_memory(device: torch.device) -> int:
    """Return the bytes of the device's memory that nobody uses; for a CPU within what a container may
    take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    left = cgroups.read_memory_left()
    return free if left is None else min(free, left)


def fix_results(device: torch.device) -> None:
    """Have a CUDA card give the same bits for the same work each time, and compute in float32 what is
    float32: by default cuDNN rounds its inputs to TF32's 10 bits, measures which way is the fastest, and
    sums in whatever order threads come. Nothing is changed for a CPU.

    Where torch knows no such way for an operation it warns, and goes on.
    """
    if device.type != "cuda":
        return
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # or every buffer would be written twice
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def keep_freed_memory(device: torch.device) -> None:
    """Let the C library keep the buffers of freed tiles for the next tiles.

    By default glibc gives each large buffer back at once, and the system clears its pages anew for the
    next: on two cores as much work as a quarter of the convolutions. Larger ones than 32 MiB, its own
    limit, still go back.
    """
    if device.type == "cpu" and sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not in every C library
        if mallopt:
            mallopt(M_MMAP_THRESHOLD, 32 << 20)
            mallopt(M_TRIM_THRESHOLD, 512 << 20)


def trim(device: torch.device) -> None:
    """Return memory that was freed between buffers still in use to the system, where the C library can.

    The tapes of a large picture leave gigabytes of such holes.
    """
    if device.type == "cpu" and sys.platform == "linux":
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if malloc_trim:
            malloc_trim(0)


def release_cache(device: torch.device) -> None:
    """Return to a CUDA card what torch keeps of freed buffers, which are too small for the next level's.
    On a CPU the C library sees to that."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def release(device: torch.device) -> None:
    """Free what is cached, after memory ran out."""
    gc.collect()
    release_cache(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Check whether an error is one that torch or Python raise when an allocation fails."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)) is not None


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement of `read_peak_memory`, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR_REFS.exists() and os.access(CLEAR_REFS, os.W_OK):
        CLEAR_REFS.write_text("5")  # 5: reset the peak resident size (proc(5))


def read_peak_memory(device: torch.device) -> int:
    """Return the peak in bytes: allocated on a CUDA card; resident of the whole process on a CPU."""
    if device.type == "cuda":
        stats = torch.cuda.memory_stats_as_nested_dict(device)  # the flat one takes milliseconds
        return int(stats["allocated_bytes"]["all"]["peak"])
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
