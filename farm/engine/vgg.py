"""VGG's convolutions, one at a time, upwards and back.

Simonyan and Zisserman 2014 (arXiv 1409.1556). Differs from the paper: no classifier; each
convolution pads by replicating the border, since the zeros of the paper are a dark frame to every layer,
which the optimiser answers with a frame in the picture; and the input normalisation is folded into the
first one's weights (see `weights.py`), so that pictures go in as they are.

Activations are (H, W, C), contiguous: neighbouring numbers are the channels of one position, which is
what convolutions, Gram matrices and cutting out tiles all like best.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.border import fold_border, repeat_border
from farm.engine.convolution import Kernel, adjoint, as_hwc, as_nchw, kernel
from farm.engine.tiles import pool_side
from farm.recipe.recipe import CONVOLUTIONS, list_layer_names


class VGG:
    """The convolutions of one network on one device. Nothing in it is trained or changed.

    Args:
        network: its name.
        tensors: `conv1_1.weight` (out, in, 3, 3), `conv1_1.bias` (out,) .. as from `weights.load`.
        device: where the convolutions are computed.
        dtype: of weights and activations.
        winograd: whether wide layers are convolved after Winograd.
    """

    def __init__(
        self,
        network: str,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        winograd: bool = False,
    ) -> None:
        self.network = network
        self.device = device
        self.dtype = dtype
        self.winograd = winograd
        self.layers = list_layer_names(network)
        self.convolutions = dict(enumerate(CONVOLUTIONS[network], start=1))
        self._weight = {
            layer: _to_channels_last(tensors[f"conv{layer[4:]}.weight"].to(device, dtype))
            for layer in self.layers
        }
        self._bias = {layer: tensors[f"conv{layer[4:]}.bias"].to(device, dtype) for layer in self.layers}
        self._kernels: dict[tuple[str, bool], Kernel] = {}

    def is_last_of_block(self, layer: str) -> bool:
        """Check whether pooling follows."""
        return int(layer[6:]) == self.convolutions[int(layer[4])]

    def convolve(self, layer: str, x: Tensor) -> Tensor:
        """Apply the layer's convolution and ReLU, x's border repeated: (H, W, C) -> (H, W, O)."""
        out = self._kernel(layer, back=False)(x, self._bias[layer])
        repeat_border(out, x, self._weight[layer], self._bias[layer])
        return out

    def convolve_back(self, layer: str, d: Tensor) -> Tensor:
        """Apply the adjoint of the layer's convolution: (H, W, O) -> (H, W, C)."""
        back = self._kernel(layer, back=True)(d)
        fold_border(back, d, self._weight[layer])
        return back

    def _kernel(self, layer: str, *, back: bool) -> Kernel:
        """Return the layer's kernel, made on first use: most recipes do without the deepest layers."""
        key = (layer, back)
        if key not in self._kernels:
            weight = self._weight[layer]
            self._kernels[key] = kernel(adjoint(weight) if back else weight, self.winograd)
        return self._kernels[key]


def _to_channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Pool (H, W, C) 2 x 2 by the maximum; a side of one pixel stays as it is.

    Returns:
        The values and, for each, its place in the plane of its channel: both (H // 2, W // 2, C).
    """
    H, W, _ = x.shape
    window = (min(2, H), min(2, W))
    values, places = F.max_pool2d(as_nchw(x), window, return_indices=True)
    return as_hwc(values), as_hwc(places)


def max_pool_back(d: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """Apply the adjoint of `max_pool`: (h, w, C) -> (height, width, C).

    torch does the same on one thread for one picture, several times slower.

    Args:
        corners: (h, w, C) uint8, the pixel of its window that each value came from: 2 * row + column.
    """
    h, w, C = d.shape
    assert (h, w) == (pool_side(height), pool_side(width))
    down, across = min(2, height), min(2, width)
    back = d.new_empty(height, width, C)
    back[down * h :] = 0  # an odd rest is in no window
    back[:, across * w :] = 0
    for row in range(down):
        for column in range(across):
            pixels = back[row : down * h : down, column : across * w : across]
            torch.mul(d, corners == 2 * row + column, out=pixels)
    return back
