"""A frame held to what was painted before: the term of the objective that steadies a film.

    lambda * sum_p c_p |x_p - W_p|^2 / sum_p |W_p|^2        (after Ruder et al. 2016, arXiv 1604.08610)

x is the picture, W a painted neighbour moved to where its things are now, c the weight of each pixel.

Differs from Ruder et al.: divided by the energy of W, as every term is by its target's, so that lambda
means the same at every size; c is no mask but a weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farm.engine.guides import Hold
from farm.engine.losses import SMALL, STRIP_PIXELS
from farm.engine.pyramid import Level, resize, resize_photograph

HOLD_WEIGHT = 15.0  # lambda


def resize_hold(hold: Hold, level: Level) -> Hold:
    """Return a hold at the size of a level."""

    def fit(weight: Tensor) -> Tensor:
        return resize(weight, level.height, level.width).clamp(0, 1)

    stays = None if hold.stays is None else fit(hold.stays)
    return Hold(resize_photograph(hold.picture, level), fit(hold.weight), stays)


def begin_held(own: Tensor, hold: Hold) -> Tensor:
    """Return the picture to begin a level from: held pixels as they are held, the others as `own`,
    (1, 3, H, W), begins."""
    held = resize_hold(hold, Level(own.shape[2], own.shape[3], 1))
    return torch.lerp(own, held.picture.to(own), held.weight.to(own))


class HoldLoss:
    """The term for pictures (1, 3, H, W) of one level.

    Args:
        held: at the size of the level. device, dtype: of the pictures.
    """

    def __init__(self, held: Hold, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._picture, self._weight = held.picture.to(device, dtype), held.weight.to(device, dtype)
        self._energy = float(self._picture.square().sum(dtype=torch.float64)) + SMALL

    def __call__(self, picture: Tensor, gradient: Tensor | None = None, weight: float = 1.0) -> Tensor:
        """Return the term without lambda, float64 of no dimension; add its gradient times `weight` to
        `gradient`, of the picture's shape. On a CPU strip by strip, as `tv_loss`."""
        H, W = picture.shape[-2:]
        rows = max(1, STRIP_PIXELS // W) if picture.device.type == "cpu" else H
        value = torch.zeros((), dtype=torch.float64, device=picture.device)
        for top in range(0, H, rows):
            strip = slice(top, top + rows)
            apart = picture[:, :, strip] - self._picture[:, :, strip]
            slope = apart * self._weight[:, :, strip]
            value.add_((slope * apart).sum(dtype=torch.float64), alpha=1 / self._energy)
            if gradient is not None:
                gradient[:, :, strip].add_(slope, alpha=2 * weight / self._energy)
        return value
