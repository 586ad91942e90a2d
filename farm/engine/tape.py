"""The tape: what a tile's forward pass keeps for its backward pass, as small as it can be.

The gradient of a ReLU network at a picture needs no activations: one bit for each ReLU records whether
it passes, two bits for each pooled value record its origin. Only where a loss compares features does the
backward pass need the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

SPREAD = 0x0101010101010101  # a byte into all eight bytes of a word
GATHER = 0x0102040810204080  # eight bytes of 0 or 1 into the word's top byte, the first lowest
ONE_BIT_EACH = 0x8040201008040201 - (1 << 64)  # of byte i, bit i


@dataclass
class Pooling:
    """The pooling of one block: where each value came from, and whether it is above zero."""

    # Corner of its window that each value came from, packed, 2 bits each.
    corners: Tensor
    # Whether each value is above zero, packed, 1 bit each.
    alive: Tensor
    # (h, w, C), of the values.
    shape: tuple[int, ...]

    @classmethod
    def from_values(cls, values: Tensor, places: Tensor, width: int) -> Pooling:
        """Pack `vgg.max_pool`'s values and places (h, w, C) of a picture this wide before pooling."""
        return cls(_pack_corners(places, width), pack(values > 0), tuple(values.shape))

    def unpack(self) -> tuple[Tensor, Tensor]:
        """Return corners, as `vgg.max_pool_back` takes them, and alive: each (h, w, C)."""
        return _unpack_corners(self.corners, self.shape), unpack(self.alive, self.shape)


@dataclass
class Tape:
    """The record of one tile's forward pass."""

    # By layer, (H, W, C).
    features: dict[str, Tensor] = field(default_factory=dict)
    # By layer, packed: whether each feature is above zero.
    signs: dict[str, Tensor] = field(default_factory=dict)
    # By block.
    poolings: dict[int, Pooling] = field(default_factory=dict)


def pack(mask: Tensor) -> Tensor:
    """Pack a bool mask, a multiple of 8 long, into uint8, one bit each."""
    words = mask.view(-1).view(torch.int64)
    return words.mul(GATHER).bitwise_right_shift_(56).to(torch.uint8)


def unpack(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the bool mask of this shape that `pack` was given."""
    words = packed.to(torch.int64).mul_(SPREAD).bitwise_and_(ONE_BIT_EACH)
    return words.view(torch.uint8).clamp_(max=1).view(torch.bool).view(shape)


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


def _unpack_corners(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    words = packed.to(torch.int32).mul_(0x1001)
    words = (words | words << 6).bitwise_and_(0x03030303)
    return words.view(torch.uint8).view(shape)
