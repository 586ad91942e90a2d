"""The locks hold what pyproject.toml asks for: `make lock` writes them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCKS = {
    "web": ["film", "s3"],
    "farm": ["worker", "embedded", "film", "s3"],
    "test": ["worker", "embedded", "film", "s3", "test", "lint"],
}


def read_lock(name: str) -> dict[str, Version]:
    """Return the version of each package; one is chosen for all machines and Pythons."""
    versions: dict[str, Version] = {}
    for entry in read_entries(name):
        requirement = Requirement(entry.split(" --hash")[0])
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert requirement.name not in versions, "two versions of one package"
        versions[canonicalize_name(requirement.name)] = Version(pin.version)
    return versions


def read_entries(name: str) -> Iterator[str]:
    """Yield the requirements of a lock, each with its hashes in one line."""
    lines = (ROOT / "locks" / f"{name}.txt").read_text().replace("\\\n", " ").splitlines()
    return (" ".join(line.split()) for line in lines if line and not line.startswith("#"))


def list_wanted(extras: list[str]) -> list[Requirement]:
    """Return what the farm asks for directly, and what installs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in extras:
        asked += project["project"]["optional-dependencies"][extra]
    return [Requirement(each) for each in asked]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_within_the_ranges_of_the_project(name: str) -> None:
    locked = read_lock(name)
    wrong = [
        str(wanted)
        for wanted in list_wanted(LOCKS[name])
        if (version := locked.get(canonicalize_name(wanted.name))) is None
        or not wanted.specifier.contains(version)
    ]
    assert not wrong, "locks/ is older than pyproject.toml: make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_and_no_address(name: str) -> None:
    for entry in read_entries(name):
        assert re.search(r"( --hash=sha256:[0-9a-f]{64})+$", entry), entry
        assert "://" not in entry


@pytest.mark.parametrize("name", ["web", "farm"])
def test_what_is_tested_is_what_runs(name: str) -> None:
    tested = read_lock("test")
    assert read_lock(name).items() <= tested.items()
