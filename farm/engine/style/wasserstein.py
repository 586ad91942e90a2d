"""`wasserstein`: squared 2-Wasserstein distance of Gaussians, over the target's energy.

|m - t|^2 + tr S + tr T - 2 tr (T^1/2 S T^1/2)^1/2, with means m, t and covariances S, T
(Dowson and Landau 1982, doi 10.1016/0047-259X(82)90077-X). With any T = L L', L' S L has the same
non-zero eigenvalues as T^1/2 S T^1/2; L has as many columns as T has rank, which on small levels
is a fraction of the channels, and is found once. The gradient by S is D = I - L (L' S L)^-1/2 L'.
All in float64: L' S L holds squares of variances, of which float32 would lose the smaller half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from farm.engine.losses import SMALL
from farm.engine.roots import (
    cut_factor,
    factorise,
    take_root_by_eigh,
    take_root_by_iteration,
    take_root_of_few,
)
from farm.engine.statistics import Moments
from farm.engine.style.protocol import (
    AffineGradients,
    FeatureGradient,
    MomentsLoss,
    StyleGradients,
)
from farm.engine.ways import CPU, Way

FEW = 0.8  # positions a direction of the painting's: fewer are faster by their own products


class WassersteinLoss(MomentsLoss):
    """The distance of the Gaussians with the moments of picture and painting."""

    def __init__(self, targets: Mapping[str, Moments], width: int, way: Way = CPU) -> None:
        super().__init__(targets, width, way)
        covariance = subtract_means(self._gram, self._mean)
        self._factor = factorise(covariance) if way.iterates_roots else cut_factor(covariance[0])[None]
        self._outer_factor = self._factor.to(way.inverses)
        self._product: Tensor | None = None  # of the factor and its transpose, for few positions
        self._trace = sum_diagonals(covariance)
        self._energy = sum_diagonals(self._gram) + SMALL

    def __call__(self, sums: Mapping[str, Moments]) -> AffineGradients | FewGradients:
        """Return the distances of these moments, by layer, and their gradients.

        Raises:
            LinAlgError: they are not finite, and roots are taken by eigh.
        """
        if (few := self._find_few(sums)) is not None:
            return self._compare_few(few, self._compute_share(sums))
        mean, gram = self._stack(sums)
        S = subtract_means(gram, mean)
        variance, (trace, inverse) = sum_diagonals(S), self._take_root(S)
        apart = mean - self._mean
        D = inverse.mul_(-2)  # and so 2 D of the above
        D.diagonal(dim1=1, dim2=2).add_(2)
        distance = apart.square().sum(dim=1).add_(variance).add_(self._trace)
        distance = distance.sub_(trace, alpha=2).div_(self._energy)
        # From the left, as the features are multiplied: what rounding leaves of D in directions without
        # variance is not symmetric, and cancels in (F - m) D alone.
        near, there = (each[:, None].to(D.dtype) for each in (apart, mean))
        e = torch.baddbmm(near, there, D, beta=2, alpha=-1)[:, 0]
        return AffineGradients(distance, D, e, self._compute_share(sums), self.channels)

    def _take_root(self, S: Tensor) -> tuple[Tensor, Tensor]:
        """Return tr (L' S L)^1/2 and L (L' S L)^-1/2 L' for covariances S."""
        L = self._factor
        take_root = take_root_by_iteration if self._way.iterates_roots else take_root_by_eigh
        return take_root(torch.bmm(torch.bmm(L.mT, S), L), self._outer_factor)

    def _find_few(self, sums: Mapping[str, Moments]) -> Moments | None:
        """Return the sums of the one layer if their positions are fewer than the painting's directions;
        None: they are not, or roots are taken by iteration."""
        found = sums[self.layers[0]]
        if self._way.iterates_roots or len(self.layers) > 1 or found.rows is None:
            return None
        return found if len(found.rows) < FEW * self._factor.shape[2] else None

    def _compare_few(self, few: Moments, share: Tensor) -> FewGradients:
        """Return the same by the positions of the one layer."""
        assert few.rows is not None
        if self._product is None:
            self._product = self._factor[0] @ self._factor[0].T
        X, target = few.centred, self._mean[0]
        energy = sum_squares(few.rows.features) / few.count
        trace, H = take_root_of_few(X, self._product, energy)
        distance = sum_squares(few.mean - target) + sum_squares(X) + self._trace - 2 * trace
        return FewGradients(distance / self._energy, few.mean, target, H, share)


@dataclass(frozen=True)
class FewGradients(StyleGradients):
    """The distance in a layer of few positions, whose gradient by features F is
    2 (F - t - (F - m) H H') share."""

    # (1,), the distance.
    values: Tensor
    # (C,): m and t.
    mean: Tensor
    target: Tensor
    # (C, n).
    H: Tensor
    # (1,).
    share: Tensor

    def split(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Sequence[FeatureGradient]:
        """Return the layer's gradient, multiplied by its weight and a factor."""
        exact = torch.promote_types(dtype, torch.float32)
        slope = 2 * factor * self.share * weights
        b, back = slope * (self.mean - self.target), slope * self.H.T
        given = (each.to(exact) for each in (self.mean, slope, b, self.H, back))
        return [FewGradient(*given)]


@dataclass(frozen=True)
class FewGradient(FeatureGradient):
    """Gradient by features F in a layer of few: slope y + b - y H back, with y = F - mean."""

    mean: Tensor
    slope: Tensor
    b: Tensor
    H: Tensor
    back: Tensor

    def compute(self, flat: Tensor) -> Tensor:
        """Compute the gradient at features (positions, C)."""
        y = flat - self.mean  # in float32 at least: what is left is small beside either
        near = torch.addcmul(self.b, y, self.slope)
        return near.addmm_(y @ self.H, self.back, alpha=-1).to(flat.dtype)


def subtract_means(gram: Tensor, mean: Tensor) -> Tensor:
    """Return the covariances (b, n, n): the Gram matrices, centred.

    Not fused: the rounding of the products, too, has to cancel where all positions are equal.
    """
    return gram - mean[..., None] * mean[:, None]


def sum_diagonals(M: Tensor) -> Tensor:
    """Return the traces (b,) of matrices (b, n, n)."""
    return M.diagonal(dim1=1, dim2=2).sum(dim=1)


def sum_squares(x: Tensor) -> Tensor:
    """Return the sum of squares of x, of no dimension."""
    flat = x.flatten()
    return flat @ flat
