"""The part of the photograph that stays: its pixels where `keep` is white or where it is transparent.

The objective is a function of the picture with the photograph laid over it, y = x + s (photograph - x):
all that is painted is painted beside what will be there, and the gradient by x is (1 - s) times that by
y. Where s is 1, y is the photograph's own to the bit, resized to the level.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farm.engine.maps import FULL


class Kept:
    """The photograph where it stays.

    Args:
        photograph: (1, 3, H, W) in [0, 1], at the size of the picture.
        stays: (H, W) uint8, how much of it. below: what else stays, over which it is laid.
    """

    def __init__(self, photograph: Tensor, stays: Tensor, below: Kept | None = None) -> None:
        self._photograph, self._below = photograph, below
        self._share = stays.to(photograph.device, photograph.dtype).div_(FULL)  # (H, W)

    def lay_over(self, picture: Tensor) -> Tensor:
        """Return a picture (1, 3, H, W), on whatever device, with the photograph where that stays."""
        if self._below is not None:
            picture = self._below.lay_over(picture)
        photograph, share = (each.to(picture.device) for each in (self._photograph, self._share))
        return torch.lerp(picture, photograph, share)

    def limit(self, gradient: Tensor) -> Tensor:
        """Turn the gradient by what `lay_over` returns into that by what it took, in place."""
        gradient.mul_(1 - self._share)
        return gradient if self._below is None else self._below.limit(gradient)
