"""Style statistics of features: sums over positions, normalised once, at the end.

The Gram matrix of Gatys et al. 2016 (arXiv 1508.06576), and mean and covariance for the Gaussian
distance. Sums add, so a picture's statistics are the sum of its parts' and a blend of paintings is a
weighted sum of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from farm.engine.cuda_kernels import find_kernels
from farm.recipe.memory_estimates import BAND_VALUES

HALF = (torch.float16, torch.bfloat16)
FEW = 2  # positions a channel
KEPT = 0.8  # positions a channel: of so few, none is summed up
CONVERTED = 1 << 12  # positions at once on a CPU in half precision, so that their float32 stays near it
NEAR_VALUES, FAR_VALUES = BAND_VALUES["cpu"], BAND_VALUES["cuda"]  # in a band of features
SUMMED = 1 << 22  # positions whose float32 products are added up in float32, elsewhere


@dataclass(frozen=True)
class Rows:
    """Few positions as they are, in float64: their covariance's root is found faster by them."""

    # (n, C), the feature vectors, each times the root of its weight.
    features: Tensor
    # (n,), these roots.
    roots: Tensor

    @classmethod
    def from_features(cls, features: Tensor, weights: Tensor | None) -> Rows:
        """Copy features (h, w, C) with weights (h, w), without positions of none; None: 1."""
        flat = features.reshape(-1, features.shape[2])
        if weights is None:
            return cls(flat.to(torch.float64, copy=True), flat.new_ones(len(flat), dtype=torch.float64))
        w = weights.reshape(-1).double()
        seen = w.nonzero()[:, 0]
        roots = w[seen].sqrt()
        return cls(flat[seen].double() * roots[:, None], roots)

    def __len__(self) -> int:
        return len(self.roots)

    def join(self, other: Rows) -> Rows:
        """Return the positions of both."""
        return Rows(torch.cat((self.features, other.features)), torch.cat((self.roots, other.roots)))

    def scale(self, factor: float | Tensor) -> Rows:
        """Return the same positions with weights times a factor."""
        root = factor**0.5
        return Rows(self.features * root, self.roots * root)


@dataclass(frozen=True)
class Moments:
    """First and second moments of C channels over a number of positions.

    float64, because the tiles of a large picture add up to tens of millions of positions.
    """

    # Positions, or the sum of their weights: then a tensor of no dimension, which nobody waits for.
    count: float | Tensor
    # (C,), the sum of the feature vectors.
    total: Tensor
    # (C, C), the sum of their outer products. None: by `rows`, when it is wanted.
    products: Tensor | None
    # The positions themselves, on a CPU that has few of them: no more than `KEPT` a channel.
    rows: Rows | None = None

    @classmethod
    def from_features(cls, features: Tensor, weights: Tensor | None = None) -> Moments:
        """Sum over features (H, W, C). Products in float32 at least: float16 overflows beyond 65504.

        Args:
            weights: of the positions, (H, W), 0 or more: n = sum w, sum w F, sum w F'F. None: 1.
        """
        H, W, C = features.shape
        if _may_keep(features) and _count_seen(H * W, weights, 2 * C) <= KEPT * C:
            rows = Rows.from_features(features, weights)
            count = H * W if weights is None else weights.sum(dtype=torch.float64)
            return cls(count, rows.roots @ rows.features, None, rows)
        features = _make_few_exact(features)
        if weights is not None:
            return cls(weights.sum(dtype=torch.float64), *_weigh(features, weights))
        first, *others = torch.split(features, max(1, _choose_band(features) // W))
        total, outer = (part.double() for part in _sum_band(first))
        for band in others:
            part, product = _sum_band(band)
            total += part
            outer += product
        return cls(H * W, total, outer)

    def __add__(self, other: Moments) -> Moments:
        count, total = self.count + other.count, self.total + other.total
        rows = None
        if self.rows is not None and other.rows is not None:
            rows = self.rows.join(other.rows)
        if rows is not None and len(rows) <= KEPT * len(total):
            return Moments(count, total, None, rows)
        return Moments(count, total, self.outer + other.outer)

    def scale_to(self, count: float) -> Moments:
        """Scale the sums to `count` positions; with counts that sum to 1, blends are weighted means."""
        scale = count / self.count
        rows = None if self.rows is None else self.rows.scale(scale)
        products = None if self.products is None else self.products * scale
        return Moments(count, self.total * scale, products, rows)

    @property
    def outer(self) -> Tensor:
        """(C, C), the sum of the feature vectors' outer products."""
        if self.products is not None:
            return self.products
        assert self.rows is not None
        return self.rows.features.T @ self.rows.features

    @property
    def mean(self) -> Tensor:
        """(C,), the mean feature vector."""
        return self.total / self.count

    @property
    def gram(self) -> Tensor:
        """(C, C), G_ij = mean over positions of F_i F_j."""
        return self.outer / self.count

    @property
    def covariance(self) -> Tensor:
        """(C, C), the centred Gram matrix."""
        return self.gram - torch.outer(self.mean, self.mean)

    @property
    def centred(self) -> Tensor:
        """(n, C), X of the few positions, X'X the covariance."""
        assert self.rows is not None
        return (self.rows.features - self.rows.roots[:, None] * self.mean) / self.count**0.5


def _may_keep(features: Tensor) -> bool:
    """Check whether few positions may be kept as they are: on a CPU, but in float64, since the root by
    them is right to 1e-10 alone."""
    return features.device.type == "cpu" and features.dtype != torch.float64


def _count_seen(positions: int, weights: Tensor | None, looked: int) -> int:
    """Count the positions that have weight; where there are more than `looked`, all of them."""
    if weights is None or positions > looked:
        return positions
    return int(weights.count_nonzero())


def _weigh(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sum features (H, W, C) and their outer products with weights (H, W), by the roots of these: so
    products are symmetric. (C,), (C, C) float64."""
    _, W, C = features.shape
    near = features.device.type == "cpu"
    rows = max(1, (CONVERTED if near else SUMMED) // W)
    total, outer = (features.new_zeros(size, dtype=torch.float64) for size in ((C,), (C, C)))
    for band, each in zip(torch.split(features, rows), torch.split(weights, rows), strict=True):
        exact = torch.promote_types(band.dtype, torch.float32)
        root = each.reshape(-1).to(exact).sqrt()
        if near:
            rooted = band.to(exact, copy=True).view(-1, C).mul_(root[:, None])
            total += root @ rooted
            outer += rooted.T @ rooted
        else:
            rooted = band.reshape(-1, C) * root[:, None].to(band.dtype)
            total += (rooted * root[:, None]).sum(dim=0, dtype=torch.float64)
            outer += _sum_band(rooted[None])[1]
    return total, outer


def _make_few_exact(features: Tensor) -> Tensor:
    """Return features (H, W, C) in float64 where they are fewer than `FEW` positions a channel.

    Their covariance lacks directions. Those are to be zero: a root would make much of rounding, which is
    another in tiles than in the whole.
    """
    H, W, C = features.shape
    return features.double() if H * W < FEW * C else features


def split_bands(
    features: Tensor, weights: Tensor | None = None, most: int = SUMMED
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Split features (H, W, C) into bands (n, C) with weights (n,), so that what is made of them stays
    near a CPU's processor and takes little of a GPU's memory.

    Args:
        most: positions in a band, on a CPU.
    """
    H, W, C = features.shape
    near = features.device.type == "cpu"
    rows = max(1, min(NEAR_VALUES // C, most) // W if near else FAR_VALUES // (W * C))
    exact = torch.promote_types(features.dtype, torch.float32)
    for top in range(0, H, rows):
        band = features[top : top + rows].reshape(-1, C)
        yield band, None if weights is None else weights[top : top + rows].reshape(-1).to(exact)


def multiply(flat: Tensor, M: Tensor) -> Tensor:
    """Multiply features (n, C) by (C, d), in float32 at least."""
    if flat.dtype not in HALF:
        return flat @ M
    if flat.device.type != "cpu":
        return torch.mm(flat, M, out_dtype=torch.float32)
    return flat.float() @ M.float()


def _choose_band(features: Tensor) -> int:
    """Choose how many positions are multiplied at once."""
    return CONVERTED if features.dtype in HALF and features.device.type == "cpu" else SUMMED


def _sum_band(features: Tensor) -> tuple[Tensor, Tensor]:
    """Sum features (h, W, C) and their outer products, in float32 at least: (C,), (C, C)."""
    half, near = features.dtype in HALF, features.device.type == "cpu"
    flat = (features.float() if half and near else features).reshape(-1, features.shape[2])
    if half and not near:  # a GPU multiplies half precision into float32
        kernels = find_kernels(flat[None])
        total = (kernels.sum(flat) if kernels else flat).sum(dim=0, dtype=torch.float32)
        return total, torch.mm(flat.T, flat, out_dtype=torch.float32)
    return flat.sum(dim=0), flat.T @ flat
