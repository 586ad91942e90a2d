"""An engine and two small pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import load_sample

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.loaded import Engine


@pytest.fixture(scope="session", autouse=True)
def plain_tensors() -> Iterator[None]:
    """Tensors are compared without a look whether they lie on several machines, for which torch loads
    half of itself and sympy."""
    from torch.testing import _comparison

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_comparison, "_HAS_DTENSOR", False, raising=False)
        yield


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    """An engine of few channels, for what does not depend on their number."""
    from tests.engine.narrow import load_engine

    return load_engine("float32", weights_dir)


@pytest.fixture(scope="module")
def whole_engine(weights_dir: Path) -> Engine:
    """An engine of all channels, for what pictures look like, and for their figures."""
    from farm.engine.loaded import Engine

    return Engine.load("vgg16", "float32", weights_dir, print)


@pytest.fixture(scope="module")
def engine_on_cpu(weights_dir: Path) -> Engine:
    """The same of all channels on the CPU, also where there is a card."""
    import torch

    from farm.engine.loaded import Engine

    return Engine.load("vgg16", "float32", weights_dir, print, torch.device("cpu"))


@pytest.fixture(scope="module")
def lake() -> np.ndarray:
    return load_sample("mountain_lake", 96)


@pytest.fixture(scope="module")
def strokes() -> np.ndarray:
    return load_sample("brushwork", 96)
