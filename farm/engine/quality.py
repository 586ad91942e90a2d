"""Figures on a finished picture: how much structure was kept, how much style was reached."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from types import ModuleType
from typing import cast

import torch
from torch import Tensor

from farm.engine import lpips
from farm.engine.device import trim
from farm.engine.directions import direct
from farm.engine.feature_cache import FeatureCache
from farm.engine.gradient import Objective
from farm.engine.guides import NO_GUIDES, Guides, Source
from farm.engine.loaded import Engine
from farm.engine.maps import LevelMaps, share_among
from farm.engine.optimise import HOST, Picture
from farm.engine.pyramid import Level, measure_sizes, resize, to_tensor
from farm.engine.statistics import Moments
from farm.recipe import Recipe

SSIM_PIXELS = 2048  # longest side; larger pictures are compared at the size a screen shows them in


@dataclass(frozen=True)
class Quality:
    """The figures of one picture."""

    # Of the picture against the photograph (Wang et al. 2004, doi 10.1109/TIP.2003.819861), -1..1, 1 the
    # same, both at most 2048 px.
    ssim: float
    # Cosine between the Gram matrices of picture and paintings, mean over the style layers, 0..1;
    # features are non-negative, so it is high for any two pictures.
    gram_cosine: float
    # The same of covariances, -1..1, which distinguishes pictures.
    gram_cosine_centred: float
    # The unweighted terms of the objective at the picture.
    content_loss: float
    style_loss: float
    tv_loss: float
    # LPIPS of the picture against the photograph, both at most 256 px, over the network that painted:
    # not to be compared with papers, nor with each other; 0 the same. None: another network painted.
    lpips_vgg16: float | None = None
    lpips_vgg16_bsds: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Return the figures that there are by name, rounded to their accuracy."""
        return {name: round(value, 6) for name, value in asdict(self).items() if value is not None}


def load_metrics() -> ModuleType:
    """Load the library that compares pictures."""
    return import_module("torchmetrics.functional.image")


def load_metrics_meanwhile() -> None:
    """Begin to load the library that compares pictures: it takes longer than torch itself, and neither
    the first iteration nor the finished picture need wait for it."""
    threading.Thread(target=load_metrics, daemon=True).start()


@torch.no_grad()
def measure(
    picture: Picture,
    content: Source,
    styles: Sequence[Source],
    recipe: Recipe,
    engine: Engine,
    cache: FeatureCache | None = None,
    guides: Guides = NO_GUIDES,
) -> Quality:
    """Measure a result (H, W, 3) against its photograph and paintings, these and guides as for
    `stylize`.

    cache: of the same photograph, paintings and guides.
    """
    trim(engine.device)  # of what the rendering held
    height, width = picture.shape[:2]
    level = Level(height, width, 1)
    result = to_tensor(picture, engine.device)
    photograph, *paintings = (to_tensor(each, HOST) for each in (content, *styles))
    plan = engine.choose_plan(recipe, height, width, measure_sizes(photograph, paintings, guides))
    recipe, paintings, bins = direct(recipe, photograph, paintings)
    shares = recipe.normalise_blend(len(paintings))
    maps = LevelMaps.from_guides(guides, level, shares, bins)
    objective = Objective(engine.vgg, recipe, photograph, paintings, level, plan, cache, maps=maps)
    losses, reached = objective.measure(result)
    shown = min(1.0, SSIM_PIXELS / max(height, width))
    ours, theirs = (
        resize(x, round(height * shown), round(width * shown)).to(engine.device)
        for x in (result, photograph)
    )
    ssim = cast(Tensor, load_metrics().structural_similarity_index_measure(ours, theirs, data_range=1.0))
    raw, centred = _compare_moments(reached, objective, shares)
    seen = lpips.compute(ours, theirs, engine.vgg, cache)
    named = {} if seen is None else {f"lpips_{engine.vgg.network.replace('-', '_')}": seen}
    return Quality(float(ssim), raw, centred, losses.content, losses.style, losses.tv, **named)


def _compare_moments(
    reached: dict[str, Moments], objective: Objective, blend: Sequence[float]
) -> tuple[float, float]:
    """Return the cosines of Gram matrices and of covariances: mean over layers, regions by share,
    paintings by weight."""
    raw = centred = whole = 0.0
    for name, ours in reached.items():
        target = objective.targets[name]
        numbers = range(len(blend)) if target.paintings is None else target.paintings
        for number, weight in zip(numbers, share_among(blend, numbers), strict=True):
            theirs = objective.paintings[number][target.layer]
            weight *= target.share
            raw += weight * _compute_cosine(ours.gram, theirs.gram)
            centred += weight * _compute_cosine(ours.covariance, theirs.covariance)
            whole += weight
    return (raw / whole, centred / whole) if whole else (0.0, 0.0)


def _compute_cosine(A: Tensor, B: Tensor) -> float:
    return float((A * B).sum() / (A.norm() * B.norm()).clamp(min=1e-30))
