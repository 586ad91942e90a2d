"""Deep statistics of a picture, small enough to be kept: means and deviations of channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.engine.gradient import Pass
from farm.engine.pyramid import resize
from farm.engine.vgg import VGG
from farm.recipe.memory_plan import WHOLE


@torch.no_grad()
def describe(picture: Tensor, vgg: VGG, layers: Sequence[str], longest: int) -> NDArray[np.float32]:
    """Describe a picture (1, 3, H, W) by its features in some layers, C channels together.

    Args:
        longest: side at which it is looked at, px; a larger picture is shrunk to it.

    Returns:
        (2, C): each channel's mean over positions, then its standard deviation.
    """
    height, width = picture.shape[2:]
    scale = min(1.0, longest / max(height, width))
    shrunk = resize(picture, max(1, round(height * scale)), max(1, round(width * scale))).clamp(0, 1)
    found: dict[str, Tensor] = {}

    def add(layer: str, where: object, features: Tensor) -> None:
        flat = features.float().flatten(0, 1)  # (h * w, C)
        found[layer] = torch.stack((flat.mean(dim=0), flat.std(dim=0, correction=0)))

    Pass(vgg, frozenset(layers), WHOLE, shrunk.to(vgg.device)).forward(add)
    joined: NDArray[np.float32] = torch.cat([found[layer] for layer in layers], dim=1).cpu().numpy()
    return joined
