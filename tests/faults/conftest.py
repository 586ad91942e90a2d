"""What faults are compared with."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from benchmarks.testbed.processes import farm_up
from tests.faults.six_jobs import QUICK, RECIPES, results

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request would hide the measured


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, weights_dir: Path) -> list[str]:
    """SHA-256 of the six results of a farm that is left in peace."""
    with farm_up(tmp_path_factory.mktemp("peace") / "home", **QUICK) as farm:
        return results(farm, [farm.submit(**recipe) for recipe in RECIPES])
