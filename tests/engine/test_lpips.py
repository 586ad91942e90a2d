"""LPIPS over the farm's own network: against the authors' formula, in plain torch, and in its order."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from farm.engine import lpips
from farm.engine.feature_cache import FeatureCache
from farm.engine.pyramid import to_tensor
from farm.engine.vgg import VGG
from farm.engine.weights import load
from tests.conftest import load_sample

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vgg(weights_dir: Path) -> VGG:
    return VGG("vgg16", load("vgg16", weights_dir), CPU)


def compress(picture: np.ndarray, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(file, "JPEG", quality=quality)
    return to_tensor(np.asarray(Image.open(file), dtype=np.float32) / 255, CPU)


def test_it_is_the_authors_formula(vgg: VGG, weights_dir: Path) -> None:
    weights = lpips.load_weights()
    assert weights is not None, "torchmetrics carries them"
    assert [len(weights[layer]) for layer in lpips.LAYERS] == [64, 128, 256, 512, 512]
    assert all((each > 0).all() for each in weights.values())
    one, other = (to_tensor(load_sample(name, 64), CPU)[..., :48, :48] for name in ("street", "mosaic"))

    tensors, features = load("vgg16", weights_dir), [one, other]
    expected = 0.0
    for block, count in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, count + 1):
            weight, bias = (tensors[f"conv{block}_{index}.{part}"] for part in ("weight", "bias"))
            padded = [F.pad(x, (1, 1, 1, 1), mode="replicate") for x in features]
            features = [F.relu(F.conv2d(x, weight, bias)) for x in padded]
        units = [x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt() for x in features]
        scale = weights[f"relu{block}_{count}"][:, None, None]
        expected += float(((units[0] - units[1]).square() * scale).sum(dim=1).mean())
        features = [F.max_pool2d(x, 2) for x in features]

    assert lpips.compute(one, other, vgg, None) == pytest.approx(expected, rel=1e-4)


def test_the_worse_a_picture_is_compressed_the_further_it_is(vgg: VGG) -> None:
    picture, cache = load_sample("street", 128), FeatureCache()
    photograph = to_tensor(picture, CPU)
    found = [lpips.compute(compress(picture, q), photograph, vgg, cache) or 0 for q in (95, 50, 20, 5)]
    assert found == sorted(found)
    assert 0 < found[0] < 0.05 < found[-1] < 1


def test_large_pictures_are_compared_small_and_other_networks_not_at_all(
    vgg: VGG, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = torch.full((1, 3, 400, 800), 0.5)
    sides: list[int] = []
    convolve = VGG.convolve

    def watch(self: VGG, layer: str, x: torch.Tensor) -> torch.Tensor:
        sides.append(max(x.shape[:2]))
        return convolve(self, layer, x)

    monkeypatch.setattr(VGG, "convolve", watch)
    assert lpips.compute(large, large, vgg, None) == 0
    assert max(sides) == lpips.PIXELS
    monkeypatch.setattr(vgg, "network", "vgg19")
    assert lpips.compute(large, large, vgg, None) is None
