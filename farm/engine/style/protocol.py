"""The protocol of a style loss: sums over positions up, distances of the sums, gradients back down.

1. `StyleLoss.sum_features` sums a tile's features; the sums of all tiles add up to the picture's.
2. `StyleLoss.__call__` turns a picture's sums into one distance for each layer, and what their gradients
   need: small matrices, the same for all positions.
3. `FeatureGradient.add_to` adds the gradient at a tile's features.

So tiles equal the whole but for rounding. Positions may have weights, as a region's mask has them: sums
and gradients take a map of them. Nothing here copies from the host or waits for the device, but for
the making of a loss.

Several layers are one batch where that suits the device, see `farm.engine.ways`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from farm.engine.bits import mask_dead
from farm.engine.cuda_kernels import add_activations
from farm.engine.statistics import FAR_VALUES, NEAR_VALUES, Moments
from farm.engine.ways import CPU, Way


class Sums(Protocol):
    """Sums over positions, of one layer."""

    @property
    def count(self) -> float | Tensor:
        """Number of positions, or the sum of their weights, float64 of no dimension."""

    def __add__(self, other: Self, /) -> Self: ...

    def scale_to(self, count: float) -> Self:
        """Scale the sums to `count` positions; with counts that sum to 1, blends are weighted means."""


S = TypeVar("S", bound=Sums)


class FeatureGradient(ABC):
    """Gradient of a style distance by one layer's features."""

    # Features at once beyond a CPU; those that make little on the way take all.
    far_values: float = FAR_VALUES

    @abstractmethod
    def compute(self, flat: Tensor) -> Tensor:
        """Compute the gradient at features (positions, C), of their shape and number format."""

    def add_to(self, d: Tensor, features: Tensor, weights: Tensor | None = None) -> None:
        """Add the gradient at features (h, w, C) to d, of their shape.

        weights: of the positions, (h, w), as the sums had them; None: 1 everywhere.
        """
        for rows in self._list_bands(features):
            gradient = self._compute_band(features[rows])
            if weights is None:
                add_activations(d[rows], gradient)
            else:
                d[rows].addcmul_(gradient, weights[rows][..., None].to(d.dtype))

    def add_masked(self, d: Tensor, features: Tensor) -> Tensor:
        """Add the gradient at features (h, w, C) to d, of their shape, and apply the adjoint of the ReLU
        whose output they are."""
        if features.device.type != "cpu":
            if features.numel() <= self.far_values:
                return mask_dead(d, features, self._compute_band(features))
            self.add_to(d, features)
            return mask_dead(d, features)
        masked = torch.empty_like(features)
        for rows in self._list_bands(features):  # what a band makes stays near the processor
            mask_dead(d[rows], features[rows], self._compute_band(features[rows]), masked[rows])
        return masked

    def _compute_band(self, features: Tensor) -> Tensor:
        return self.compute(features.reshape(-1, features.shape[2])).view(features.shape)

    def _list_bands(self, features: Tensor) -> list[slice]:
        """List the bands of rows, in which features (h, w, C) are taken."""
        h, w, C = features.shape
        values = NEAR_VALUES if features.device.type == "cpu" else self.far_values
        rows = max(1, int(min(h, values // (w * C))))
        return [slice(top, top + rows) for top in range(0, h, rows)]


class StyleGradients(ABC):
    """Style distances in a batch of layers, and what their gradients need."""

    # (layers,) float64, the distances.
    values: Tensor

    @abstractmethod
    def split(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Sequence[FeatureGradient]:
        """Split into layers, each multiplied by its weight (layers,), float64, and all by a factor, for
        features of a number format."""


class StyleLoss(ABC, Generic[S]):
    """Distance of a picture's statistics to a target's, each layer's a ratio: 0 is the same, 1 as far as
    silence.

    Attributes:
        layers: their names, in the batch's order.
    """

    layers: tuple[str, ...]
    # Positions a channel whose sums are as good as those of more; more are left out, evenly.
    enough = math.inf
    # Whether the target is set by `set_target`, after a further pass over the paintings.
    needs_sums = False

    def set_target(self, sums: Mapping[str, S]) -> None:
        """Take the paintings' sums, by layer, as the target; called of those alone that need them."""

    @abstractmethod
    def sum_features(self, layer: str, features: Tensor, weights: Tensor | None = None) -> S:
        """Sum over features (H, W, C) of a layer, of positions with weights (H, W); None: 1."""

    @abstractmethod
    def __call__(self, sums: Mapping[str, S]) -> StyleGradients:
        """Return the distances of these sums, by layer, and their gradients."""


@dataclass(frozen=True)
class AffineGradients(StyleGradients):
    """Distances in a batch of layers whose gradients by features F are (F D + e) share."""

    # (layers,), the distances.
    values: Tensor
    # (layers, n, n).
    D: Tensor
    # (layers, n).
    e: Tensor
    # (layers,).
    share: Tensor
    # Of each layer.
    channels: Sequence[int]

    def split(self, weights: Tensor, factor: float, dtype: torch.dtype) -> list[FeatureGradient]:
        """Split into layers, each multiplied by its weight and all by a factor."""
        share = (self.share * weights)[:, None]
        share = share * factor if factor != 1 else share
        share = share.to(self.D.dtype)
        A, b = (self.D * share[..., None]).to(dtype), (self.e * share).to(dtype)
        return [AffineGradient(A[i, :C, :C], b[i, :C]) for i, C in enumerate(self.channels)]


@dataclass(frozen=True)
class AffineGradient(FeatureGradient):
    """Gradient by one layer's features F: F A + b at every position."""

    far_values = math.inf
    # (C, C).
    A: Tensor
    # (C,).
    b: Tensor

    def compute(self, flat: Tensor) -> Tensor:
        """Compute the gradient at features (positions, C)."""
        return torch.addmm(self.b, flat, self.A)


class MomentsLoss(StyleLoss[Moments]):
    """Distance of first and second moments to a target's.

    Narrower layers of a batch are filled up with channels that are zero, which changes nothing.

    Args:
        targets: the paintings' moments, by layer. width: channels of the batch.
        way: how roots are taken.

    Attributes:
        channels: of each layer.
    """

    def __init__(self, targets: Mapping[str, Moments], width: int, way: Way = CPU) -> None:
        self.layers = tuple(targets)
        self.channels = [len(target.total) for target in targets.values()]
        self._width, self._way = width, way
        self._shares: dict[tuple[float, ...], Tensor] = {}
        self._energy: Tensor  # (layers,), of the target
        self._stacked: tuple[Tensor, Tensor] | None = None
        self._mean, self._gram = (each.clone() for each in self._stack(targets))

    def sum_features(self, layer: str, features: Tensor, weights: Tensor | None = None) -> Moments:
        """Sum over features (H, W, C), of positions with weights (H, W); None: 1."""
        return Moments.from_features(features, weights)

    def _stack(self, moments: Mapping[str, Moments]) -> tuple[Tensor, Tensor]:
        """Stack the layers' means (b, n) and Gram matrices (b, n, n), until the next call."""
        found = [moments[layer] for layer in self.layers]
        first, n = found[0], self._width
        if len(found) == 1 and len(first.total) == n:
            return first.mean[None], first.gram[None]
        if self._stacked is None:  # made once: what is beyond a layer's channels stays zero
            zeros = first.total.new_zeros
            self._stacked = zeros(len(found), n), zeros(len(found), n, n)
        mean, gram = self._stacked
        for i, each in enumerate(found):
            C = len(each.total)
            torch.div(each.total, each.count, out=mean[i, :C])
            torch.div(each.outer, each.count, out=gram[i, :C, :C])
        return mean, gram

    def _compute_share(self, sums: Mapping[str, Moments]) -> Tensor:
        """Return each position's share in a layer's mean, over the target's energy: (layers,)."""
        return compute_share([sums[layer].count for layer in self.layers], self._energy, self._shares)


def compute_share(
    counts: Sequence[float | Tensor], energy: Tensor, known: dict[tuple[float, ...], Tensor]
) -> Tensor:
    """Return a position's share in each layer's mean, over the target's energy (layers,): (layers,).

    Numbers are copied to the device once and kept in `known`: a copy makes a GPU wait.
    """
    if any(isinstance(count, Tensor) for count in counts):
        return 1 / (torch.stack([energy.new_zeros(()) + count for count in counts]) * energy)
    numbers = tuple(map(float, counts))
    if numbers not in known:
        known[numbers] = 1 / (energy.new_tensor(numbers) * energy)
    return known[numbers]
