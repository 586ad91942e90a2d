"""`moments`: central moments of each channel up to order 5, after Kalischek et al. 2021 (arXiv
2103.07208), who match styles by the central moment discrepancy of Zellinger et al. 2017 (arXiv
1702.08811).

    mean over k = 1..5 of |c_k - t_k| / |t_k|

with c_1 the mean, c_k the central moment of order k, and t_k the target's.

Differs from both: features are not squashed into an interval; each order is divided by its target's own
norm instead, so that 1 is silence. The sums are those of powers, in float64, since central moments
follow by binomials that cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor

from farm.engine.losses import SMALL
from farm.engine.statistics import split_bands
from farm.engine.style.protocol import FeatureGradient, StyleGradients, StyleLoss, compute_share

ORDERS = 5


@dataclass(frozen=True)
class PowerSums:
    """Sums over positions of the first five powers of C channels, in float64."""

    # Positions, or the sum of their weights.
    count: float | Tensor
    # (5, C).
    powers: Tensor

    def __add__(self, other: PowerSums) -> PowerSums:
        return PowerSums(self.count + other.count, self.powers + other.powers)

    def scale_to(self, count: float) -> PowerSums:
        """Scale the sums to `count` positions."""
        return PowerSums(count, self.powers * (count / self.count))

    @property
    def central(self) -> Tensor:
        """(5, C): the mean, and the central moments of order 2 to 5."""
        raw = [torch.ones_like(self.powers[0]), *(self.powers / self.count)]
        mean, found = raw[1], [raw[1]]
        for k in range(2, ORDERS + 1):
            terms = [comb(k, j) * raw[j] * (-mean) ** (k - j) for j in range(k + 1)]
            found.append(torch.stack(terms).sum(dim=0))
        return torch.stack(found)


class CentralMomentsLoss(StyleLoss[PowerSums]):
    """Distance of one layer's central moments to the paintings'."""

    needs_sums = True

    def __init__(self, layer: str) -> None:
        self.layers = (layer,)
        self._shares: dict[tuple[float, ...], Tensor] = {}

    def set_target(self, sums: Mapping[str, PowerSums]) -> None:
        """Take the paintings' sums as the target."""
        self._target = sums[self.layers[0]].central
        self._norm = self._target.square().sum(dim=1).sqrt() + SMALL  # (5,)
        self._one = torch.ones_like(self._norm[:1])

    def sum_features(self, layer: str, features: Tensor, weights: Tensor | None = None) -> PowerSums:
        """Sum over features (H, W, C), of positions with weights (H, W); None: 1."""
        count = 0.0 if weights is None else weights.sum(dtype=torch.float64)
        powers = features.new_zeros(ORDERS, features.shape[2], dtype=torch.float64)
        for flat, w in split_bands(features, weights):
            x = flat.to(torch.promote_types(flat.dtype, torch.float32))
            power = x if w is None else x * w[:, None]
            count = count + len(flat) if w is None else count
            for k in range(ORDERS):
                power = power if k == 0 else power * x
                powers[k] += power.sum(dim=0, dtype=torch.float64)
        return PowerSums(count, powers)

    def __call__(self, sums: Mapping[str, PowerSums]) -> PolynomialGradients:
        """Return the distance of these sums, and its gradient."""
        found = sums[self.layers[0]]
        central = found.central
        apart = central - self._target
        norm = apart.square().sum(dim=1).sqrt()
        value = (norm / self._norm).mean()[None]
        slope = apart / (ORDERS * self._norm * norm.clamp(min=SMALL * self._norm))[:, None]  # by c_k
        orders = _list_orders(slope)
        by_power = orders * slope  # of y^(k - 1), y = x - mean
        # By the mean alone, and by the mean within each central moment: -k c_(k - 1), and c_1 is 0
        by_power[0] -= (orders[2:] * slope[2:] * central[1:-1]).sum(dim=0)
        share = compute_share([found.count], self._one, self._shares)
        return PolynomialGradients(value, by_power, central[0], share)


def _list_orders(like: Tensor) -> Tensor:
    """Return 1 to 5 as a column, (5, 1)."""
    return torch.arange(1, ORDERS + 1, dtype=like.dtype, device=like.device)[:, None]


@dataclass(frozen=True)
class PolynomialGradients(StyleGradients):
    """One layer's distance, whose gradient is a polynomial in y = F - mean, times a share."""

    # (1,), the distance.
    values: Tensor
    # (5, C), of y^0 to y^4.
    coefficients: Tensor
    # (C,).
    mean: Tensor
    # (1,).
    share: Tensor

    def split(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Sequence[FeatureGradient]:
        """Return the layer's gradient, multiplied by its weight and a factor."""
        exact = torch.promote_types(dtype, torch.float32)
        coefficients = self.coefficients * (self.share * weights * factor)
        return [PolynomialGradient(coefficients.to(exact), self.mean.to(exact))]


@dataclass(frozen=True)
class PolynomialGradient(FeatureGradient):
    """Gradient by one layer's features: a polynomial in their distance from the mean."""

    # (5, C).
    coefficients: Tensor
    # (C,).
    mean: Tensor

    def compute(self, flat: Tensor) -> Tensor:
        """Compute the gradient at features (positions, C), by Horner's rule."""
        y = flat - self.mean  # in float32 at least
        *lower, highest = self.coefficients
        found = torch.addcmul(lower[-1], y, highest)
        for each in reversed(lower[:-1]):
            found = found.mul_(y).add_(each)
        return found.to(flat.dtype)
