"""One running farm for the acceptance tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.testbed.processes import RunningFarm, farm_up


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory, weights_dir: Path) -> Iterator[RunningFarm]:
    """`farm up` on the embedded default."""
    with farm_up(tmp_path_factory.mktemp("farm") / "home") as running:
        yield running
