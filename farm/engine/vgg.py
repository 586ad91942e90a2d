"""VGG's convolutions as a function from a picture to the features of named layers.

Simonyan and Zisserman 2014 (arXiv 1409.1556). Differs from the paper: no classifier; the first
convolution pads by replicating the border, so that the frame of the picture is not darkened; and the
input normalisation is folded into its weights (see `weights.py`), so that pictures go in as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.errors import InvalidInput, Problem
from farm.recipe import layer_names


class VGG:
    """The convolutions of one network on one device. Nothing in it is trained or changed.

    features: the network's name. tensors: `conv1_1.weight` (out, in, 3, 3), `conv1_1.bias` (out,) ..
    as `weights.load` gives them. dtype: of weights and activations.
    """

    def __init__(
        self,
        features: str,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.features = features
        self.dtype = dtype
        self.layers = layer_names(features)
        self._convolutions = {
            layer: (
                tensors[f"conv{layer[4:]}.weight"]
                .to(device, dtype)
                .contiguous(memory_format=torch.channels_last),
                tensors[f"conv{layer[4:]}.bias"].to(device, dtype),
            )
            for layer in self.layers
        }

    def __call__(self, picture: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """Features of the wanted layers.

        Args:
            picture: (1, 3, H, W) RGB, nominally in [0, 1], any float type.
            wanted: layer names such as `relu4_2`.

        Returns:
            For each wanted layer (1, C, h, w), non-negative, in `self.dtype`, h = H // 2**(block - 1).

        Raises:
            InvalidInput: if a layer is not one of this network's.
        """
        unknown = set(wanted) - set(self.layers)
        if unknown:
            message = f"{self.features} has no {', '.join(sorted(unknown))}"
            raise InvalidInput(Problem("layers", message))
        found: dict[str, Tensor] = {}
        x = picture.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for layer, (weight, bias) in self._convolutions.items():
            if len(found) == len(wanted):
                break
            if layer == "relu1_1":
                x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)
            else:
                if layer.endswith("_1"):  # a new block
                    x = F.max_pool2d(x, 2, ceil_mode=min(x.shape[-2:]) < 2)
                x = F.conv2d(x, weight, bias, padding=1)
            x = F.relu(x)
            if layer in wanted:
                found[layer] = x
        return found
