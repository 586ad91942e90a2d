"""An engine and two small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import load_sample

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.loaded import Engine


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    from farm.engine.loaded import Engine

    return Engine.load("vgg16", "float32", weights_dir, print)


@pytest.fixture(scope="module")
def lake() -> np.ndarray:
    return load_sample("mountain_lake", 96)


@pytest.fixture(scope="module")
def strokes() -> np.ndarray:
    return load_sample("brushwork", 96)
