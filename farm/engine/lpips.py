"""LPIPS, a learned distance of two pictures as people see them (Zhang et al. 2018, arXiv 1801.03924).

The authors' weights of each channel of VGG16, which torchmetrics carries, over this farm's own network.
Differs from the paper: convolutions repeat the border where theirs put zeros, and the network is the one
that painted, of which `vgg16-bsds` was trained further than theirs. So values are named by the network,
and not to be compared with those of papers.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from farm.engine.feature_cache import FeatureCache
from farm.engine.passes import Pass
from farm.engine.pyramid import resize
from farm.engine.vgg import VGG
from farm.recipe.memory_plan import WHOLE

PIXELS = 256  # longest side at which pictures are compared; larger ones are shrunk to it
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # of VGG16, one for each set of weights
NETWORKS = ("vgg16", "vgg16-bsds")  # whose channels are those that the weights are of
EPSILON = 1e-8  # the authors'


def compute(picture: Tensor, photograph: Tensor, vgg: VGG, cache: FeatureCache | None) -> float | None:
    """Return the distance of two pictures (1, 3, H, W) in [0, 1] of one size, both shrunk to `PIXELS`;
    0 is the same. None: this network has other channels, or there are no weights.

    Args:
        cache: of the photograph; None: there is none.
    """
    weights = load_weights()
    if vgg.network not in NETWORKS or weights is None:
        return None
    shrunk = [_shrink(each) for each in (picture, photograph)]
    known = cache or FeatureCache()
    theirs = known.get(("lpips", vgg, shrunk[1].shape), lambda: _extract_unit_features(shrunk[1], vgg))
    ours = _extract_unit_features(shrunk[0], vgg)
    distances = [
        (ours[layer] - theirs[layer]).square().mean(dim=(0, 1)) @ weights[layer].to(vgg.device)
        for layer in LAYERS
    ]
    return float(torch.stack(distances).sum())


@cache
def load_weights() -> dict[str, Tensor] | None:
    """Load the weights (C,) of each layer's channels; None: this torchmetrics carries none."""
    found = find_spec("torchmetrics")
    if found is None or found.origin is None:
        return None
    file = Path(found.origin).parent / "functional" / "image" / "lpips_models" / "vgg.pth"
    if not file.exists():
        return None
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    return {layer: tensors[f"lin{n}.model.1.weight"].flatten() for n, layer in enumerate(LAYERS)}


def _shrink(picture: Tensor) -> Tensor:
    height, width = picture.shape[2:]
    scale = min(1.0, PIXELS / max(height, width))
    return resize(picture, max(1, round(height * scale)), max(1, round(width * scale))).clamp(0, 1)


def _extract_unit_features(picture: Tensor, vgg: VGG) -> dict[str, Tensor]:
    """Extract features (h, w, C), each position's of length 1."""
    found: dict[str, Tensor] = {}

    def keep(layer: str, where: object, features: Tensor) -> None:
        whole = features.float()
        found[layer] = whole / (whole.square().sum(dim=2, keepdim=True) + EPSILON).sqrt()

    Pass(vgg, frozenset(LAYERS), WHOLE, picture.to(vgg.device)).forward(keep)
    return found
