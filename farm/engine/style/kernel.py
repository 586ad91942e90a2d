"""`kernel`: maximum mean discrepancy of features, by random Fourier features.

Li et al. 2017 (arXiv 1701.01036): a style loss is a maximum mean discrepancy of the distributions of
features; Gram matrices are that of one kernel. Here the kernel is Gaussian, exp(-|x - y|^2 / 2 sigma^2),
with sigma^2 the painting's variance, half the mean squared distance of two of its positions. In place of
all pairs of positions it takes phi(x) = (cos, sin)(x W) / sqrt(M), W ~ N(0, 1 / sigma^2) (Rahimi and
Recht 2007, "Random Features for Large-Scale Kernel Machines"), so that it is a sum over positions:

    |mean phi(picture) - mean phi(painting)|^2 / |phi(0) - mean phi(painting)|^2

Only for layers of at least `NARROWEST` channels, in VGG blocks 4 and 5: on shallow ones, with many
positions, cosines and sines cost more than the network itself. Those are `wasserstein.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from farm.engine.losses import SMALL
from farm.engine.statistics import Moments, multiply, split_bands
from farm.engine.style.protocol import FeatureGradient, StyleGradients, StyleLoss, compute_share

NARROWEST = 512  # channels
FLATTEST = 1e-4  # of the painting's energy: the least that counts as its variance
FREQUENCIES = 256  # M, each with a cosine and a sine
SEED = 0  # of the frequencies: the same in all pictures


@dataclass(frozen=True)
class FourierSums:
    """Sums over positions of cosines and sines, in float64."""

    # Positions, or the sum of their weights.
    count: float | Tensor
    # (2, M).
    waves: Tensor

    def __add__(self, other: FourierSums) -> FourierSums:
        return FourierSums(self.count + other.count, self.waves + other.waves)

    def scale_to(self, count: float) -> FourierSums:
        """Scale the sums to `count` positions."""
        return FourierSums(count, self.waves * (count / self.count))


class KernelLoss(StyleLoss[FourierSums]):
    """Discrepancy of one layer's features to the paintings'; target: the latter's moments."""

    needs_sums = True

    def __init__(self, layer: str, target: Moments) -> None:
        self.layers = (layer,)
        self._shares: dict[tuple[float, ...], Tensor] = {}
        self._rounded: dict[torch.dtype, Tensor] = {}
        generator = torch.Generator().manual_seed(SEED)
        drawn = torch.randn(len(target.total), FREQUENCIES, generator=generator, dtype=torch.float64)
        variance = target.covariance.trace().maximum(FLATTEST * target.gram.trace()) + SMALL
        self._W = drawn.to(target.total.device) / variance.sqrt()  # (C, M)

    def set_target(self, sums: Mapping[str, FourierSums]) -> None:
        """Take the paintings' sums as the target."""
        found = sums[self.layers[0]]
        self._target = found.waves / found.count
        silence = torch.zeros_like(self._target)
        silence[0] = 1
        self._energy = ((silence - self._target).square().sum() / FREQUENCIES)[None] + SMALL

    def sum_features(self, layer: str, features: Tensor, weights: Tensor | None = None) -> FourierSums:
        """Sum over features (H, W, C), of positions with weights (H, W); None: 1."""
        W = self._get_frequencies(features.dtype)
        waves = features.new_zeros(2, FREQUENCIES, dtype=torch.float64)
        count = 0.0 if weights is None else weights.sum(dtype=torch.float64)
        for flat, w in split_bands(features, weights):
            angles = multiply(flat, W)
            count = count + len(flat) if w is None else count
            for i, wave in enumerate((angles.cos(), angles.sin())):
                waves[i] += wave.sum(dim=0) if w is None else w @ wave
        return FourierSums(count, waves)

    def __call__(self, sums: Mapping[str, FourierSums]) -> WaveGradients:
        """Return the distance of these sums, and its gradient."""
        found = sums[self.layers[0]]
        apart = found.waves / found.count - self._target
        value = apart.square().sum() / (FREQUENCIES * self._energy)
        share = compute_share([found.count], self._energy, self._shares)
        return WaveGradients(value, apart * (2 / FREQUENCIES), share, self._W)

    def _get_frequencies(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self._rounded:
            self._rounded[dtype] = self._W.to(dtype)
        return self._rounded[dtype]


@dataclass(frozen=True)
class WaveGradients(StyleGradients):
    """One layer's distance, whose gradient is (-sin(F W) u + cos(F W) v) W' share."""

    # (1,), the distance.
    values: Tensor
    # (2, M): u and v.
    slope: Tensor
    # (1,).
    share: Tensor
    # (C, M).
    W: Tensor

    def split(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Sequence[FeatureGradient]:
        """Return the layer's gradient, multiplied by its weight and a factor."""
        exact = torch.promote_types(dtype, torch.float32)
        slope = self.slope * (self.share * weights * factor)
        return [WaveGradient(slope.to(exact), self.W.to(dtype))]


@dataclass(frozen=True)
class WaveGradient(FeatureGradient):
    """Gradient by one layer's features F: (-sin(F W) u + cos(F W) v) W' at every position."""

    # (2, M): u and v.
    slope: Tensor
    # (C, M).
    W: Tensor

    def compute(self, flat: Tensor) -> Tensor:
        """Compute the gradient at features (positions, C)."""
        angles = multiply(flat, self.W)
        u, v = self.slope
        along = angles.cos().mul_(v).addcmul_(angles.sin_(), u, value=-1)
        return along.to(flat.dtype) @ self.W.mT
