"""`gram`: squared Frobenius distance of Gram matrices (Gatys et al. 2016, eq. 5), over the target's."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from farm.engine.losses import SMALL
from farm.engine.statistics import Moments
from farm.engine.style.protocol import AffineGradients, MomentsLoss
from farm.engine.ways import CPU, Way


class GramLoss(MomentsLoss):
    """|G - T|^2 over |T|^2, with Gram matrices G and T."""

    def __init__(self, targets: Mapping[str, Moments], width: int, way: Way = CPU) -> None:
        super().__init__(targets, width, way)
        self._energy = self._gram.square().sum(dim=(1, 2)) + SMALL

    def __call__(self, sums: Mapping[str, Moments]) -> AffineGradients:
        """Return the distances of these moments, by layer, and their gradients."""
        mean, gram = self._stack(sums)
        apart = gram - self._gram
        distance = apart.square().sum(dim=(1, 2)) / self._energy
        share, e = self._compute_share(sums), torch.zeros_like(mean)
        return AffineGradients(distance, apart.mul_(4), e, share, self.channels)
