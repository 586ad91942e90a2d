"""The levels a picture grows through, and resizing between them.

Coarse to fine, as in Gatys et al. 2017 (arXiv 1611.07865, section 5): the small levels lay out the large
shapes that VGG's receptive field could not see at the final size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.recipe.levels import Level as Level  # re-exported: the web part needs them without torch
from farm.recipe.levels import compute_levels as compute_levels

MAX_ENLARGEMENT = 4.0  # of a painting's sides
# How many times smaller a side may become at once. torch's antialiased bicubic keeps its weights in the
# shared memory of a CUDA card, 65 * (1 + 2 * ceil(2 s)) floats of 48 KiB, and fails beyond 47.
MAX_SHRINK = {"cuda": 40}


def resize(picture: Tensor, height: int, width: int) -> Tensor:
    """Resize (N, C, H, W) to (N, C, height, width), bicubic, low-passed when shrinking.

    The result is contiguous, because sums over another layout would differ in their last bits after a
    checkpoint. A shrink that is too much for the device at once is made in steps: the first is the
    smallest that will do, so that its low-pass is far above what the last one leaves.
    """
    if most := MAX_SHRINK.get(picture.device.type):
        within = tuple(map(min, picture.shape[-2:], (most * height, most * width)))
        if picture.shape[-2:] != within:
            picture = resize(picture, *within)
    if picture.shape[-2:] == (height, width):
        return picture.contiguous()
    size = (height, width)
    grown = F.interpolate(picture, size=size, mode="bicubic", align_corners=False, antialias=True)
    return grown.contiguous()


def shrink(picture: Tensor, longest: int) -> Tensor:
    """Shrink (N, C, H, W) by a whole number, for a smaller resize of at most `longest` px to come.

    Means over squares of pixels, of what there is of them at the lower and right border; sides are
    rounded up. The longest side is at least twice `longest` then, and less than four times, unless it
    was less before.
    """
    factor = max(1, max(picture.shape[-2:]) // (2 * longest))
    return F.avg_pool2d(picture, factor, ceil_mode=True, count_include_pad=False)


def resize_style(picture: Tensor, level: Level, scale: float) -> Tensor:
    """Resize a painting (1, 3, H, W) to the area of a level times `scale`**2, enlarged at most
    `MAX_ENLARGEMENT`-fold.

    The same area, not the same side, so that strokes of a portrait painting come out as large as
    those of a landscape one. Enlarged where the painting is smaller than the level, so that its strokes
    keep their share of the picture however large that grows.
    """
    H, W = picture.shape[-2:]
    factor = min(MAX_ENLARGEMENT, scale * math.sqrt(level.height * level.width / (H * W)))
    smallest = 32 / min(H, W)  # below it the deepest layers see next to nothing
    factor = max(factor, min(1.0, smallest))
    return resize(picture, round(H * factor), round(W * factor)).clamp(0, 1)


def to_tensor(picture: object, device: torch.device) -> Tensor:
    """Convert float32 numpy (H, W, 3) in [0, 1] to float32 (1, 3, H, W) on the device."""
    return torch.as_tensor(picture, dtype=torch.float32).permute(2, 0, 1)[None].to(device)
