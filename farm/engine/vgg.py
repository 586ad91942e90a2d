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
from farm.engine.tiles import pooled
from farm.recipe.recipe import CONVOLUTIONS, layer_names


class VGG:
    """The convolutions of one network on one device. Nothing in it is trained or changed.

    features: the network's name. tensors: `conv1_1.weight` (out, in, 3, 3), `conv1_1.bias` (out,) ..
    as `weights.load` gives them. dtype: of weights and activations. winograd: whether wide layers are
    convolved after Winograd.
    """

    def __init__(
        self,
        features: str,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        winograd: bool = False,
    ) -> None:
        self.features = features
        self.device = device
        self.dtype = dtype
        self.winograd = winograd
        self.layers = layer_names(features)
        self.convolutions = dict(enumerate(CONVOLUTIONS[features], start=1))
        self._weight = {
            layer: _channels_last(tensors[f"conv{layer[4:]}.weight"].to(device, dtype))
            for layer in self.layers
        }
        self._bias = {layer: tensors[f"conv{layer[4:]}.bias"].to(device, dtype) for layer in self.layers}
        self._kernels: dict[tuple[str, bool], Kernel] = {}

    def is_last_of_block(self, layer: str) -> bool:
        """Whether pooling follows."""
        return int(layer[6:]) == self.convolutions[int(layer[4])]

    def convolve(self, layer: str, x: Tensor) -> Tensor:
        """The layer's convolution and ReLU, x's border repeated: (H, W, C) -> (H, W, O)."""
        out = self._kernel(layer, back=False)(x, self._bias[layer])
        repeat_border(out, x, self._weight[layer], self._bias[layer])
        return out

    def convolve_back(self, layer: str, d: Tensor) -> Tensor:
        """The adjoint of the layer's convolution: (H, W, O) -> (H, W, C)."""
        back = self._kernel(layer, back=True)(d)
        fold_border(back, d, self._weight[layer])
        return back

    def _kernel(self, layer: str, *, back: bool) -> Kernel:
        """Made when it is first wanted: most recipes do without the deepest layers."""
        key = (layer, back)
        if key not in self._kernels:
            weight = self._weight[layer]
            self._kernels[key] = kernel(adjoint(weight) if back else weight, self.winograd)
        return self._kernels[key]


def _channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Max pooling 2 x 2 of (H, W, C): values (H // 2, W // 2, C), and for each where in its plane it
    was. A side of one pixel stays as it is."""
    H, W, _ = x.shape
    window = (min(2, H), min(2, W))
    values, places = F.max_pool2d(as_nchw(x), window, return_indices=True)
    return as_hwc(values), as_hwc(places)


def pool_back(d: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """The adjoint of `pool`: (h, w, C) -> (height, width, C).

    corners: (h, w, C) uint8, which pixel of its window each value was: 2 * row + column. (torch does the
    same on one thread for one picture, several times slower.)
    """
    h, w, C = d.shape
    assert (h, w) == (pooled(height), pooled(width))
    down, across = min(2, height), min(2, width)
    back = d.new_empty(height, width, C)
    back[down * h :] = 0  # an odd rest is in no window
    back[:, across * w :] = 0
    for row in range(down):
        for column in range(across):
            pixels = back[row : down * h : down, column : across * w : across]
            torch.mul(d, corners == 2 * row + column, out=pixels)
    return back
