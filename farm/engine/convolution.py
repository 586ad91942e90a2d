"""A 3x3 convolution and its adjoint, directly or after Winograd.

`direct` is torch's own. `winograd` is F(4x4, 3x3) of Lavin and Gray 2015 (arXiv 1509.09308): patches of
6 x 6 pixels become, by a fixed linear map, 36 numbers in each channel; the convolution is then 36 plain
matrix products over the channels, a quarter of the multiplications; another map makes 4 x 4 pixels of
each result. Equal but for rounding, which is about four times that of the direct sum; two to three times
as fast on a CPU, where the products are what costs. A GPU's own library does the like by itself.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.device import is_out_of_memory

FEWEST_CHANNELS = 128 * 128  # in times out; below, moving the data costs more than multiplying
# Whether torch offers oneDNN's convolution with weights laid out beforehand; its compiler uses it.
HAS_PACKED = hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight") and hasattr(
    torch.ops.mkldnn, "_convolution_pointwise"
)
BUFFER_BYTES = 8 << 20  # of patches at once, so that they stay near the processor

# The maps for the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray 2015, section 4.3).
INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float64,
)


class Kernel(Protocol):
    """Convolves (H, W, C) to (H + 2 p - 2, W + 2 p - 2, O) with p zeros around; with a bias the result
    is rectified."""

    def __call__(self, x: Tensor, bias: Tensor | None = None, padding: int = 1) -> Tensor: ...


def kernel(weight: Tensor, winograd: bool) -> Kernel:
    """Make the kernel of weight (O, C, 3, 3), in the weight's number format and on its device."""
    if winograd and weight.shape[0] * weight.shape[1] >= FEWEST_CHANNELS:
        return Winograd(weight)
    if weight.device.type == "cpu" and weight.dtype != torch.float64 and HAS_PACKED:
        try:
            return Packed(weight)
        except RuntimeError:  # oneDNN lacks the number format on this processor
            pass
    return Direct(weight)


def adjoint(weight: Tensor) -> Tensor:
    """Return the weight (C, O, 3, 3) whose convolution is the adjoint of that of (O, C, 3, 3)."""
    return weight.flip(2, 3).transpose(0, 1)


def as_nchw(x: Tensor) -> Tensor:
    """View (H, W, C) as (1, C, H, W) in channels-last memory."""
    H, W, C = x.shape
    return x.reshape(1, H, W, C).permute(0, 3, 1, 2)


def as_hwc(x: Tensor) -> Tensor:
    """Return (1, C, H, W) as (H, W, C), contiguous; a view where the memory is channels-last."""
    return x[0].permute(1, 2, 0).contiguous()


class Direct:
    """torch's convolution in channels-last memory."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        self._fuses = weight.device.type != "cpu" and weight.dtype != torch.float64

    def __call__(self, x: Tensor, bias: Tensor | None = None, padding: int = 1) -> Tensor:
        """Convolve, see `Kernel`."""
        nchw = as_nchw(x)
        if bias is None:
            return as_hwc(F.conv2d(nchw, self._weight, padding=padding))
        if self._fuses:
            try:
                return as_hwc(self._convolve_at_once(nchw, bias, padding))
            except RuntimeError as error:  # cuDNN has no such kernel for every shape and card
                if is_out_of_memory(error):
                    raise
                self._fuses = False
        return as_hwc(F.conv2d(nchw, self._weight, bias, padding=padding)).relu_()

    def _convolve_at_once(self, x: Tensor, bias: Tensor, padding: int) -> Tensor:
        """Convolve, add the bias and rectify in one call of cuDNN."""
        padded, once = (padding, padding), (1, 1)
        return torch.cudnn_convolution_relu(x, self._weight, bias, once, padded, once, 1)


class Packed:
    """oneDNN's convolution on a CPU, with weights laid out once as it wants them for inputs of a size.

    torch lays them out at each call, which takes up to half of the time where inputs are small. What
    comes out is the same, of inputs of other sizes, too.

    Raises:
        RuntimeError: oneDNN does not compute in this number format here.
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last).to_mkldnn()
        self._wanted: torch.Size | None = None  # size of the inputs that the weights are laid out for
        self._last: torch.Size | None = None  # of the last input

    def __call__(self, x: Tensor, bias: Tensor | None = None, padding: int = 1) -> Tensor:
        """Convolve, see `Kernel`."""
        nchw, once = as_nchw(x), [1, 1]
        if self._wanted is None or self._wanted != nchw.shape == self._last:  # the second in a row
            lay_out: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
            self._weight = lay_out(self._weight, once, once, once, 1, list(nchw.shape))
            self._wanted = nchw.shape
        self._last = nchw.shape
        then = "none" if bias is None else "relu"
        given: Any = (nchw, self._weight, bias, [padding, padding], once, once, 1, then, [], "")
        return as_hwc(torch.ops.mkldnn._convolution_pointwise(*given))


class Winograd:
    """F(4x4, 3x3), strip by strip."""

    def __init__(self, weight: Tensor) -> None:
        Out, C = weight.shape[:2]
        U = torch.einsum("ai,ocij,bj->abco", KERNEL, weight.double().cpu(), KERNEL)
        self._U = U.reshape(36, C, Out).to(weight)
        self._input = torch.kron(INPUT, INPUT).to(weight)  # (36, 36)
        self._output = torch.kron(OUTPUT, OUTPUT).to(weight)  # (16, 36)

    def __call__(self, x: Tensor, bias: Tensor | None = None, padding: int = 1) -> Tensor:
        """Convolve, see `Kernel`."""
        C, Out = x.shape[2], self._U.shape[2]
        H, W = (side + 2 * padding - 2 for side in x.shape[:2])
        rows, columns = -(-H // 4), -(-W // 4)  # of patches
        out = x.new_empty(4 * rows, 4 * columns, Out)
        strip = max(1, BUFFER_BYTES // (36 * columns * max(C, Out) * x.itemsize))
        for top in range(0, rows, strip):
            count = min(strip, rows - top)
            cut = _pad(x, padding, 4 * top, 4 * (top + count), 4 * columns)
            Y = self._convolve_patches(cut, count, columns)
            if bias is not None:
                Y.add_(bias).relu_()
            strip_out = out[4 * top : 4 * (top + count)].view(count, 4, columns, 4, Out)
            strip_out.copy_(Y.view(count, columns, 4, 4, Out).permute(0, 2, 1, 3, 4))
        return out if out.shape[:2] == (H, W) else out[:H, :W].contiguous()

    def _convolve_patches(self, x: Tensor, rows: int, columns: int) -> Tensor:
        """Convolve x (4 rows + 2, 4 columns + 2, C) to (patches, 16, Out)."""
        _, W, C = x.shape
        P = rows * columns
        overlapping = x.as_strided((rows, columns, 6, 6, C), (4 * W * C, 4 * C, W * C, C, 1))
        D = overlapping.reshape(P, 36, C)
        V = torch.bmm(self._input.expand(P, 36, 36), D)  # (P, 36, C)
        M = torch.bmm(V.transpose(0, 1), self._U)  # (36, P, Out)
        return torch.bmm(self._output.expand(P, 16, 36), M.transpose(0, 1))


def _pad(x: Tensor, padding: int, top: int, bottom: int, width: int) -> Tensor:
    """Cut out of x (H, W, C), zero beyond its edges, what rows top .. bottom and columns 0 .. width of
    its convolution take: (bottom - top + 2, width + 2, C)."""
    H, W, _ = x.shape
    begin, end = top - padding, bottom + 2 - padding
    first, last = max(0, begin), min(H, end)
    beyond = (0, 0, padding, width + 2 - padding - W, first - begin, end - last)
    return F.pad(x[first:last], beyond)
