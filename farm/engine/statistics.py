"""Style statistics of features: sums over positions, normalised once, at the end.

The Gram matrix of Gatys et al. 2016 (arXiv 1508.06576), and mean and covariance for the Gaussian
distance. Sums add, so a picture's statistics are the sum of its parts' and a blend of paintings is a
weighted sum of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from farm.engine.cuda_kernels import find_kernels
from farm.recipe.memory_plan import BAND_VALUES

HALF = (torch.float16, torch.bfloat16)
FEW = 4  # positions a channel
CONVERTED = 1 << 12  # positions at once on a CPU in half precision, so that their float32 stays near it
NEAR_VALUES, FAR_VALUES = BAND_VALUES["cpu"], BAND_VALUES["cuda"]  # in a band of features
SUMMED = 1 << 22  # positions whose float32 products are added up in float32, elsewhere


@dataclass(frozen=True)
class Moments:
    """First and second moments of C channels over a number of positions.

    float64, because the tiles of a large picture add up to tens of millions of positions.
    """

    # Positions, or the sum of their weights: then a tensor of no dimension, which nobody waits for.
    count: float | Tensor
    # (C,), the sum of the feature vectors.
    total: Tensor
    # (C, C), the sum of their outer products.
    outer: Tensor
    # No more positions than these have weight, so the rank of what they sum up to is no larger.
    positions: float = math.inf

    @classmethod
    def from_features(cls, features: Tensor, weights: Tensor | None = None) -> Moments:
        """Sum over features (H, W, C). Products in float32 at least: float16 overflows beyond 65504.

        Args:
            weights: of the positions, (H, W), 0 or more: n = sum w, sum w F, sum w F'F. None: 1.
        """
        features = make_few_exact(features)
        H, W, _ = features.shape
        if weights is not None:
            return cls._weigh(features, weights)
        first, *others = torch.split(features, max(1, _choose_band(features) // W))
        total, outer = (part.double() for part in _sum_band(first))
        for band in others:
            part, product = _sum_band(band)
            total += part
            outer += product
        return cls(H * W, total, outer, H * W)

    @classmethod
    def _weigh(cls, features: Tensor, weights: Tensor) -> Moments:
        """Sum over features (H, W, C) with weights (H, W), by their roots: so products are symmetric."""
        rows = max(1, _choose_band(features) // features.shape[1])
        total: Tensor | float = 0.0
        outer: Tensor | float = 0.0
        for band, each in zip(torch.split(features, rows), torch.split(weights, rows), strict=True):
            root = each.to(torch.promote_types(band.dtype, torch.float32)).sqrt().to(band.dtype)
            rooted = band * root[..., None]
            outer = outer + _sum_band(rooted)[1].double()
            total = total + (rooted * root[..., None]).sum(dim=(0, 1), dtype=torch.float64)
        assert isinstance(total, Tensor)
        assert isinstance(outer, Tensor)
        return cls(weights.sum(dtype=torch.float64), total, outer, weights.numel())

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count,
            self.total + other.total,
            self.outer + other.outer,
            self.positions + other.positions,
        )

    def scale_to(self, count: float) -> Moments:
        """Scale the sums to `count` positions; with counts that sum to 1, blends are weighted means."""
        scale = count / self.count
        return Moments(count, self.total * scale, self.outer * scale, self.positions)

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


def make_few_exact(features: Tensor) -> Tensor:
    """Return features (H, W, C) in float64 where they are fewer than `FEW` positions a channel.

    Their covariance lacks directions. Those are to be zero: a root would make much of rounding, which is
    another in tiles than in the whole.
    """
    H, W, C = features.shape
    return features.double() if H * W < FEW * C else features


def split_bands(
    features: Tensor, weights: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Split features (H, W, C) into bands (n, C) with weights (n,), so that what is made of them stays
    near a CPU's processor and takes little of a GPU's memory."""
    H, W, C = features.shape
    values = NEAR_VALUES if features.device.type == "cpu" else FAR_VALUES
    rows = max(1, values // (W * C))
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
    flat = features.reshape(-1, features.shape[2])
    if flat.dtype not in HALF:
        return flat.sum(dim=0), flat.T @ flat
    if flat.device.type != "cpu":  # a GPU multiplies half precision into float32
        kernels = find_kernels(flat[None])
        total = (kernels.sum(flat) if kernels else flat).sum(dim=0, dtype=torch.float32)
        return total, torch.mm(flat.T, flat, out_dtype=torch.float32)
    flat = flat.float()
    return flat.sum(dim=0), flat.T @ flat
