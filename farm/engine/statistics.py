"""Style statistics of features: sums over positions, normalised once, at the end.

The Gram matrix of Gatys et al. 2016 (arXiv 1508.06576), and mean and covariance for the Gaussian
distance. Sums add, so a picture's statistics are the sum of its parts' and a blend of paintings is a
weighted sum of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """First and second moments of C channels over a number of positions.

    float64, because the tiles of a large picture add up to tens of millions of positions.
    """

    # Positions.
    count: float
    # (C,), the sum of the feature vectors.
    total: Tensor
    # (C, C), the sum of their outer products.
    outer: Tensor

    @classmethod
    def from_features(cls, features: Tensor) -> Moments:
        """Sum over features (H, W, C). Products in float32 at least: float16 overflows beyond 65504."""
        H, W, C = features.shape
        flat = features.reshape(H * W, C)
        if flat.dtype != torch.float64:
            flat = flat.float()
        return cls(H * W, flat.sum(dim=0).double(), (flat.T @ flat).double())

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def scale_to(self, count: float) -> Moments:
        """Scale the sums to `count` positions; with counts that sum to 1, blends are weighted means."""
        scale = count / self.count
        return Moments(count, self.total * scale, self.outer * scale)

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
