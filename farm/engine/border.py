"""A border that repeats itself, around convolutions that pad with zeros.

VGG pads with zeros. To each of its layers those are a dark frame around the picture, which the optimiser
answers with a frame in the picture. Small inputs, on a GPU larger ones, too, are padded by their border;
of others only the outermost lines of the output, in which the two paddings differ, are computed anew, as
one product of their patches with the weights. The adjoint of either adds up what belongs to the border.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from farm.engine.cuda_kernels import find_kernels


def pad_by_repeating(x: Tensor) -> Tensor:
    """Repeat the border of x (H, W, C) once around it: (H + 2, W + 2, C)."""
    kernels = find_kernels(x)
    if kernels:
        return kernels.pad(x)
    rows, columns = _index_padded(*x.shape[:2], x.device)
    return x[rows, columns]


def repeat_border(out: Tensor, x: Tensor, taps: Tensor, bias: Tensor) -> None:
    """Overwrite the outermost lines of `out` by those of a convolution that repeats x's border.

    Args:
        out: (H, W, O), contiguous, the convolution of x with zeros around, rectified.
        x: (H, W, C), contiguous. taps: (O, 9 C), the kernel row by row. bias: (O,).
    """
    H, W, C = x.shape
    places, patches = _index_border(H, W, x.device)
    patches_of_x = x.view(H * W, C).index_select(0, patches).view(-1, 9 * C)
    lines = torch.addmm(bias, patches_of_x, taps.T).relu_()
    out.view(H * W, -1).index_copy_(0, places, lines)


def fold_border(padded: Tensor) -> Tensor:
    """Apply the adjoint of `pad_by_repeating`: (H + 2, W + 2, C), which changes -> (H, W, C), a view."""
    for lines in (padded, padded.transpose(0, 1)):
        last = len(lines) - 2
        if last > 1:  # both ends at once
            lines[1 : last + 1 : last - 1].add_(lines[:: last + 1])
        else:
            lines[1].add_(lines[0]).add_(lines[2])
    return padded[1:-1, 1:-1]


@lru_cache(maxsize=64)
def _index_padded(H: int, W: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the row (H + 2, 1) and the column (1, W + 2) that each padded place repeats."""
    rows = torch.arange(-1, H + 1).clamp(0, H - 1)
    columns = torch.arange(-1, W + 1).clamp(0, W - 1)
    return rows[:, None].to(device), columns[None].to(device)


@lru_cache(maxsize=64)
def _index_border(H: int, W: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the places of the outermost lines in a plane, (n,), and of their patches, (9 n,)."""
    edge = torch.zeros(H, W, dtype=torch.bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    rows, columns = edge.nonzero(as_tuple=True)
    steps = torch.arange(-1, 2)
    near_rows = (rows[:, None] + steps).clamp(0, H - 1)
    near_columns = (columns[:, None] + steps).clamp(0, W - 1)
    patches = near_rows[:, :, None] * W + near_columns[:, None]
    return (rows * W + columns).to(device), patches.flatten().to(device)
