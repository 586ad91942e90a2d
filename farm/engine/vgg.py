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

from farm.engine.border import fold_border, pad_by_repeating, repeat_border
from farm.engine.convolution import Kernel, adjoint, kernel
from farm.engine.cuda_kernels import TAPS, Kernels, find_kernels
from farm.engine.ways import Way, choose_way
from farm.recipe.networks import CONVOLUTIONS, list_layer_names


class VGG:
    """The convolutions of one network on one device. Nothing in it is trained or changed.

    Args:
        network: its name.
        tensors: `conv1_1.weight` (out, in, 3, 3), `conv1_1.bias` (out,) .. as from `weights.load`.
        device: where the convolutions are computed.
        dtype: of weights and activations.
        winograd: whether wide layers are convolved after Winograd.
        way: None: what suits the device.
    """

    def __init__(
        self,
        network: str,
        tensors: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        winograd: bool = False,
        way: Way | None = None,
    ) -> None:
        self.network = network
        self.device = device
        self.dtype = dtype
        self.winograd = winograd
        self.way = way or choose_way(device, dtype)
        self.layers = list_layer_names(network)
        self.convolutions = dict(enumerate(CONVOLUTIONS[network], start=1))
        self._weight = {
            layer: tensors[f"conv{layer[4:]}.weight"].to(device, dtype) for layer in self.layers
        }
        first = self.layers[0]
        spare = self.way.picture_channels - self._weight[first].shape[1]
        self._weight[first] = F.pad(self._weight[first], (0, 0, 0, 0, 0, spare))
        self._bias = {layer: tensors[f"conv{layer[4:]}.bias"].to(device, dtype) for layer in self.layers}
        self._kernels: dict[tuple[str, bool], Kernel] = {}
        self._taps: dict[str, Tensor] = {}
        of_colours = self._weight[first][:, :3].permute(0, 2, 3, 1).flatten(1)
        self._gathered_taps = F.pad(of_colours, (0, TAPS - of_colours.shape[1])).T

    def is_last_of_block(self, layer: str) -> bool:
        """Check whether pooling follows."""
        return int(layer[6:]) == self.convolutions[int(layer[4])]

    def take_picture(self, pixels: Tensor) -> Tensor:
        """Return pixels (H, W, 3) as the first layer takes them: (H, W, C), contiguous."""
        spare = self.way.picture_channels - 3
        return F.pad(pixels.to(self.dtype), (0, spare)) if spare else pixels.to(self.dtype).contiguous()

    def convolve(self, layer: str, x: Tensor) -> Tensor:
        """Apply the layer's convolution and ReLU, x's border repeated: (H, W, C) -> (H, W, O)."""
        kernels = find_kernels(x) if layer == self.layers[0] else None
        if kernels and x.itemsize == 2:
            return self._convolve_first(x, kernels)
        convolve, bias = self._get_kernel(layer, back=False), self._bias[layer]
        if x.shape[0] * x.shape[1] <= self.way.padded_positions:
            return convolve(pad_by_repeating(x), bias, padding=0)
        out = convolve(x, bias)
        repeat_border(out, x, self._get_taps(layer), bias)
        return out

    def _convolve_first(self, x: Tensor, kernels: Kernels) -> Tensor:
        """Apply the first convolution as one product: cuDNN's kernels are slow for so few channels."""
        bias, taps = self._bias[self.layers[0]], self._gathered_taps
        out: Tensor = torch._addmm_activation(bias, kernels.gather(x), taps)  # a ReLU unless told else
        return out.view(*x.shape[:2], -1)

    def convolve_back(self, layer: str, d: Tensor) -> Tensor:
        """Apply the adjoint of the layer's convolution: (H, W, O) -> (H, W, C), maybe not contiguous."""
        back = fold_border(self._get_kernel(layer, back=True)(d, padding=2))
        return back[..., :3] if layer == self.layers[0] else back

    def _get_kernel(self, layer: str, *, back: bool) -> Kernel:
        """Return the layer's kernel, made on first use: most recipes do without the deepest layers."""
        key = (layer, back)
        if key not in self._kernels:
            weight = self._weight[layer]
            self._kernels[key] = kernel(adjoint(weight) if back else weight, self.winograd)
        return self._kernels[key]

    def _get_taps(self, layer: str) -> Tensor:
        """Return the layer's weights (O, 9 C), row by row of the kernel, made on first use."""
        if layer not in self._taps:
            self._taps[layer] = self._weight[layer].permute(0, 2, 3, 1).flatten(1).contiguous()
        return self._taps[layer]
