"""Pooling by the maximum, and its adjoint, with as little kept in between as can be.

Of each pooled value the gradient needs its origin among the four pixels of its window, and whether it is
above zero. A CPU takes torch's own pooling and packs both into half a byte. A GPU writes one byte, by
a kernel of our own (`cuda_kernels.py`) or by comparing views of the picture: torch's places, eight
bytes a value, would cost it three times as much.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.bits import find_positive, view_bits
from farm.engine.convolution import as_hwc, as_nchw
from farm.engine.cuda_kernels import find_kernels
from farm.engine.tiles import pool_side

DEAD = 4  # code of a value that is not above zero


class Pooling(Protocol):
    """The pooling of one block: where each value came from, and whether it is above zero."""

    # (h, w, C), of the values.
    shape: torch.Size

    def spread(self, d: Tensor, height: int, width: int) -> Tensor:
        """Apply the adjoint of pooling and of the ReLU below: d (h, w, C) -> (height, width, C)."""


def max_pool(x: Tensor, coded: bool) -> tuple[Tensor, Pooling]:
    """Pool (H, W, C) 2 x 2 by the maximum; a side of one pixel stays as it is.

    Args:
        coded: whether origins are kept as a GPU likes it, one byte a value.

    Returns:
        The values (H // 2, W // 2, C), and what the way back needs.
    """
    if coded:
        return _pool_coded(x)
    H, W, _ = x.shape
    values, places = F.max_pool2d(as_nchw(x), (min(2, H), min(2, W)), return_indices=True)
    values, places = as_hwc(values), as_hwc(places)
    dead = find_positive(values).bitwise_xor_(1).mul_(DEAD)
    return values, PackedPooling(_pack(dead.maximum(_compute_code(places, W))), values.shape)


def _pool_coded(x: Tensor) -> tuple[Tensor, CodedPooling]:
    kernels = find_kernels(x) if min(x.shape[:2]) > 1 else None
    values, code = kernels.pool(x) if kernels else _pool_views(x)
    return values, CodedPooling(code, values.shape)


def _pool_views(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values and their codes, by comparing views of the windows."""
    values, right = _take_larger(*_view_windows(x).unbind(3))
    columns = right.unbind(1)  # by row of the window
    values, below = _take_larger(*values.unbind(1))
    code = torch.where(below, columns[-1], columns[0]).view(torch.uint8).add_(below, alpha=2)
    values = values.contiguous()
    return values, code.masked_fill_(values <= 0, DEAD)


def _take_larger(first: Tensor, second: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the larger of two, and whether it is the second; the first where there is no other."""
    if second is None:
        return first, torch.zeros_like(first, dtype=torch.bool)
    return torch.maximum(first, second), second > first


def _view_windows(x: Tensor) -> Tensor:
    """View x (H, W, C) by its pooling windows: (h, rows, w, columns, C); an odd rest is in none."""
    H, W, _ = x.shape
    down, across = min(2, H), min(2, W)
    h, w = pool_side(H), pool_side(W)
    rows = torch.unflatten(x[: down * h, : across * w], 0, (h, down))
    return torch.unflatten(rows, 2, (w, across))


@dataclass
class CodedPooling:
    """The pooling of one block, one byte a value."""

    # (h, w, C) uint8: 2 * row + column of the pixel that each value came from, or `DEAD`.
    code: Tensor
    # (h, w, C), of the values.
    shape: torch.Size

    def spread(self, d: Tensor, height: int, width: int) -> Tensor:
        """Apply the adjoint of pooling and of the ReLU below: d (h, w, C) -> (height, width, C)."""
        return _spread_at_once(d, self.code, height, width)


@dataclass
class PackedPooling:
    """The pooling of one block, half a byte a value."""

    # The code of `CodedPooling`, two to a byte.
    packed: Tensor
    # (h, w, C), of the values.
    shape: torch.Size

    def spread(self, d: Tensor, height: int, width: int) -> Tensor:
        """Apply the adjoint of pooling and of the ReLU below: d (h, w, C) -> (height, width, C)."""
        return _spread_by_corner(d, _unpack(self.packed).view(self.shape), height, width)


def _spread_at_once(d: Tensor, code: Tensor, height: int, width: int) -> Tensor:
    """Write d (h, w, C) to the pixels that the codes name, zero elsewhere: (height, width, C), in as few
    calls as can be."""
    kernels = find_kernels(d) if min(height, width) > 1 else None
    if kernels:
        return kernels.spread(d, code, height, width)
    back, windows = _allocate_windows(d, height, width)
    _, down, _, across, _ = windows.shape
    corners = _number_corners(down, across, d.device)
    torch.mul(d[:, None, :, None], code[:, None, :, None] == corners, out=windows)
    return back


def _spread_by_corner(d: Tensor, code: Tensor, height: int, width: int) -> Tensor:
    """Do the same with all values at once, corner by corner of the windows. On a CPU it takes a fifth of
    the time; torch's own, on one thread for one picture, takes several times as long."""
    back, windows = _allocate_windows(d, height, width)
    bits, windows = view_bits(d), view_bits(windows)
    code, here = code.to(bits.dtype), torch.empty_like(bits)
    for row, column in itertools.product(range(windows.shape[1]), range(windows.shape[3])):
        torch.eq(code, 2 * row + column, out=here)  # 0 or 1
        torch.mul(bits, here, out=windows[:, row, :, column])
    return back


def _allocate_windows(d: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Allocate (height, width, C), with zeros where no window is, and view its windows."""
    back = d.new_empty(height, width, d.shape[2])
    if height > 1 and height % 2:  # an odd rest is in no window
        back[-1:] = 0
    if width > 1 and width % 2:
        back[:, -1:] = 0
    return back, _view_windows(back)


@lru_cache(maxsize=16)
def _number_corners(down: int, across: int, device: torch.device) -> Tensor:
    """Return the codes of a window's pixels, (down, 1, across, 1) uint8."""
    codes = 2 * torch.arange(down)[:, None, None, None] + torch.arange(across)[:, None]
    return codes.to(device, torch.uint8)


def _compute_code(places: Tensor, width: int) -> Tensor:
    """Return 2 * row + column in its window, uint8, for places (h, w, C) in planes `width` px wide."""
    h, w, _ = places.shape
    below = places >= _find_second_rows(h, w, width, places.device)
    code = places.to(torch.uint8).bitwise_and_(1)  # the column, where the row's first place is even
    if width % 2:
        code.bitwise_xor_(below)
    return code.add_(below, alpha=2)


@lru_cache(maxsize=64)
def _find_second_rows(h: int, w: int, width: int, device: torch.device) -> Tensor:
    """Return the place of the first pixel in the second row of each window: (h, w, 1)."""
    rows = torch.arange(h).mul_(2 * width).add_(width)
    return (rows[:, None] + torch.arange(w).mul_(2))[..., None].to(device)


def _pack(code: Tensor) -> Tensor:
    """Pack codes, an even number of them, two to a byte."""
    pairs = code.view(-1, 2)
    return pairs[:, 0] + pairs[:, 1] * 16


def _unpack(packed: Tensor) -> Tensor:
    """Return the codes, flat, that `_pack` was given."""
    return torch.stack((packed & 15, packed >> 4), dim=1)
