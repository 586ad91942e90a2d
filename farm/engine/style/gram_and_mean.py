"""`gram+mean`: mean of the distances of Gram matrices and of means, each over the target's.

Li et al. 2017 (arXiv 1701.01036) match means and variances alone, and find styles in them. A Gram matrix
holds the means, too, but squared and among all products, where they hardly count.
"""

from __future__ import annotations

from collections.abc import Mapping

from farm.engine.losses import SMALL
from farm.engine.statistics import Moments
from farm.engine.style.protocol import AffineGradients, MomentsLoss
from farm.engine.ways import CPU, Way


class GramAndMeanLoss(MomentsLoss):
    """(|G - T|^2 / |T|^2 + |m - t|^2 / |t|^2) / 2, with Gram matrices G, T and means m, t."""

    def __init__(self, targets: Mapping[str, Moments], width: int, way: Way = CPU) -> None:
        super().__init__(targets, width, way)
        self._energy = self._gram.square().sum(dim=(1, 2)) + SMALL
        self._energy_of_mean = self._mean.square().sum(dim=1) + SMALL

    def __call__(self, sums: Mapping[str, Moments]) -> AffineGradients:
        """Return the distances of these moments, by layer, and their gradients."""
        mean, gram = self._stack(sums)
        apart, shifted = gram - self._gram, mean - self._mean
        distance = apart.square().sum(dim=(1, 2)) / self._energy
        distance = (distance + shifted.square().sum(dim=1) / self._energy_of_mean) / 2
        e = shifted * (self._energy / self._energy_of_mean)[:, None]
        return AffineGradients(distance, apart.mul_(2), e, self._compute_share(sums), self.channels)
