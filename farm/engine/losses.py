"""The objective's terms. Each is a ratio to its target's own energy, so 1 means "all wrong".

    alpha * content + beta * sum_l w_l * style_l + gamma * tv        (Gatys et al. 2016, eq. 7)

Differs from Gatys et al.: every term is a mean over positions divided by the mean energy of its target.
So a weight means the same at every size, in every layer, and in every network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from farm.engine.statistics import Moments
from farm.engine.tiles import Region

SMALL = 1e-12  # keeps a ratio finite when its target is all zero
STRIP_PIXELS = 1 << 20  # of the picture at once, in total variation


@dataclass(frozen=True)
class Losses:
    """The objective at one picture."""

    # The unweighted terms; layers are weighted, with weights that sum to 1.
    content: float
    style: float
    tv: float
    # The weighted sum, which is minimised.
    total: float


class ContentLoss:
    """Squared distance of features to the photograph's, over the photograph's energy; part by part.

    Args:
        target: (H, W, C), the photograph's features.
        energy: the sum of their squares.
    """

    def __init__(self, target: Tensor, energy: float) -> None:
        self._target = target
        self._energy = energy + SMALL

    def compute_value(self, where: Region, features: Tensor) -> float:
        """Return the share of features (h, w, C), which lie at `where`, in the loss."""
        return (
            float(self._subtract_target(where, features).square().sum(dtype=torch.float64))
            / self._energy
        )

    def compute_gradient(self, where: Region, features: Tensor) -> Tensor:
        """Return the loss's gradient by features (h, w, C), of their shape, float32 at least."""
        return self._subtract_target(where, features).mul_(2 / self._energy)

    def _subtract_target(self, where: Region, features: Tensor) -> Tensor:
        precise = torch.promote_types(features.dtype, torch.float32)
        return features.to(precise) - where.crop(self._target)


def gram_loss(moments: Moments, target: Moments) -> Tensor:
    """Squared Frobenius distance of Gram matrices (Gatys et al. 2016, eq. 5), over the target's."""
    return (moments.gram - target.gram).square().sum() / (target.gram.square().sum() + SMALL)


class WassersteinLoss:
    """Squared 2-Wasserstein distance of the Gaussians with these moments, over the target's energy.

    |m - t|^2 + tr S + tr T - 2 tr (T^1/2 S T^1/2)^1/2, with means m, t and covariances S, T
    (Dowson and Landau 1982, doi 10.1016/0047-259X(82)90077-X). With any T = L L', L' S L has the same
    non-zero eigenvalues as T^1/2 S T^1/2; L has as many columns as T has rank, which on small levels
    is a fraction of the channels, and is found once. The root is taken in float64: its argument holds
    squares of variances, of which float32 would lose the smaller half.
    """

    def __init__(self, target: Moments) -> None:
        self.mean = target.mean
        self.covariance = target.covariance
        self.factor = factorise(self.covariance)  # (C, rank)
        self.energy = target.gram.trace() + SMALL

    def __call__(self, moments: Moments) -> Tensor:
        S = moments.covariance
        cross: Tensor = _TraceOfRoot.apply(self.factor.T @ S @ self.factor)
        means = (moments.mean - self.mean).square().sum()
        return (means + S.trace() + self.covariance.trace() - 2 * cross) / self.energy


class _TraceOfRoot(torch.autograd.Function):
    """tr M^1/2 of a symmetric positive semi-definite M, with gradient M^-1/2 / 2, by one eigh.

    The differentiable eigh of torch divides by differences of eigenvalues; the trace does not need
    them. Directions with no variance get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, M: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh((M + M.T) / 2)
        kept = values > 1e-10 * values[-1].clamp(min=SMALL)  # below it, rounding
        roots = torch.where(kept, values.clamp(min=0).sqrt(), 0)
        inverse = torch.where(kept, values.clamp(min=SMALL).rsqrt(), 0)
        ctx.save_for_backward(vectors, inverse)
        return roots.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        vectors: Tensor
        vectors, inverse = ctx.saved_tensors
        gradient: Tensor = gradients[0] / 2 * (vectors * inverse) @ vectors.T
        return gradient


def factorise(M: Tensor) -> Tensor:
    """Return L (C, rank) with L @ L.T = M for a symmetric positive semi-definite M (C, C), float64.

    Directions with less than a millionth of the largest variance are rounding, and left out.
    """
    values, vectors = torch.linalg.eigh((M + M.T) / 2)
    kept = values > 1e-6 * values[-1].clamp(min=SMALL)
    factor: Tensor = vectors[:, kept] * values[kept].sqrt()
    return factor


StyleLoss = Callable[[Moments], Tensor]


def style_loss(kind: str, target: Moments) -> StyleLoss:
    """Return the distance of a picture's moments to a painting's: `gram` or `wasserstein`."""
    if kind == "wasserstein":
        return WassersteinLoss(target)
    return lambda moments: gram_loss(moments, target)


def differentiate(loss: StyleLoss, moments: Moments) -> tuple[float, FeatureGradient]:
    """Return a style loss at these moments, and its gradient by any of the features they are sums of."""
    total, outer = moments.total.requires_grad_(), moments.outer.requires_grad_()
    with torch.enable_grad():
        value = loss(Moments(moments.count, total, outer))
        by_total, by_outer = torch.autograd.grad(value, (total, outer), materialize_grads=True)
    return value.item(), FeatureGradient(by_outer + by_outer.T, by_total)


@dataclass(frozen=True)
class FeatureGradient:
    """dL/dF = F A + b at every position, as outer is the sum of F'F and total that of F."""

    # (C, C).
    A: Tensor
    # (C,).
    b: Tensor

    def compute(self, features: Tensor) -> Tensor:
        """Return the gradient at features (h, w, C), of their shape, float32 at least."""
        precise = torch.promote_types(features.dtype, torch.float32)
        flat = features.reshape(-1, features.shape[2]).to(precise)
        return torch.addmm(self.b.to(flat), flat, self.A.to(flat)).view(features.shape)

    def scale(self, factor: float) -> FeatureGradient:
        """Return the gradient of the loss times `factor`."""
        return FeatureGradient(self.A * factor, self.b * factor)


def tv_loss(
    picture: Tensor, gradient: Tensor | None = None, weight: float = 1.0, chroma: float = 1.0
) -> float:
    """Total variation of a picture: mean squared difference of neighbours, summed over both directions
    (Mahendran and Vedaldi 2015, arXiv 1412.0035, with beta = 2).

    Differs from the paper: of each difference, what is not grey counts `chroma` times. Grain in light
    passes for texture of paint, grain in the colours looks like dirt. Computed strip by strip, so that a
    large picture needs no second one.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        gradient: of the picture's shape; the loss's gradient times `weight` is added to it.
    """
    H, W = picture.shape[-2:]
    value = 0.0
    strip = max(1, STRIP_PIXELS // W)
    across, down = 3 * H * max(1, W - 1), 3 * max(1, H - 1) * W  # how many neighbours there are
    for top in range(0, H, strip):
        bottom = min(H, top + strip)
        rows = picture[..., top:bottom, :]
        d = rows[..., 1:] - rows[..., :-1]
        weighed = _weigh_chroma(d, chroma)
        value += float((d * weighed).sum(dtype=torch.float64)) / across
        if gradient is not None:
            weighed *= 2 * weight / across
            gradient[..., top:bottom, 1:] += weighed
            gradient[..., top:bottom, :-1] -= weighed
        last = min(H, bottom + 1)
        d = picture[..., top + 1 : last, :] - picture[..., top : last - 1, :]
        weighed = _weigh_chroma(d, chroma)
        value += float((d * weighed).sum(dtype=torch.float64)) / down
        if gradient is not None:
            weighed *= 2 * weight / down
            gradient[..., top + 1 : last, :] += weighed
            gradient[..., top : last - 1, :] -= weighed
    return value


def _weigh_chroma(d: Tensor, chroma: float) -> Tensor:
    """Multiply the part of colours (1, 3, h, w) that is not grey by `chroma`; return a new tensor."""
    return d * chroma - d.mean(dim=1, keepdim=True) * (chroma - 1)
