"""Colours that stay where they are while a picture grows.

A picture has many arrangements of colours with the same statistics, and a large one that grows out of a
draft would wander from the draft's to another. So the mean colours of a coarse grid of patches are kept;
all that is finer is free.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

GRID = 8  # patches along each side
FINE = 512  # smaller patches, along each side


def average_colours(picture: Tensor) -> Tensor:
    """Average the colours of a picture (1, 3, H, W) over a grid of patches: (1, 3, 8, 8)."""
    H, W = picture.shape[-2:]
    fine = (min(H, FINE), min(W, FINE))  # first, as float32 cannot add up a patch of 8K at once
    return F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(picture, fine), GRID)


def keep_colours(picture: Tensor, kept: Tensor) -> None:
    """Move a picture (1, 3, H, W) in [0, 1] smoothly to these mean colours (1, 3, 8, 8), in place."""
    apart = kept - average_colours(picture)
    size = picture.shape[-2:]
    picture += F.interpolate(apart, size=size, mode="bilinear", align_corners=False)
    picture.clamp_(0, 1)
