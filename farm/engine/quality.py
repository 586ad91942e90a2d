"""Figures on a finished picture: how much structure was kept, how much style was reached."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor

from farm.engine.gradient import Objective, moments
from farm.engine.optimise import Picture
from farm.engine.pyramid import Level, resize, resize_style, to_tensor
from farm.engine.ready import Engine
from farm.plan import Plan
from farm.recipe import Recipe

SSIM_PIXELS = 2048  # longest side; larger pictures are compared at the size a screen shows them in


@dataclass(frozen=True)
class Quality:
    """ssim: of the picture against the photograph (Wang et al. 2004, doi 10.1109/TIP.2003.819861),
    -1..1, 1 the same, both at most 2048 px. gram_cosine: cosine between the Gram matrices of picture
    and paintings, mean over the style layers, 0..1; features are non-negative, so it is high for any
    two pictures.
    gram_cosine_centred: the same of covariances, -1..1, which tells pictures apart. content_loss,
    style_loss, tv_loss: the unweighted terms of the objective at the picture.
    """

    ssim: float
    gram_cosine: float
    gram_cosine_centred: float
    content_loss: float
    style_loss: float
    tv_loss: float

    def as_dict(self) -> dict[str, float]:
        """Rounded to what the figures can bear."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


@torch.no_grad()
def measure(
    picture: Picture, content: Picture, styles: list[Picture], recipe: Recipe, engine: Engine
) -> Quality:
    """Of a result (H, W, 3) against its photograph and paintings, all float32 sRGB in [0, 1]."""
    # Imported here: it takes longer to load than torch itself, and the first iteration need not wait.
    from torchmetrics.functional.image import structural_similarity_index_measure

    height, width = picture.shape[:2]
    level = Level(height, width, 1)
    result = to_tensor(picture, engine.device)
    photograph = to_tensor(content, engine.device)
    paintings = [to_tensor(style, engine.device) for style in styles]
    plan = engine.plan(recipe, height, width)
    losses = Objective(engine.vgg, recipe, photograph, paintings, level, plan).losses(result)
    shown = min(1.0, SSIM_PIXELS / max(height, width))
    ours, theirs = (resize(x, round(height * shown), round(width * shown)) for x in (result, photograph))
    ssim = cast(Tensor, structural_similarity_index_measure(ours, theirs, data_range=1.0))
    raw, centred = _cosines(result, paintings, recipe, engine, level, plan)
    return Quality(float(ssim), raw, centred, losses.content, losses.style, losses.tv)


def _cosines(
    result: Tensor, paintings: list[Tensor], recipe: Recipe, engine: Engine, level: Level, plan: Plan
) -> tuple[float, float]:
    layers = frozenset(layer for layer, weight in recipe.style_layers.items() if weight)
    reached = moments(engine.vgg, result, layers, plan)
    raw = centred = 0.0
    for painting, weight in zip(paintings, recipe.blend_of(len(paintings)), strict=True):
        scaled = resize_style(painting, level, recipe.style_scale)
        for layer, theirs in moments(engine.vgg, scaled, layers, plan).items():
            ours = reached[layer]
            raw += weight / len(layers) * _cosine(ours.gram, theirs.gram)
            centred += weight / len(layers) * _cosine(ours.covariance, theirs.covariance)
    return raw, centred


def _cosine(A: Tensor, B: Tensor) -> float:
    return float((A * B).sum() / (A.norm() * B.norm()).clamp(min=1e-30))
