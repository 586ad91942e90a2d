"""`light`: the Gaussian distance in the directions that carry the painting's variance.

In the painting's first d directions V, which carry `CARRIED` of its variance, the distance is the
squared 2-Wasserstein distance of `wasserstein.py`; of what lies outside of them only the variance s is
compared with the painting's t, as for Gaussians that are round there:

    |m - t|^2 + W^2(V'S V, V'T V) + (sqrt s - sqrt t)^2

So a layer's sums are a (d, d) matrix instead of (C, C), and so is the matrix whose root is taken.
Layers of fewer than `NARROWEST` channels, or whose directions are more than `MOST` of their channels,
are `wasserstein.py`'s: there is nothing to be gained in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from farm.engine.losses import SMALL
from farm.engine.roots import ROUNDING, TINY, decompose, take_root_by_eigh, take_root_by_iteration
from farm.engine.statistics import Moments, make_few_exact, multiply, split_bands
from farm.engine.style.protocol import FeatureGradient, StyleGradients, StyleLoss, compute_share
from farm.engine.ways import CPU, Way

CARRIED = 0.98  # of the painting's variance, by the directions that are compared in full
NARROWEST = 256  # channels
MOST = 0.7  # of the channels


@dataclass(frozen=True)
class ProjectedSums:
    """Moments of C channels, the second ones in d directions and as a whole. Sums, in float64."""

    # Positions, or the sum of their weights.
    count: float | Tensor
    # (C,), of feature vectors.
    total: Tensor
    # No dimension, of their squared lengths.
    square: Tensor
    # (d, d), of outer products of the projected ones.
    outer: Tensor

    def __add__(self, other: ProjectedSums) -> ProjectedSums:
        return ProjectedSums(
            self.count + other.count,
            self.total + other.total,
            self.square + other.square,
            self.outer + other.outer,
        )

    def scale_to(self, count: float) -> ProjectedSums:
        """Scale the sums to `count` positions."""
        scale = count / self.count
        return ProjectedSums(count, self.total * scale, self.square * scale, self.outer * scale)


def choose_directions(target: Moments) -> tuple[Tensor, Tensor] | None:
    """Choose a painting's directions: (C, d) and the variances along them (d,), largest first. None:
    the layer is not worth it."""
    C = len(target.total)
    if C < NARROWEST:
        return None
    values, vectors = decompose(target.covariance[None])
    variances, V = values[0].flip(0).clamp(min=0), vectors[0].flip(1)
    carried = variances.cumsum(0) / variances.sum().clamp(min=TINY)
    d = int((carried < CARRIED).sum()) + 1
    return (V[:, :d].contiguous(), variances[:d]) if d <= MOST * C else None


class LightLoss(StyleLoss[ProjectedSums]):
    """The distance of the Gaussians with the moments of picture and painting, compressed.

    Args:
        targets: the paintings' moments, by layer.
        directions: of each, as `choose_directions` found them.
        way: how roots are taken.
    """

    def __init__(
        self,
        targets: Mapping[str, Moments],
        directions: Mapping[str, tuple[Tensor, Tensor]],
        way: Way = CPU,
    ) -> None:
        self.layers, self._way = tuple(targets), way
        self._V = {layer: directions[layer][0] for layer in targets}
        self._rounded: dict[tuple[str, torch.dtype], Tensor] = {}
        self._shares: dict[tuple[float, ...], Tensor] = {}
        widest = max(V.shape[1] for V in self._V.values())
        variances = torch.stack([_pad(directions[layer][1], widest) for layer in targets])
        self._factor = torch.diag_embed(variances.sqrt())  # (b, d, d), of the painting's covariance
        self._means = [target.mean for target in targets.values()]
        traces = torch.stack([target.covariance.trace() for target in targets.values()])
        self._inside = variances.sum(dim=1)
        self._outside = (traces - self._inside).clamp(min=0)
        self._energy = torch.stack([target.gram.trace() for target in targets.values()]) + SMALL

    def sum_features(self, layer: str, features: Tensor, weights: Tensor | None = None) -> ProjectedSums:
        """Sum over features (H, W, C), of positions with weights (H, W); None: 1."""
        features = make_few_exact(features)
        V = self._get_directions(layer, features.dtype)
        found: ProjectedSums | None = None
        for flat, w in split_bands(features, weights):
            part = _sum_band(flat, w, V)
            found = part if found is None else found + part
        assert found is not None
        return found

    def __call__(self, sums: Mapping[str, ProjectedSums]) -> LightGradients:
        """Return the distances of these sums, by layer, and their gradients.

        Raises:
            LinAlgError: they are not finite, and roots are taken by eigh.
        """
        found = [sums[layer] for layer in self.layers]
        L = self._factor
        means = [each.total / each.count for each in found]
        S, traces = torch.zeros_like(L), []
        for i, (each, m) in enumerate(zip(found, means, strict=True)):
            V, (d, _) = self._V[self.layers[i]], each.outer.shape
            projected = m @ V
            S[i, :d, :d] = each.outer / each.count - projected[:, None] * projected
            traces.append(each.square / each.count - m.square().sum())
        take_root = take_root_by_iteration if self._way.iterates_roots else take_root_by_eigh
        trace, inverse = take_root(torch.bmm(torch.bmm(L, S), L), L)
        inside, all_of_it = S.diagonal(dim1=1, dim2=2).sum(dim=1), torch.stack(traces)
        outside = all_of_it - inside
        seen = outside > ROUNDING * all_of_it.clamp(min=TINY)  # else rounding, and no root of it
        root = torch.where(seen, outside.clamp(min=TINY).sqrt(), 0)
        a = 2 - 2 * torch.where(seen, self._outside.sqrt() / outside.clamp(min=TINY).sqrt(), 0)
        K = inverse.mul_(-2)
        K.diagonal(dim1=1, dim2=2).add_((2 - a)[:, None])
        apart = [m - t for m, t in zip(means, self._means, strict=True)]
        distance = torch.stack([each.square().sum() for each in apart])
        distance = distance + inside + self._inside - 2 * trace
        distance = distance + outside + self._outside - 2 * root * self._outside.sqrt()
        share = compute_share([each.count for each in found], self._energy, self._shares)
        e = [
            2 * away - self._multiply(i, m, a, K)
            for i, (away, m) in enumerate(zip(apart, means, strict=True))
        ]
        return LightGradients(distance / self._energy, a, K, e, share, [*self._V.values()])

    def _multiply(self, i: int, m: Tensor, a: Tensor, K: Tensor) -> Tensor:
        """Multiply a vector (C,) by a layer's a I + V K V'."""
        V = self._V[self.layers[i]]
        d = V.shape[1]
        return a[i] * m + V @ (K[i, :d, :d].mT @ (m @ V))

    def _get_directions(self, layer: str, dtype: torch.dtype) -> Tensor:
        if (layer, dtype) not in self._rounded:
            self._rounded[layer, dtype] = self._V[layer].to(dtype)
        return self._rounded[layer, dtype]


@dataclass(frozen=True)
class LightGradients(StyleGradients):
    """Distances in a batch of layers whose gradients by features F are (a F + F V K V' + e) share."""

    # (layers,), the distances.
    values: Tensor
    # (layers,).
    a: Tensor
    # (layers, d, d), d of the layer with the most directions.
    K: Tensor
    # Of each layer, (C,).
    e: list[Tensor]
    # (layers,).
    share: Tensor
    # Of each layer, (C, d).
    V: list[Tensor]

    def split(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Sequence[FeatureGradient]:
        """Split into layers, each multiplied by its weight and all by a factor."""
        share = self.share * weights * factor
        a, K = share * self.a, share[:, None, None] * self.K
        return [
            LightGradient(
                a[i].to(dtype),
                V.to(dtype),
                (K[i, : V.shape[1], : V.shape[1]] @ V.mT).to(dtype),
                (share[i] * self.e[i]).to(dtype),
            )
            for i, V in enumerate(self.V)
        ]


@dataclass(frozen=True)
class LightGradient(FeatureGradient):
    """Gradient by one layer's features F: a F + F V K + b at every position."""

    # No dimension.
    a: Tensor
    # (C, d).
    V: Tensor
    # (d, C).
    K: Tensor
    # (C,).
    b: Tensor

    def compute(self, flat: Tensor) -> Tensor:
        """Compute the gradient at features (positions, C)."""
        return torch.addmm(self.b, flat @ self.V, self.K).addcmul_(flat, self.a)


def _sum_band(flat: Tensor, weights: Tensor | None, V: Tensor) -> ProjectedSums:
    """Sum features (n, C) with weights (n,) and their projections on V (C, d)."""
    if weights is None:
        count: float | Tensor = float(len(flat))
    else:
        count = weights.sum(dtype=torch.float64)
        root = weights.sqrt()[:, None]
        total = (weights @ flat.to(weights.dtype)).double()
        flat = (flat * root).to(flat.dtype)
    if weights is None:
        total = flat.sum(dim=0, dtype=torch.promote_types(flat.dtype, torch.float32)).double()
    projected = multiply(flat, V)
    if flat.device.type == "cpu":  # exactly: what lies outside is a small difference of these
        projected = projected.double()
    exact = torch.promote_types(flat.dtype, projected.dtype)
    length = torch.linalg.vector_norm(flat, dtype=exact)
    return ProjectedSums(count, total, length.double().square(), (projected.T @ projected).double())


def _pad(x: Tensor, n: int) -> Tensor:
    """Fill (d,) up to (n,) with zeros."""
    return torch.nn.functional.pad(x, (0, n - len(x)))
