"""Style distances of a picture's moments to the paintings', with their gradients in closed form.

Several layers are one batch where that suits the device, see `ways.py`; narrower layers are then filled
up with channels that are zero, which changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from farm.engine.losses import SMALL
from farm.engine.roots import cut_factor, factorise, take_root_by_eigh, take_root_by_iteration
from farm.engine.statistics import Moments
from farm.engine.ways import CPU, Way

BAND_VALUES = 1 << 20  # features at once on a CPU, so that what is between them stays near the processor


@dataclass(frozen=True)
class StyleGradients:
    """Style distances in a batch of layers, and their gradients by those layers' features F: at every
    position (F D + e) share."""

    # (layers,), the distances.
    values: Tensor
    # (layers, n, n).
    D: Tensor
    # (layers, n).
    e: Tensor
    # (layers,).
    share: Tensor

    def split(
        self, channels: Sequence[int], weights: Tensor, factor: float, dtype: torch.dtype
    ) -> list[FeatureGradient]:
        """Split into layers of so many channels, each multiplied by its weight and all by a factor, for
        features of a number format."""
        share = (self.share * weights)[:, None]
        share = share * factor if factor != 1 else share
        A, b = (self.D * share[..., None]).to(dtype), (self.e * share).to(dtype)
        return [FeatureGradient(A[i, :C, :C], b[i, :C]) for i, C in enumerate(channels)]


@dataclass(frozen=True)
class FeatureGradient:
    """Gradient of a style distance by one layer's features F: F A + b at every position."""

    # (C, C).
    A: Tensor
    # (C,).
    b: Tensor

    def add_to(self, d: Tensor, features: Tensor) -> None:
        """Add the gradient at features (h, w, C) to d, of their shape."""
        _, w, C = features.shape
        rows = len(features) if d.device.type != "cpu" else max(1, BAND_VALUES // (w * C))
        for band, here in zip(torch.split(features, rows), torch.split(d, rows), strict=True):
            here += torch.addmm(self.b, band.reshape(-1, C), self.A).view(band.shape)


class StyleLoss(ABC):
    """Distance of a picture's moments to a target's, each layer's a ratio to the target's energy.

    Args:
        targets: the paintings' moments, by layer. width: channels of the batch.
        way: how roots are taken.

    Attributes:
        layers: their names, in the batch's order. channels: of each.
    """

    def __init__(self, targets: Mapping[str, Moments], width: int, way: Way = CPU) -> None:
        self.layers = tuple(targets)
        self.channels = [len(target.total) for target in targets.values()]
        self._width, self._way = width, way
        self._shares: dict[tuple[float, ...], Tensor] = {}
        self._energy: Tensor  # (layers,), of the target
        self._stacked: tuple[Tensor, Tensor] | None = None
        self._mean, self._gram = (each.clone() for each in self._stack(targets))

    @abstractmethod
    def __call__(self, moments: Mapping[str, Moments]) -> StyleGradients:
        """Return the distances of these moments, by layer, and their gradients."""

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

    def _compute_share(self, moments: Mapping[str, Moments]) -> Tensor:
        """Return each position's share in a layer's mean, over the target's energy: (layers,).

        Copied to the device once: a copy makes a GPU wait.
        """
        counts = tuple(moments[layer].count for layer in self.layers)
        if counts not in self._shares:
            self._shares[counts] = 1 / (self._energy.new_tensor(counts) * self._energy)
        return self._shares[counts]


class GramLoss(StyleLoss):
    """Squared Frobenius distance of Gram matrices (Gatys et al. 2016, eq. 5), over the target's."""

    def __init__(self, targets: Mapping[str, Moments], width: int, way: Way = CPU) -> None:
        super().__init__(targets, width, way)
        self._energy = self._gram.square().sum(dim=(1, 2)) + SMALL

    def __call__(self, moments: Mapping[str, Moments]) -> StyleGradients:
        """Return the distances of these moments, by layer, and their gradients."""
        mean, gram = self._stack(moments)
        apart = gram - self._gram
        distance = apart.square().sum(dim=(1, 2)) / self._energy
        share = self._compute_share(moments)
        return StyleGradients(distance, apart.mul_(4), torch.zeros_like(mean), share)


class WassersteinLoss(StyleLoss):
    """Squared 2-Wasserstein distance of the Gaussians with these moments, over the target's energy.

    |m - t|^2 + tr S + tr T - 2 tr (T^1/2 S T^1/2)^1/2, with means m, t and covariances S, T
    (Dowson and Landau 1982, doi 10.1016/0047-259X(82)90077-X). With any T = L L', L' S L has the same
    non-zero eigenvalues as T^1/2 S T^1/2; L has as many columns as T has rank, which on small levels
    is a fraction of the channels, and is found once. The gradient by S is D = I - L (L' S L)^-1/2 L'.
    All in float64: L' S L holds squares of variances, of which float32 would lose the smaller half.
    """

    def __init__(self, targets: Mapping[str, Moments], width: int, way: Way = CPU) -> None:
        super().__init__(targets, width, way)
        covariance = _subtract_means(self._gram, self._mean)
        self._factor = factorise(covariance) if way.iterates_roots else cut_factor(covariance[0])[None]
        self._trace = _sum_diagonals(covariance)
        self._energy = _sum_diagonals(self._gram) + SMALL

    def __call__(self, moments: Mapping[str, Moments]) -> StyleGradients:
        """Return the distances of these moments, by layer, and their gradients.

        Raises:
            LinAlgError: they are not finite, and roots are taken by eigh.
        """
        mean, gram = self._stack(moments)
        S, L, apart = _subtract_means(gram, mean), self._factor, mean - self._mean
        take_root = take_root_by_iteration if self._way.iterates_roots else take_root_by_eigh
        trace, inverse = take_root(torch.bmm(torch.bmm(L.mT, S), L), L)
        D = inverse.mul_(-2)  # and so 2 D of the above
        D.diagonal(dim1=1, dim2=2).add_(2)
        distance = apart.square().sum(dim=1).add_(_sum_diagonals(S)).add_(self._trace)
        distance = distance.sub_(trace, alpha=2).div_(self._energy)
        # From the left, as the features are multiplied: what rounding leaves of D in directions without
        # variance is not symmetric, and cancels in (F - m) D alone.
        e = torch.baddbmm(apart[:, None], mean[:, None], D, beta=2, alpha=-1)[:, 0]
        return StyleGradients(distance, D, e, self._compute_share(moments))


def make_style_losses(kind: str, targets: Mapping[str, Moments], way: Way = CPU) -> list[StyleLoss]:
    """Make the style distances, `gram` or `wasserstein`, in batches of layers as `way` wants them."""
    make = WassersteinLoss if kind == "wasserstein" else GramLoss
    batches: dict[tuple[int, str], dict[str, Moments]] = {}
    for layer, target in targets.items():
        C = len(target.total)
        wide = [width for width in way.batch_widths if width >= C]
        key = (min(wide), "") if wide else (C, layer)
        batches.setdefault(key, {})[layer] = target
    return [make(batch, width, way) for (width, _), batch in batches.items()]


def _subtract_means(gram: Tensor, mean: Tensor) -> Tensor:
    """Return the covariances (b, n, n): the Gram matrices, centred.

    Not fused: the rounding of the products, too, has to cancel where all positions are equal.
    """
    return gram - mean[..., None] * mean[:, None]


def _sum_diagonals(M: Tensor) -> Tensor:
    """Return the traces (b,) of matrices (b, n, n)."""
    return M.diagonal(dim1=1, dim2=2).sum(dim=1)
