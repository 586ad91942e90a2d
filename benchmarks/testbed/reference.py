"""The objective in the plainest way: one pass over the whole picture, torch's own autograd.

Shares with the engine the resizing of pictures and the distance between moments, which have tests of
their own; none of the convolutions, tiles, tapes and sums.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.maps import LevelMaps
from farm.engine.pyramid import Level, resize, resize_style
from farm.engine.regions import Masked
from farm.engine.roots import cut_factor
from farm.engine.statistics import Moments
from farm.recipe import Recipe
from farm.recipe.networks import list_layer_names


def features(
    name: str, tensors: Mapping[str, Tensor], picture: Tensor, wanted: Collection[str]
) -> dict[str, Tensor]:
    """(1, C, h, w) for each wanted layer."""
    found, x = {}, picture.contiguous(memory_format=torch.channels_last)
    for layer in list_layer_names(name):
        weight, bias = (tensors[f"conv{layer[4:]}.{kind}"].to(x) for kind in ("weight", "bias"))
        if layer.endswith("_1") and layer != "relu1_1":
            x = F.max_pool2d(x, (min(2, x.shape[2]), min(2, x.shape[3])))
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias))
        if layer in wanted:
            found[layer] = x
        if len(found) == len(wanted):
            break
    return found


def moments(x: Tensor, weights: Tensor | None = None) -> Moments:
    """Return moments of features (1, C, h, w), of positions with weights (h, w); None: 1."""
    flat = x[0].flatten(1)
    w = flat.new_ones(flat.shape[1]) if weights is None else weights.flatten().to(flat)
    return Moments(float(w.sum()), (flat @ w).double(), ((flat * w) @ flat.T).double())


def style_distance(kind: str, found: Moments, target: Moments) -> Tensor:
    """Return the distance of moments, `gram`, `gram+mean` or `wasserstein`, to be differentiated by
    torch."""
    if kind.startswith("gram"):
        gram = (found.gram - target.gram).square().sum() / target.gram.square().sum()
        mean = (found.mean - target.mean).square().sum() / target.mean.square().sum()
        return gram if kind == "gram" else (gram + mean) / 2
    L = cut_factor(target.covariance)
    S, T = found.covariance, target.covariance
    cross: Tensor = _TraceOfRoot.apply(L.T @ S @ L)
    apart = (found.mean - target.mean).square().sum() + S.trace() + T.trace() - 2 * cross
    return apart / target.gram.trace()


class _TraceOfRoot(torch.autograd.Function):
    """tr M^1/2 of a symmetric positive semi-definite M, with gradient M^-1/2 / 2, by one eigh.

    The differentiable eigh of torch divides by differences of eigenvalues.
    """

    @staticmethod
    def forward(ctx: Any, M: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh((M + M.T) / 2)
        kept = values > 1e-10 * values[-1].clamp(min=1e-300)  # below it, rounding
        inverse = torch.where(kept, values.clamp(min=1e-300).rsqrt(), 0)
        ctx.save_for_backward(vectors, inverse)
        return torch.where(kept, values.clamp(min=0).sqrt(), 0).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        vectors: Tensor
        vectors, inverse = ctx.saved_tensors
        return gradients[0] / 2 * (vectors * inverse) @ vectors.T


class Reference:
    """Total loss and gradient at a picture, for fixed targets."""

    def __init__(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        recipe: Recipe,
        content: Tensor,
        styles: list[Tensor],
        level: Level,
    ) -> None:
        self.name, self.tensors, self.recipe = name, tensors, recipe
        self.content, self.style = _shares(recipe.content_layers), _shares(recipe.style_layers)
        with torch.no_grad():
            photograph = resize(content, level.height, level.width).clamp(0, 1)
            self.photograph = photograph
            self.wanted = features(name, tensors, photograph, self.content)
            self.paintings: list[dict[str, Moments]] = []
            self.targets: dict[str, Moments] = {}
            shares, scales = recipe.normalise_blend(len(styles)), recipe.list_style_scales(len(styles))
            for style, weight, scale in zip(styles, shares, scales, strict=True):
                painting = resize_style(style, level, scale)
                found = features(name, tensors, painting, self.style)
                self.paintings.append({layer: moments(x) for layer, x in found.items()})
                for layer, whole in self.paintings[-1].items():
                    part = whole.scale_to(weight)
                    old = self.targets.get(layer)
                    self.targets[layer] = part if old is None else old + part

    def __call__(self, picture: Tensor) -> tuple[float, Tensor]:
        """At a picture (1, 3, H, W)."""
        x = picture.clone().requires_grad_()
        found = features(self.name, self.tensors, x, {*self.content, *self.style})
        r = self.recipe
        total = torch.zeros((), dtype=torch.float64, device=picture.device)
        for layer, share in self.content.items():
            apart = (found[layer] - self.wanted[layer]).square().sum()
            total = total + r.content_weight * share * apart / self.wanted[layer].square().sum()
        for layer, share in self.style.items():
            loss = style_distance(r.style_loss, moments(found[layer]), self.targets[layer])
            total = total + r.style_weight * share * loss
        across, down = (x[..., 1:] - x[..., :-1]), (x[..., 1:, :] - x[..., :-1, :])
        for difference in (across, down):
            if difference.numel():
                grey = difference.mean(dim=1, keepdim=True).expand_as(difference)
                squares = grey.square() + r.chroma_variation * (difference - grey).square()
                total = total + r.tv_weight * squares.mean()
        (gradient,) = torch.autograd.grad(total, x)
        return total.item(), gradient


class GuidedReference(Reference):
    """The same with masks, with what stays of the photograph and with what of it is transparent.

    Shares with the engine which maps there are, and how they are resized, averaged and eroded.
    """

    def __init__(self, *args: Any, maps: LevelMaps, regions: Masked) -> None:
        super().__init__(*args)
        self.maps, self.regions = maps, regions

    def __call__(self, picture: Tensor) -> tuple[float, Tensor]:
        """At a picture (1, 3, H, W)."""
        x = picture.clone().requires_grad_()
        stays = torch.zeros(()) if self.maps.stays is None else self.maps.stays
        laid = x + stays.to(x) / 255 * (self.photograph - x)
        found = features(self.name, self.tensors, laid, {*self.content, *self.style})
        r = self.recipe
        total = torch.zeros((), dtype=torch.float64, device=picture.device)
        for layer, share in self.content.items():
            found_weights = self.maps.compute_content_weights(int(layer[4]))
            weights, opaque = (torch.ones(()) if each is None else each for each in found_weights)
            apart = ((found[layer] - self.wanted[layer]).square() * weights.to(x)).sum()
            energy = (self.wanted[layer].square() * opaque.to(x)).sum()
            total = total + r.content_weight * share * apart / energy
        for name, target in self.regions.targets.items():
            weights = self.regions.maps[name].to(x) / 255
            theirs = self.targets if target.paintings is None else self.paintings[target.paintings[0]]
            here = moments(found[target.layer], weights)
            loss = style_distance(r.style_loss, here, theirs[target.layer])
            total = total + r.style_weight * self.style[target.layer] * target.share * loss
        opaque = torch.ones(x.shape[2:]) if self.maps.opaque is None else self.maps.opaque.to(x) / 255
        for dim in (2, 3):
            d, near = laid.diff(dim=dim), opaque.to(x)
            pairs = near.narrow(dim - 2, 1, d.shape[dim]) * near.narrow(dim - 2, 0, d.shape[dim])
            grey = d.mean(dim=1, keepdim=True).expand_as(d)
            squares = grey.square() + r.chroma_variation * (d - grey).square()
            total = total + r.tv_weight * (squares.mean(dim=1) * pairs).sum() / pairs.sum()
        (gradient,) = torch.autograd.grad(total, x)
        return total.item(), gradient


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    whole = sum(weights.values())
    return {layer: weight / whole for layer, weight in weights.items()}
