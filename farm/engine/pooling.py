"""Pooling by the maximum, and its adjoint, with as little kept in between as can be.

Of each pooled value the gradient needs its origin among the four pixels of its window, and whether it is
above zero. A CPU takes torch's own pooling and packs both into three bits. A GPU reads four views of the
picture once and writes one byte: torch's places, eight bytes a value, would cost it three times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.bits import pack, unpack
from farm.engine.convolution import as_hwc, as_nchw
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
        coded: whether as suits a GPU.

    Returns:
        The values (H // 2, W // 2, C), and what the way back needs.
    """
    if coded:
        return _pool_views(x)
    H, W, _ = x.shape
    values, places = F.max_pool2d(as_nchw(x), (min(2, H), min(2, W)), return_indices=True)
    values, places = as_hwc(values), as_hwc(places)
    return values, PackedPooling(_pack_corners(places, W), pack(values > 0), values.shape)


def _pool_views(x: Tensor) -> tuple[Tensor, CodedPooling]:
    values, code = _compare_columns(_cut_windows(x, 0))
    if len(x) > 1:
        lower, lower_code = _compare_columns(_cut_windows(x, 1))
        below = lower > values
        code = torch.where(below, lower_code, code).add_(below, alpha=2)
        values = torch.maximum(values, lower)
    values = values.contiguous()
    return values, CodedPooling(code.masked_fill_(values <= 0, DEAD), values.shape)


def _compare_columns(views: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the larger of each window's pixels in one row, and its column as uint8."""
    if len(views) == 1:
        return views[0], torch.zeros_like(views[0], dtype=torch.uint8)
    left, right = views
    return torch.maximum(left, right), (right > left).view(torch.uint8)


def _cut_windows(x: Tensor, row: int) -> list[Tensor]:
    """Return views of the pixels of x (H, W, C) in one row of each window, by column: (h, w, C) each."""
    H, W, _ = x.shape
    down, across = min(2, H), min(2, W)
    h, w = pool_side(H), pool_side(W)
    return [x[row : down * h : down, column : across * w : across] for column in range(across)]


@dataclass
class CodedPooling:
    """The pooling of one block, one byte a value."""

    # (h, w, C) uint8: 2 * row + column of the pixel that each value came from, or `DEAD`.
    code: Tensor
    # (h, w, C), of the values.
    shape: torch.Size

    def spread(self, d: Tensor, height: int, width: int) -> Tensor:
        """Apply the adjoint of pooling and of the ReLU below: d (h, w, C) -> (height, width, C)."""
        return _spread(d, self.code, height, width)


@dataclass
class PackedPooling:
    """The pooling of one block, three bits a value."""

    # Corner of its window that each value came from, packed, 2 bits each.
    corners: Tensor
    # Whether each value is above zero, packed, 1 bit each.
    alive: Tensor
    # (h, w, C), of the values.
    shape: torch.Size

    def spread(self, d: Tensor, height: int, width: int) -> Tensor:
        """Apply the adjoint of pooling and of the ReLU below: d (h, w, C) -> (height, width, C)."""
        alive = unpack(self.alive, self.shape)
        return _spread(d * alive, _unpack_corners(self.corners, self.shape), height, width)


def _spread(d: Tensor, code: Tensor, height: int, width: int) -> Tensor:
    """Write d (h, w, C) to the pixels that the codes name, zero elsewhere: (height, width, C).

    torch does the same on one thread for one picture, several times slower.
    """
    h, w, C = d.shape
    back = d.new_empty(height, width, C)
    if height > 1 and height % 2:  # an odd rest is in no window
        back[2 * h :] = 0
    if width > 1 and width % 2:
        back[:, 2 * w :] = 0
    for row in range(min(2, height)):
        for column, pixels in enumerate(_cut_windows(back, row)):
            torch.mul(d, code == 2 * row + column, out=pixels)
    return back


def _compute_origins(h: int, w: int, width: int, device: torch.device) -> Tensor:
    """Return the place of each window's first pixel in a plane `width` px wide: (h, w, 1)."""
    rows = torch.arange(h, device=device).mul_(2 * width)
    columns = torch.arange(w, device=device).mul_(2)
    return (rows[:, None] + columns)[..., None]


def _pack_corners(places: Tensor, width: int) -> Tensor:
    """Pack places (h, w, C) in planes `width` px wide into uint8, four corners to a byte."""
    h, w, _ = places.shape
    offsets = places - _compute_origins(h, w, width, places.device)  # 0, 1, width, width + 1
    below = (offsets >= width).long()
    corners = offsets.sub_(below.mul_(width - 2)).to(torch.uint8)  # row of the window, column of it
    words = corners.view(-1).view(torch.int32)
    words = words | words >> 6 | words >> 12 | words >> 18
    return words.to(torch.uint8)


def _unpack_corners(packed: Tensor, shape: torch.Size) -> Tensor:
    words = packed.to(torch.int32).mul_(0x1001)
    words = (words | words << 6).bitwise_and_(0x03030303)
    return words.view(torch.uint8).view(shape)
