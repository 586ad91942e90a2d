"""`light`: the Gaussian distance, with covariances along the painting's main directions alone.

A painting's principal directions have variances t, its first d of them carry `CARRIED` of all. There
the covariances are compared in full, along each of the others the deviation alone:

    |m - t0|^2 + W^2(S_1, T_1) + sum over i > d of (sqrt s_i - sqrt t_i)^2

with means m and t0, W^2 as in `wasserstein.py`, S_1 (d, d) the picture's covariance along the first d,
and s_i its variance along direction i. That is never above the whole distance, as the best transport of
the whole is one along each direction, too. So a root is of a matrix of d.

On a CPU half precision multiplies half precision. Along the painting's directions each product is
rounded by its own size; along channels that would drown the smaller variances, which a root divides by.

Large layers have more positions than such covariances need: their sums leave out rows and columns as
long as `ENOUGH` positions are left. All positions have a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from farm.engine.losses import SMALL
from farm.engine.roots import TINY, decompose, take_root_by_eigh, take_root_by_iteration
from farm.engine.statistics import CONVERTED, FEW, HALF, Moments, split_bands
from farm.engine.style.protocol import (
    AffineGradient,
    FeatureGradient,
    StyleGradients,
    StyleLoss,
    compute_share,
)
from farm.engine.style.wasserstein import sum_diagonals
from farm.engine.ways import CPU, Way

CARRIED = 0.98  # of the painting's variance, by the directions whose covariances are compared
NARROWEST = 128  # channels; narrower layers are compared in full
UNSEEN = 1e-6  # of a picture's variance: which directions have less is a matter of rounding
ENOUGH = 64  # positions a channel: a gradient is off by 4 % of its norm at most (decision 0087)
STEPPED = 512  # channels, from which on a gradient in three products is faster than making one matrix


@dataclass(frozen=True)
class AxisSums:
    """Moments of C channels along a painting's directions. Sums, in float64."""

    # Positions, or the sum of their weights.
    count: float | Tensor
    # (C,), of the values along each direction, counted from near the painting's mean.
    total: Tensor
    # (C,), of the same, counted from the painting's mean itself.
    apart: Tensor
    # (C - d,), of the squares of the last ones.
    squares: Tensor
    # (d, d), of the outer products of the first ones.
    outer: Tensor

    def __add__(self, other: AxisSums) -> AxisSums:
        return AxisSums(
            self.count + other.count,
            self.total + other.total,
            self.apart + other.apart,
            self.squares + other.squares,
            self.outer + other.outer,
        )

    def scale_to(self, count: float) -> AxisSums:
        """Scale the sums to `count` positions."""
        scale = count / self.count
        sums = (self.total, self.apart, self.squares, self.outer)
        return AxisSums(count, *(each * scale for each in sums))

    @property
    def mean(self) -> Tensor:
        """(C,), the mean of the values."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """(d, d), along the first directions."""
        mean = self.mean[: len(self.outer)]
        return self.outer / self.count - mean[:, None] * mean

    @property
    def variances(self) -> Tensor:
        """(C - d,), along the last ones."""
        return self.squares / self.count - self.mean[len(self.outer) :].square()


@dataclass(frozen=True)
class Rounded:
    """A painting's directions in a number format of features."""

    # (C, C), a column each.
    V: Tensor
    # (C,): a feature vector f has the values f V + origin.
    origin: Tensor
    # (C,) float64, the values of the painting's mean: what rounding leaves.
    mean: Tensor

    def find_values(self, flat: Tensor) -> Tensor:
        """Return the values (n, C) of features (n, C); beyond a CPU in float32 at least."""
        if flat.dtype in HALF and flat.device.type != "cpu":
            return torch.mm(flat, self.V, out_dtype=torch.float32) + self.origin
        return torch.addmm(self.origin, flat, self.V)


class Axes:
    """A painting's directions in one layer.

    Attributes:
        mean: (C,), of its features. V: (C, C), the directions, a column each, by falling variance.
        variances: (C,), along them. d: how many are compared in full.
    """

    def __init__(self, target: Moments) -> None:
        self.mean = target.mean
        values, vectors = decompose(target.covariance[None])
        values, self.V = values[0].flip(0), vectors[0].flip(1).contiguous()
        self.variances = torch.where(values > UNSEEN * values[0], values, 0).clamp(min=0)
        carried = self.variances.cumsum(0) / self.variances.sum().clamp(min=TINY)
        C = len(self.mean)
        self.d = C if C < NARROWEST else min(C, int((carried < CARRIED).sum()) + 1)
        self._rounded: dict[torch.dtype, Rounded] = {}

    def round_to(self, dtype: torch.dtype) -> Rounded:
        """Return them in a number format, made once."""
        if dtype not in self._rounded:
            V = self.V.to(dtype)
            there = self.mean @ V.double()
            origin = (-there).to(dtype)
            self._rounded[dtype] = Rounded(V, origin, there + origin.double())
        return self._rounded[dtype]


class LightLoss(StyleLoss[AxisSums]):
    """The distance of the Gaussians with the moments of picture and painting, compressed.

    Args:
        targets: the paintings' moments, by layer.
        way: how roots are taken.
    """

    enough = ENOUGH

    def __init__(self, targets: Mapping[str, Moments], way: Way = CPU) -> None:
        self.layers, self._way = tuple(targets), way
        self.axes = {layer: Axes(target) for layer, target in targets.items()}
        self._shares: dict[tuple[float, ...], Tensor] = {}
        self._energy = torch.stack([target.gram.trace() for target in targets.values()]) + SMALL
        first = [axes.variances[: axes.d] for axes in self.axes.values()]
        self._variance = torch.stack([each.sum() for each in first])
        widest = max(map(len, first))
        self._factor = torch.stack([pad(each, (0, widest - len(each))) for each in first]).sqrt()
        self._outer_factor = self._factor.to(way.inverses)

    def sum_features(self, layer: str, features: Tensor, weights: Tensor | None = None) -> AxisSums:
        """Sum over features (H, W, C), of positions with weights (H, W); None: 1."""
        axes = self.axes[layer]
        d, (H, W, C) = axes.d, features.shape
        few = FEW * d > H * W  # these lack directions, of whose rounding a root would make much
        if few and features.dtype not in HALF:
            features = features.double()
        rounded = axes.round_to(features.dtype)
        count: float | Tensor = float(H * W)
        if weights is not None:
            count = weights.sum(dtype=torch.float64)
        total, squares, outer = (rounded.mean.new_zeros(size) for size in ((C,), (C - d,), (d, d)))
        exactly = features.dtype not in HALF or few
        exact = torch.float64 if exactly else torch.float32
        for flat, w in split_bands(features, weights, CONVERTED):
            values = rounded.find_values(flat)
            root = values.new_ones(len(values)) if w is None else w.sqrt().to(values.dtype)
            if w is not None:
                values = values * root[:, None]
            if exactly:
                root, values = root.double(), values.double()
            total += (root[None] @ values)[0]
            squares += values[:, d:].to(exact).square().sum(dim=0)
            outer += values[:, :d].T @ values[:, :d]
        return AxisSums(count, total, total - count * rounded.mean, squares, outer)

    def __call__(self, sums: Mapping[str, AxisSums]) -> LightGradients:
        """Return the distances of these sums, by layer, and their gradients.

        Raises:
            LinAlgError: they are not finite, and roots are taken by eigh.
        """
        found, L = [sums[layer] for layer in self.layers], self._factor
        widest = L.shape[1]
        S = torch.stack([pad(c, (0, widest - len(c)) * 2) for c in (each.covariance for each in found)])
        take_root = take_root_by_iteration if self._way.iterates_roots else take_root_by_eigh
        trace, inverse = take_root(L[..., None] * S * L[:, None], self._outer_factor)
        K = inverse.mul_(-2)  # and so 2 (I - inverse)
        K.diagonal(dim1=1, dim2=2).add_(2)
        distance = sum_diagonals(S) + self._variance - 2 * trace
        layers = []
        for i, (each, axes) in enumerate(zip(found, self.axes.values(), strict=True)):
            away, k = compare_variances(each.variances, axes.variances[axes.d :], sum_diagonals(S)[i])
            apart = each.apart / each.count
            distance[i] += apart.square().sum() + away
            layers.append(Layer(axes, K[i, : axes.d, : axes.d], k, apart, each.mean))
        share = compute_share([each.count for each in found], self._energy, self._shares)
        return LightGradients(distance / self._energy, share, layers)


def compare_variances(s: Tensor, t: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distance of deviations, sum of (sqrt s - sqrt t)^2, and twice its slopes by s.

    Args:
        s, t: variances (n,). energy: a variance besides them. Less than `UNSEEN` of both counts as none.
    """
    seen = s > UNSEEN * (energy + s.sum()).clamp(min=TINY)
    deviation = s.clamp(min=TINY).sqrt()
    root = torch.where(seen, deviation, 0)
    slopes = 2 - 2 * torch.where(seen, t.sqrt() / deviation, 0)
    return (s + t - 2 * root * t.sqrt()).sum(), slopes


def multiply_along(values: Tensor, K: Tensor, k: Tensor) -> Tensor:
    """Multiply values (n, C) by K (d, d) along the first d directions, by k (C - d,) along others."""
    d = len(K)
    return torch.cat((values[:, :d] @ K.to(values.dtype), values[:, d:] * k.to(values.dtype)), dim=1)


@dataclass(frozen=True)
class Layer:
    """Gradient in one layer, before its share: ((p - mean) M + 2 apart) V' at values p, with M as K
    along the first d directions and k along the others."""

    axes: Axes
    # (d, d).
    K: Tensor
    # (C - d,).
    k: Tensor
    # (C,), the values of the picture's mean, counted from the painting's.
    apart: Tensor
    # (C,), the same, counted as those of features are.
    mean: Tensor

    def merge(self, share: Tensor, dtype: torch.dtype) -> AffineGradient:
        """Return the gradient as one matrix."""
        # Half precision needs no more, and float64 would take as long as the sums.
        exact = torch.float32 if dtype in HALF else torch.float64
        V, apart = self.axes.V.to(exact), self.axes.V @ self.apart
        D = multiply_along(V, self.K, self.k) @ V.T
        e = 2 * apart - (self.axes.mean + apart) @ D.double()
        return AffineGradient((D * share).to(dtype), (e * share).to(dtype))

    def step(self, share: Tensor, dtype: torch.dtype) -> SteppedGradient:
        """Return the gradient as products one after the other."""
        b = self.axes.V @ (2 * self.apart - multiply_along(self.mean[None], self.K, self.k)[0])
        K, k, b = (each.mul(share).to(dtype) for each in (self.K, self.k, b))
        return SteppedGradient(self.axes.round_to(dtype), K, k, b)


@dataclass(frozen=True)
class SteppedGradient(FeatureGradient):
    """Gradient by one layer's features, whose values are p: p M V' + b."""

    rounded: Rounded
    # (d, d) and (C - d,), which are M.
    K: Tensor
    k: Tensor
    # (C,).
    b: Tensor

    def compute(self, flat: Tensor) -> Tensor:
        """Compute the gradient at features (positions, C)."""
        return torch.addmm(
            self.b, multiply_along(self.rounded.find_values(flat), self.K, self.k), self.rounded.V.T
        )


@dataclass(frozen=True)
class LightGradients(StyleGradients):
    """Distances in a batch of layers, and what their gradients need."""

    # (layers,), the distances.
    values: Tensor
    # (layers,).
    share: Tensor
    # One for each.
    layers: Sequence[Layer]

    def split(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Sequence[FeatureGradient]:
        """Split into layers, each multiplied by its weight and all by a factor."""
        shares = self.share * weights * factor
        return [self._split_one(*each, dtype) for each in zip(self.layers, shares, strict=True)]

    def _split_one(self, layer: Layer, share: Tensor, dtype: torch.dtype) -> FeatureGradient:
        near = share.device.type == "cpu"
        stepped = near and dtype in HALF and len(layer.mean) >= STEPPED
        return layer.step(share, dtype) if stepped else layer.merge(share, dtype)
