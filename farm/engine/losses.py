"""The objective's terms. Each is a ratio to its target's own energy, so 1 means "all wrong".

    alpha * content + beta * sum_l w_l * style_l + gamma * tv        (Gatys et al. 2016, eq. 7)

Differs from Gatys et al.: every term is a mean over positions divided by the mean energy of its target.
So a weight means the same at every size, in every layer, and in every network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.cuda_kernels import find_picture_kernels, takes_as_gradient
from farm.engine.maps import FULL, LevelMaps
from farm.engine.tiles import Region

SMALL = 1e-12  # keeps a ratio finite when its target is all zero
STRIP_PIXELS = 1 << 20  # of the picture at once, in total variation


class Variation(Protocol):
    """Total variation of a picture (1, 3, H, W), as `tv_loss` or without what is transparent."""

    def __call__(
        self, picture: Tensor, gradient: Tensor | None = None, weight: float = 1.0, chroma: float = 1.0
    ) -> Tensor: ...


@dataclass(frozen=True)
class Losses:
    """The objective at one picture."""

    # The unweighted terms; layers are weighted, with weights that sum to 1.
    content: float
    style: float
    tv: float
    # The weighted sum, which is minimised.
    total: float
    # Whether the total and, where it was asked for, every number of its gradient is finite.
    finite: bool = True
    # How far a frame of a film is from what it is held to; 0 where it is held to nothing.
    hold: float = 0.0


class ContentLoss:
    """Squared distance of features to the photograph's, over the photograph's energy; part by part.

    Args:
        target: (H, W, C), the photograph's features.
        energy: the sum of their squares.
        weights: of the positions, (H, W); None: 1 everywhere.
    """

    def __init__(self, target: Tensor, energy: float, weights: Tensor | None = None) -> None:
        self._target = target
        self._energy = energy + SMALL
        self._weights = weights

    def add_value(self, where: Region, features: Tensor, total: Tensor, weight: float) -> None:
        """Add the share of features (h, w, C), which lie at `where`, in the loss, times `weight`, to
        `total`, float64 of no dimension."""
        squares = to_float32(features - where.crop(self._target)).square_()
        if self._weights is not None:
            squares *= where.crop(self._weights)[..., None]
        total.add_(squares.sum(dtype=torch.float64), alpha=weight / self._energy)

    def add_gradient(self, where: Region, features: Tensor, d: Tensor, weight: float) -> None:
        """Add the loss's gradient by features (h, w, C), times `weight`, to d, of their shape."""
        apart = features - where.crop(self._target)
        if self._weights is not None:
            apart *= where.crop(self._weights)[..., None]
        d.add_(apart, alpha=weight * 2 / self._energy)


def to_float32(x: Tensor) -> Tensor:
    """Convert to float32, or leave at float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def tv_loss(
    picture: Tensor, gradient: Tensor | None = None, weight: float = 1.0, chroma: float = 1.0
) -> Tensor:
    """Total variation of a picture: mean squared difference of neighbours, summed over both directions
    (Mahendran and Vedaldi 2015, arXiv 1412.0035, with beta = 2).

    Differs from the paper: of each difference, what is not grey counts `chroma` times. Grain in light
    passes for texture of paint, grain in the colours looks like dirt. It is a quadratic form, so its
    gradient is a convolution of the picture, the border repeated, and its value half their product.
    On a CPU strip by strip, so that a large picture needs no second one.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        gradient: of the picture's shape; the loss's gradient times `weight` is added to it.

    Returns:
        The loss, float64, no dim.
    """
    H, W = picture.shape[-2:]
    kernels = find_picture_kernels(picture)
    if kernels and (gradient is None or takes_as_gradient(gradient)):
        weights = (weight, *_weigh_neighbours(H, W), chroma)
        return kernels.add_variation(picture, gradient, *weights).sum(dtype=torch.float64) / 2
    kernel = _make_variation_kernel(H, W, chroma, picture.dtype, picture.device)
    rows = max(1, STRIP_PIXELS // W) if picture.device.type == "cpu" else H
    value = torch.zeros((), dtype=torch.float64, device=picture.device)
    for top in range(0, H, rows):
        bottom = min(H, top + rows)
        first, last = max(0, top - 1), min(H, bottom + 1)
        beyond = (1, 1, first - (top - 1), bottom + 1 - last)  # the picture's edge
        slope = F.conv2d(F.pad(picture[..., first:last, :], beyond, mode="replicate"), kernel)
        strip = picture[..., top:bottom, :]
        value.add_((strip * slope).sum(dtype=torch.float64), alpha=0.5)
        if gradient is not None:
            gradient[..., top:bottom, :].add_(slope, alpha=weight)
    return value


def _weigh_neighbours(H: int, W: int) -> tuple[float, float]:
    """Return the weights of horizontal and of vertical neighbours: one over how many there are."""
    return 2 / (3 * H * max(1, W - 1)), 2 / (3 * max(1, H - 1) * W)


@lru_cache(maxsize=8)
def _make_variation_kernel(
    H: int, W: int, chroma: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return the (3, 3, 3, 3) kernel whose convolution is the gradient of total variation."""
    across, down = _weigh_neighbours(H, W)
    mine = 2 * (across + down)
    stencil = torch.tensor([[0, -down, 0], [-across, mine, -across], [0, -down, 0]], dtype=torch.float64)
    colours = chroma * torch.eye(3, dtype=torch.float64) - (chroma - 1) / 3
    return (colours[:, :, None, None] * stencil).to(device, dtype)


class OpaqueVariation:
    """Total variation of a picture of which a part is transparent: what is counts for nothing.

    As `tv_loss`, but the mean is weighted: by how opaque either neighbour is.

    Args:
        opaque: (H, W) in [0, 1].
    """

    def __init__(self, opaque: Tensor) -> None:
        self._opaque = opaque
        # The sums of the weights, down and across.
        self._wholes = [
            (opaque.narrow(dim, 1, n - 1) * opaque.narrow(dim, 0, n - 1)).sum(dtype=torch.float64)
            + SMALL
            for dim, n in enumerate(opaque.shape)
        ]

    def __call__(
        self, picture: Tensor, gradient: Tensor | None = None, weight: float = 1.0, chroma: float = 1.0
    ) -> Tensor:
        """Return the loss, float64, no dim; add its gradient times `weight` to `gradient`."""
        H, W = self._opaque.shape
        rows = max(1, STRIP_PIXELS // W)
        value = torch.zeros((), dtype=torch.float64, device=picture.device)
        for dim, whole in enumerate(self._wholes):
            for top in range(0, H, rows):
                strip = slice(top, min(H, top + rows + (dim == 0)))
                near = self._opaque[strip]
                first, second = (near.narrow(dim, i, near.shape[dim] - 1) for i in (0, 1))
                apart = picture[:, :, strip].diff(dim=dim + 2)
                grey = apart.mean(dim=1, keepdim=True)
                slope = (chroma * apart - (chroma - 1) * grey) * (first * second / (3 * whole).to(near))
                value += (slope * apart).sum(dtype=torch.float64)
                if gradient is not None:
                    here = gradient[:, :, strip]
                    here.narrow(dim + 2, 1, slope.shape[dim + 2]).add_(slope, alpha=2 * weight)
                    here.narrow(dim + 2, 0, slope.shape[dim + 2]).sub_(slope, alpha=2 * weight)
        return value


def make_variation(maps: LevelMaps | None, device: torch.device, dtype: torch.dtype) -> Variation:
    """Make the total variation of what is opaque, for a network on a device in a number format."""
    if maps is None or maps.opaque is None:
        return tv_loss
    exact = torch.promote_types(dtype, torch.float32)  # of the picture
    return OpaqueVariation(maps.opaque.to(device, exact).div_(FULL))
