"""A picture moved along an optical flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Return a picture as it is seen from another frame: out(p) = picture(p + flow(p)).

    Bilinear between pixels; beyond the border, which is repeated.

    Args:
        picture: (1, C, H, W) float32. flow: (1, 2, H, W) float32, px to the right and down.
    """
    _, _, H, W = picture.shape
    down, across = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    at = flow[0] + torch.stack((across, down)).to(flow)  # (2, H, W)
    last = torch.tensor((W - 1, H - 1)).to(flow).clamp_(min=1)
    grid = at.permute(1, 2, 0) * 2 / last - 1  # (H, W, 2), -1 and 1 the centres of the outermost pixels
    return F.grid_sample(picture, grid[None], "bilinear", "border", align_corners=True)


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Return a flow (1, 2, h, w) at another size, (1, 2, height, width), in px of that."""
    _, _, h, w = flow.shape
    if (h, w) == (height, width):
        return flow
    scale = torch.tensor((width / w, height / h)).to(flow).view(1, 2, 1, 1)
    return F.interpolate(flow, (height, width), mode="bilinear", align_corners=False) * scale
