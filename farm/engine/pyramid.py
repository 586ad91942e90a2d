"""The levels a picture grows through, and resizing between them.

Coarse to fine, as in Gatys et al. 2017 (arXiv 1611.07865, section 5): the small levels lay out the large
shapes that VGG's receptive field could not see at the final size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.guides import NO_GUIDES, Guides
from farm.recipe.film import SPACING
from farm.recipe.levels import Level as Level  # re-exported: the web part needs them without torch
from farm.recipe.levels import compute_levels as compute_levels
from farm.recipe.picture_sizes import PictureSizes, Size, compute_style_size

ROWS = 64  # of a picture of bytes that are numbers at once
# How many times smaller a side may become at once. torch's antialiased bicubic keeps its weights in the
# shared memory of a CUDA card, 65 * (1 + 2 * ceil(2 s)) floats of 48 KiB, and fails beyond 47.
MAX_SHRINK = {"cuda": 40}


def resize(picture: Tensor, height: int, width: int) -> Tensor:
    """Resize (N, C, H, W) to (N, C, height, width), bicubic, low-passed when shrinking.

    Bytes, 0 to 255, become float32 in [0, 1]. The result is contiguous, because sums over another layout
    would differ in their last bits after a checkpoint. A shrink that is too much for the device at once
    is made in steps: the first is the smallest that will do, so that its low-pass is far above what the
    last one leaves.
    """
    if picture.dtype == torch.uint8:
        return _resize_bytes(picture, height, width)
    if most := MAX_SHRINK.get(picture.device.type):
        within = tuple(map(min, picture.shape[-2:], (most * height, most * width)))
        if picture.shape[-2:] != within:
            picture = resize(picture, *within)
    if picture.shape[-2:] == (height, width):
        return picture.contiguous()
    return _interpolate(picture, height, width).contiguous()


def _interpolate(picture: Tensor, height: int, width: int) -> Tensor:
    size = (height, width)
    return F.interpolate(picture, size=size, mode="bicubic", align_corners=False, antialias=True)


def _resize_bytes(picture: Tensor, height: int, width: int) -> Tensor:
    """Resize a picture of bytes, a channel at a time and its rows first: bit for bit what the whole
    picture in float32 would become, without ever holding that."""
    N, C, H, _ = picture.shape
    resized = torch.empty(N, C, height, width)
    for channel in range(C):
        plane = torch.empty(N, 1, H, width)
        for top in range(0, H, ROWS):
            rows = picture[:, channel : channel + 1, top : top + ROWS].float() / 255
            plane[:, :, top : top + ROWS] = _interpolate(rows, rows.shape[2], width)
        resized[:, channel : channel + 1] = _interpolate(plane, height, width)
    return resized


def resize_photograph(picture: Tensor, level: Level) -> Tensor:
    """Resize a photograph (1, 3, H, W) to a level, in [0, 1]."""
    return _clamp(resize(picture, level.height, level.width), picture)


def shrink(picture: Tensor, longest: int) -> Tensor:
    """Shrink (N, C, H, W) by a whole number, for a smaller resize of at most `longest` px to come.

    Means over squares of pixels, of what there is of them at the lower and right border; sides are
    rounded up. The longest side is at least twice `longest` then, and less than four times, unless it
    was less before.
    """
    factor = max(1, max(picture.shape[-2:]) // (2 * longest))
    return F.avg_pool2d(picture, factor, ceil_mode=True, count_include_pad=False)


def resize_style(picture: Tensor, level: Level, scale: float) -> Tensor:
    """Resize a painting (1, 3, H, W) to the size at which a level uses it, in [0, 1]; see
    `compute_style_size`."""
    H, W = picture.shape[-2:]
    return _clamp(resize(picture, *compute_style_size((H, W), level.pixels, scale)), picture)


def _clamp(resized: Tensor, source: Tensor) -> Tensor:
    """Limit to [0, 1], in place unless it is the source itself, which was not resized."""
    fresh = resized.data_ptr() != source.data_ptr()
    return resized.clamp_(0, 1) if fresh else resized.clamp(0, 1)


def measure_sizes(
    photograph: Tensor, paintings: Sequence[Tensor], guides: Guides = NO_GUIDES
) -> PictureSizes:
    """Return the sizes of pictures (1, 3, H, W), and the number of masks."""
    sizes = tuple(_get_size(painting) for painting in paintings)
    return PictureSizes(
        _get_size(photograph), sizes, len(guides.masks), guides.keeps, SPACING if guides.hold else 0
    )


def _get_size(picture: Tensor) -> Size:
    return picture.shape[2], picture.shape[3]


def to_tensor(picture: object, device: torch.device) -> Tensor:
    """Convert numpy (H, W, 3), floats in [0, 1] or bytes, to (1, 3, H, W) on the device: float32, or
    bytes as they are."""
    tensor = torch.as_tensor(picture)
    dtype = torch.uint8 if tensor.dtype == torch.uint8 else torch.float32
    return tensor.permute(2, 0, 1)[None].to(device, dtype)
