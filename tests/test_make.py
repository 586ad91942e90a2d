"""The environment that `make` sets up: made, mended, and left alone when it is good."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Stands for Python: makes a .venv with itself in it, and writes down what it was asked to do.
STUB = """#!/bin/sh
echo "$*" >> calls
case "$*" in "-m venv"*) rm -rf .venv; mkdir -p .venv/bin; cp stub .venv/bin/python;; esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    (tmp_path / "stub").write_text(STUB)
    (tmp_path / "stub").chmod(0o755)
    return tmp_path


def set_up(project: Path, *variables: str) -> list[str]:
    """Return the calls of Python that `make setup` makes."""
    (project / "calls").write_text("")
    command = ["make", "setup", "PYTHON=./stub", "LOCKED=", *variables]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return (project / "calls").read_text().splitlines()


def test_an_environment_is_made_once(project: Path) -> None:
    calls = set_up(project)
    assert "-m venv --clear .venv" in calls
    assert any("--upgrade pip" in call for call in calls)
    assert calls[-1].endswith("-e .[worker,embedded,film]")
    assert [call for call in set_up(project) if call.startswith("-m")] == []


@pytest.mark.parametrize("half", ["no pip", "no python"])
def test_a_half_made_environment_mends_itself(project: Path, half: str) -> None:
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    if half == "no pip":
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    else:
        python.symlink_to("/no/such/python")
    assert "-m venv --clear .venv" in set_up(project)


def test_an_environment_whose_python_is_gone_is_made_anew(project: Path) -> None:
    set_up(project)
    (project / ".venv" / "bin" / "python").unlink()
    assert "-m venv --clear .venv" in set_up(project)


def test_a_locked_environment_is_made_of_its_lock_and_anew_when_that_changes(
    project: Path,
) -> None:
    # Given an environment with whatever is newest
    set_up(project)
    # When one is asked for as it is locked
    calls = [call for call in set_up(project, "LOCKED=1") if " install " in call]
    # Then every package comes from the lock, and the farm brings none
    assert len(calls) == 2
    assert calls[0].endswith("install --require-hashes --no-deps -r locks/farm.txt")
    assert calls[1].endswith("install -q --no-deps --no-build-isolation -e .")
    # And it is left alone until another lock comes
    assert not [call for call in set_up(project, "LOCKED=1") if " install " in call]
    later = (project / ".venv" / ".farm-locked").stat().st_mtime + 1
    os.utime(project / "locks" / "farm.txt", (later, later))
    assert any("--require-hashes" in call for call in set_up(project, "LOCKED=1"))
