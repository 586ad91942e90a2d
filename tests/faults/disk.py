"""A disk that is soon full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, megabytes: int = 16) -> Iterator[None]:
    """A disk of so many MB at `place` while the block runs."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("a small disk can be made by root only")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def full(place: Path, but: int = 0) -> Iterator[None]:
    """Not a byte is free on it while the block runs, or no more than so many."""
    filler = place / "filler"
    filler.write_bytes(b"0" * (shutil.disk_usage(place).free - but))
    yield
    filler.unlink()
