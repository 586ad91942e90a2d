"""The describer answers what forms ask, on real weights and whatever the bytes are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from farm.database import sessions
from farm.engine import descriptor
from farm.engine.pyramid import to_tensor
from farm.engine.vgg import VGG
from farm.engine.weights import load
from farm.pictures import descriptors
from tests.conftest import SAMPLES, fresh_settings, load_sample
from workers.describer import Describer


@pytest.fixture
def describer() -> Iterator[Describer]:
    made = Describer()
    yield made
    made.close()


def ask(**pictures: bytes) -> None:
    with sessions.write_session() as session:
        descriptors.ask_for(session, pictures)


def test_pictures_are_described_and_what_is_none_is_answered_too(
    farm_with_tables: Path, weights_dir: Path, describer: Describer
) -> None:
    assert describer.describe_requested() == 0
    ask(street=(SAMPLES / "street.jpg").read_bytes(), broken=b"no picture", empty=b"\xff\xd8\xff")
    assert describer.describe_requested() == 3
    assert describer.describe_requested() == 0
    with sessions.read_session() as session:
        found = descriptors.find(session, ["street", "broken", "empty"])
    assert found["broken"] is found["empty"] is None
    assert found["street"] is not None
    assert found["street"].values.shape == (2, 256 + 512)
    # As the whole sample would be, described at this size
    vgg = VGG(found["street"].network, load(found["street"].network, weights_dir), torch.device("cpu"))
    whole = to_tensor(load_sample("street", 1024), torch.device("cpu"))
    expected = descriptor.describe(whole, vgg, descriptors.LAYERS, descriptors.PIXELS)
    assert np.abs(found["street"].values - expected).mean() < 0.05 * np.abs(expected).mean()


def test_without_weights_nothing_is_answered_and_nothing_is_fetched(
    farm_with_tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, describer: Describer
) -> None:
    monkeypatch.setenv("FARM_WEIGHTS_DIR", str(tmp_path / "none"))
    fresh_settings()
    ask(street=b"street")
    assert describer.describe_requested() == 0
    with sessions.read_session() as session:
        assert descriptors.list_requested(session, 10) == [("street", b"street")]


def test_statistics_are_those_of_the_features(weights_dir: Path) -> None:
    vgg = VGG("vgg16", load("vgg16", weights_dir), torch.device("cpu"))
    flat = torch.full((1, 3, 32, 48), 0.5)
    means, deviations = descriptor.describe(flat, vgg, ("relu2_1", "relu1_1"), 32)
    assert len(means) == 128 + 64
    assert np.abs(deviations).max() < 1e-3 * means.max()  # the border is repeated, so all is alike
