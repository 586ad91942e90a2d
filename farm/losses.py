"""Style losses of the engine as torch modules, over any features (N, C, H, W).

    loss = Gram()
    loss(features, target).backward()

Each is a ratio: 0 where the statistics of features and target are the same, 1 where the features are
nothing at all. All positions of all N pictures count alike, as one distribution; features and target may
have other N, H and W. The target is a constant: no gradient goes to it. Sums, distances and gradients
are those of `farm.engine.style`, in closed form and in bands of positions, so that nothing is kept
between forward and backward but the features; there is no second derivative.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from farm.engine.statistics import Moments as Sums
from farm.engine.style.central_moments import CentralMomentsLoss
from farm.engine.style.gram import GramLoss
from farm.engine.style.kernel import KernelLoss
from farm.engine.style.protocol import MomentsLoss, StyleLoss
from farm.engine.style.wasserstein import WassersteinLoss
from farm.engine.ways import choose_way

__all__ = ["Gram", "Kernel", "Moments", "Wasserstein"]
LAYER = "features"


class _Statistic(nn.Module, ABC):
    """A distance of features' statistics to a target's.

    Args:
        target: (N, C, H, W), where it stays the same from call to call: its statistics are computed
            once.
    """

    def __init__(self, target: Tensor | None = None) -> None:
        super().__init__()
        self._channels = 0
        self._loss = None if target is None else self._fit(target)

    def forward(
        self, features: Tensor, target: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the distance, of no dimension, in the features' number format.

        Args:
            features: (N, C, H, W), finite. target: (M, C, H', W'); None: the one given before.
            weights: of the features' positions, (N, H, W), 0 or more; None: 1.

        Raises:
            ValueError: a shape is another, or there is no target.
        """
        loss = self._loss if target is None else self._fit(target)
        if loss is None:
            raise ValueError("no target: give one here or when the loss is made")
        if features.dim() == 4 and features.shape[1] != self._channels:
            raise ValueError(f"features: has {features.shape[1]} channels, the target {self._channels}")
        if weights is not None and weights.shape != (len(features), *features.shape[2:]):
            raise ValueError(
                f"weights of {tuple(features.shape)} are (N, H, W), not {tuple(weights.shape)}"
            )
        distance: Tensor = _Distance.apply(features, weights, loss)
        return distance

    def _fit(self, target: Tensor) -> StyleLoss[Any]:
        rows, self._channels = _list_rows(target.detach()), target.shape[1]
        loss = self._make(Sums.from_features(rows))
        if loss.needs_sums:
            loss.set_target({LAYER: loss.sum_features(LAYER, rows)})
        return loss

    @abstractmethod
    def _make(self, target: Sums) -> StyleLoss[Any]:
        """Make the statistic with its target."""


class _OfMoments(_Statistic):
    _kind: type[MomentsLoss]

    def _make(self, target: Sums) -> StyleLoss[Any]:
        way = choose_way(target.total.device, target.total.dtype)
        return self._kind({LAYER: target}, len(target.total), way)


class Gram(_OfMoments):
    """|G - T|^2 / |T|^2, with Gram matrices G and T (Gatys et al. 2016, arXiv 1508.06576)."""

    _kind = GramLoss


class Wasserstein(_OfMoments):
    """Squared 2-Wasserstein distance of the Gaussians with the same means and covariances, over the
    target's mean squared length."""

    _kind = WassersteinLoss


class Moments(_Statistic):
    """Mean over orders 1 to 5 of |c - t| / |t|, with c and t the central moments of each channel (after
    Kalischek et al. 2021, arXiv 2103.07208)."""

    def _make(self, target: Sums) -> StyleLoss[Any]:
        return CentralMomentsLoss(LAYER)


class Kernel(_Statistic):
    """Maximum mean discrepancy with a Gaussian kernel as wide as the target varies, by 512 random
    Fourier features (Li et al. 2017, arXiv 1701.01036)."""

    def _make(self, target: Sums) -> StyleLoss[Any]:
        return KernelLoss(LAYER, target)


class _Distance(torch.autograd.Function):
    """Value and gradient of a style loss."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor | None, loss: StyleLoss[Any]) -> Tensor:
        rows = _list_rows(features)
        map_of_rows = None if weights is None else weights.flatten(0, 1)
        found = loss({LAYER: loss.sum_features(LAYER, rows, map_of_rows)})
        one = torch.ones_like(found.values)
        (ctx.gradient,) = found.split(one, 1.0, rows.dtype)
        ctx.save_for_backward(rows, map_of_rows)
        ctx.shape = features.shape
        return found.values[0].to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        rows, map_of_rows = ctx.saved_tensors
        N, C, H, W = ctx.shape
        d = torch.zeros_like(rows)
        ctx.gradient.add_to(d, rows, map_of_rows)
        return d.mul_(above[0]).view(N, H, W, C).permute(0, 3, 1, 2), None, None


def _list_rows(features: Tensor) -> Tensor:
    """Return features (N, C, H, W) as those of one picture, (N * H, W, C) contiguous."""
    if features.dim() != 4:
        raise ValueError(f"features are (N, C, H, W), not {tuple(features.shape)}")
    return features.permute(0, 2, 3, 1).flatten(0, 1).contiguous()
