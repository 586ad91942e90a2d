"""Masks packed into bits, eight to a byte, by arithmetic on words: torch has none of its own."""

from __future__ import annotations

import torch
from torch import Tensor

SPREAD = 0x0101010101010101  # a byte into all eight bytes of a word
GATHER = 0x0102040810204080  # eight bytes of 0 or 1 into the word's top byte, the first lowest
ONE_BIT_EACH = 0x8040201008040201 - (1 << 64)  # of byte i, bit i


def pack(mask: Tensor) -> Tensor:
    """Pack a bool mask, a multiple of 8 long, into uint8, one bit each."""
    words = mask.view(-1).view(torch.int64)
    return words.mul(GATHER).bitwise_right_shift_(56).to(torch.uint8)


def unpack(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the bool mask of this shape that `pack` was given."""
    words = packed.to(torch.int64).mul_(SPREAD).bitwise_and_(ONE_BIT_EACH)
    return words.view(torch.uint8).clamp_(max=1).view(torch.bool).view(shape)
