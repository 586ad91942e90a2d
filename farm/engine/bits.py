"""Masks of features: found and applied by the features' own bits, and packed eight to a byte by
arithmetic on words, of which torch has none of its own.

As integers of the same size, floats keep their sign, and times 0 or 1 they are 0 or what they were. On a
CPU torch compares and multiplies such integers several times faster than half precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farm.engine.cuda_kernels import find_kernels

SPREAD = 0x0101010101010101  # a byte into all eight bytes of a word
GATHER = 0x0102040810204080  # eight bytes of 0 or 1 into the word's top byte, the first lowest
ONE_BIT_EACH = 0x8040201008040201 - (1 << 64)  # of byte i, bit i

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by size in bytes


def view_bits(x: Tensor) -> Tensor:
    """View floats as integers of their size."""
    return x.view(INTEGERS[x.itemsize])


def find_positive(x: Tensor) -> Tensor:
    """Return where floats are above zero: 0 or 1, uint8."""
    if x.device.type != "cpu":
        return (x > 0).view(torch.uint8)
    bits = view_bits(x)
    return torch.gt(bits, 0, out=torch.empty_like(bits)).to(torch.uint8)


def keep(x: Tensor, mask: Tensor) -> Tensor:
    """Return x where the mask, of 0 or 1, is 1, and 0 elsewhere."""
    bits = view_bits(x)
    return (bits * mask.to(bits.dtype)).view(x.dtype)


def mask_dead(
    d: Tensor, features: Tensor, rest: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """Apply the adjoint of a ReLU, whose output features (H, W, C) are: d, and the rest that is still to
    be added to it and may be written to, where they are above zero. out: where it is written to."""
    kernels = find_kernels(d)
    if kernels and features.is_contiguous() and out is None:
        return kernels.mask(d, features, rest)
    whole = d if rest is None else rest.add_(d)
    out = torch.empty_like(features) if out is None else out
    masked: Tensor = torch.ops.aten.threshold_backward.grad_input(whole, features, 0, grad_input=out)
    return masked


def pack(mask: Tensor) -> Tensor:
    """Pack a mask of bytes that are 0 or 1, a multiple of 8 long, into uint8, one bit each."""
    words = mask.view(-1).view(torch.int64)
    return words.mul(GATHER).bitwise_right_shift_(56).to(torch.uint8)


def unpack(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the mask of this shape that `pack` was given, uint8."""
    words = packed.to(torch.int64).mul_(SPREAD).bitwise_and_(ONE_BIT_EACH)
    return words.view(torch.uint8).clamp_(max=1).view(shape)
