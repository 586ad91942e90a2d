"""The objective in the plainest way: one pass over the whole picture, torch's own autograd.

Shares with the engine the resizing of pictures and the distance between moments, which have tests of
their own; none of the convolutions, tiles, tapes and sums.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.losses import style_loss
from farm.engine.pyramid import Level, resize, resize_style
from farm.engine.statistics import Moments
from farm.recipe import Recipe, layer_names


def features(
    name: str, tensors: Mapping[str, Tensor], picture: Tensor, wanted: Collection[str]
) -> dict[str, Tensor]:
    """(1, C, h, w) for each wanted layer."""
    found, x = {}, picture.contiguous(memory_format=torch.channels_last)
    for layer in layer_names(name):
        weight, bias = (tensors[f"conv{layer[4:]}.{kind}"].to(x) for kind in ("weight", "bias"))
        if layer == "relu1_1":
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)
        else:
            if layer.endswith("_1"):
                x = F.max_pool2d(x, (min(2, x.shape[2]), min(2, x.shape[3])))
            x = F.conv2d(x, weight, bias, padding=1)
        x = F.relu(x)
        if layer in wanted:
            found[layer] = x
        if len(found) == len(wanted):
            break
    return found


def moments(x: Tensor) -> Moments:
    """Of features (1, C, h, w)."""
    flat = x[0].flatten(1)
    return Moments(flat.shape[1], flat.sum(dim=1).double(), (flat @ flat.T).double())


def objective(
    name: str,
    tensors: Mapping[str, Tensor],
    recipe: Recipe,
    content: Tensor,
    styles: list[Tensor],
    level: Level,
    picture: Tensor,
) -> tuple[float, Tensor]:
    """Total loss at the picture, and its gradient."""
    shares = lambda weights: {k: v / sum(weights.values()) for k, v in weights.items()}  # noqa: E731
    in_content, in_style = shares(recipe.content_layers), shares(recipe.style_layers)
    with torch.no_grad():
        wanted = features(
            name, tensors, resize(content, level.height, level.width).clamp(0, 1), in_content
        )
        targets: dict[str, Moments] = {}
        for style, weight in zip(styles, recipe.blend_of(len(styles)), strict=True):
            painting = resize_style(style, level, recipe.style_scale)
            for layer, x in features(name, tensors, painting, in_style).items():
                part = moments(x).weighted(weight)
                targets[layer] = targets[layer] + part if layer in targets else part
    x = picture.clone().requires_grad_()
    found = features(name, tensors, x, {*in_content, *in_style})
    total = torch.zeros((), dtype=torch.float64)
    for layer, share in in_content.items():
        apart = (found[layer] - wanted[layer]).double().square().sum()
        total = total + recipe.content_weight * share * apart / wanted[layer].double().square().sum()
    for layer, share in in_style.items():
        loss = style_loss(recipe.style_loss, targets[layer])(moments(found[layer]))
        total = total + recipe.style_weight * share * loss
    across, down = (x[..., 1:] - x[..., :-1]), (x[..., 1:, :] - x[..., :-1, :])
    tv = sum(d.double().square().mean() for d in (across, down) if d.numel())
    total = total + recipe.tv_weight * tv
    (gradient,) = torch.autograd.grad(total, x)
    return total.item(), gradient
