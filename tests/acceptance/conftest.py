"""One running farm for the acceptance tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.testbed.processes import RunningFarm, farm_up


@pytest.fixture(scope="session")
def kept_farm(tmp_path_factory: pytest.TempPathFactory, weights_dir: Path) -> Iterator[RunningFarm]:
    """`farm up` on the embedded default, which some tests stop and start again."""
    with farm_up(tmp_path_factory.mktemp("farm") / "home") as running:
        yield running


@pytest.fixture
def farm(kept_farm: RunningFarm) -> RunningFarm:
    """The farm of all these tests, which runs also where a test failed while it was stopped."""
    if kept_farm.process.poll() is not None:
        kept_farm.start()
    return kept_farm
