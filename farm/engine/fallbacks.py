"""Gradients with fallbacks: smaller plans, lower loss scales, float32 at last."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from farm.engine import device as devices
from farm.engine import precision
from farm.engine.directions import Directed, direct
from farm.engine.feature_cache import FeatureCache
from farm.engine.gradient import Objective
from farm.engine.graph import Recorder
from farm.engine.guides import NO_GUIDES, Guides, Hold
from farm.engine.hold import HoldLoss, resize_hold
from farm.engine.kept import Kept
from farm.engine.loaded import Engine
from farm.engine.losses import Losses
from farm.engine.maps import LevelMaps, quantise
from farm.engine.passes import OnTile
from farm.engine.precision import LossScale
from farm.engine.pyramid import Level, measure_sizes, resize_photograph
from farm.errors import RenderFailed
from farm.recipe import Recipe
from farm.recipe.memory_choice import choose
from farm.recipe.memory_plan import Plan

# Takes a picture and a loss scale; returns losses, and the gradient times the scale.
ComputeGradient = Callable[[Tensor, float], tuple[Losses, Tensor]]


class NotFinite(RenderFailed):
    """The losses are no longer finite. Try precision float32, or smaller weights."""


def compute_finite_gradient(
    objective: ComputeGradient, image: Tensor, scale: LossScale
) -> tuple[Losses, Tensor]:
    """Compute losses and gradient at `image`; lower a float16 loss scale until the gradient is finite.

    Raises:
        NotFinite: it stays infinite or not a number; or the losses are not finite, which come before any
            scale, so that none would help.
    """
    while True:
        used = scale.value
        try:
            losses, gradient = objective(image, scale.value)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # eigh of a NaN
            raise NotFinite from error
        if not math.isfinite(losses.total):
            raise NotFinite
        scale.update(losses.finite)
        if losses.finite:
            return losses, gradient.div_(used) if used != 1 else gradient
        if scale.exhausted:
            raise NotFinite


class Gradients:
    """Gradients of one level after another, with every fallback there is.

    Chooses each level's plan; a smaller one when memory runs out; float32 when half precision has
    no finite loss left.

    Args:
        photograph: (1, 3, H, W) on the CPU, floats in [0, 1] or bytes. paintings: the same, one each.
        budget: bytes that a rendering may use. tile: side of the first plans' tiles, px; None: one tile.
        on_tile: called before each tile; an exception from it leaves all as it was.
        guides: what else steers the picture.
    """

    # Called when a level has got a plan, before anything is computed by it.
    on_plan: Callable[[], None]

    def __init__(
        self,
        engine: Engine,
        recipe: Recipe,
        photograph: Tensor,
        paintings: list[Tensor],
        budget: int,
        tile: int | None,
        cache: FeatureCache | None = None,
        on_tile: OnTile = lambda: None,
        guides: Guides = NO_GUIDES,
    ) -> None:
        self.engine, self.recipe, self._cache, self._on_tile = engine, recipe, cache, on_tile
        self.photograph, self.paintings = photograph, paintings
        self.guides = guides
        self._sizes = measure_sizes(photograph, paintings, guides)
        self.budget, self.tile, self.lowered = budget, tile, 0
        self.scale = LossScale(engine.number_format)
        self.on_plan = lambda: None
        self.plan: Plan
        self._objective: Recorder | None = None
        self._kept: Kept | None = None
        self._directed: Directed | None = None

    def start_level(self, level: Level) -> None:
        """Choose a plan for a level.

        Raises:
            DoesNotFit: none fits.
        """
        self._level, self._objective, self._kept = level, None, None
        self.scale.follow(level.pixels)
        work, size = self.engine.work(self.recipe, self._sizes), (level.height, level.width)
        self.plan = choose(work, *size, self.budget, self.tile, self.lowered)
        self.on_plan()

    def compute(self, image: Tensor) -> tuple[Losses, Tensor]:
        """Compute losses and gradient at an image (1, 3, H, W) of this level.

        Raises:
            OutOfMemory: under the smallest plan. RenderFailed: not finite, for good.
        """
        while True:
            try:
                return compute_finite_gradient(self._get_objective(), image, self.scale)
            except (MemoryError, RuntimeError) as error:
                if not devices.is_out_of_memory(error):
                    raise
            except NotFinite:
                if self.engine.number_format is precision.FLOAT32:
                    raise
                self.engine = self.engine.to_float32()
                self.scale = LossScale(self.engine.number_format)
                self.start_level(self._level)
                continue
            self._shrink()

    def lay_over(self, picture: Tensor) -> Tensor:
        """Return a picture of this level, on whatever device, with the photograph where that stays; once
        its gradient was computed."""
        return picture if self._kept is None else self._kept.lay_over(picture)

    def _get_objective(self) -> Recorder:
        if self._objective is None:
            if self._directed is None:
                self._directed = direct(self.recipe, self.photograph, self.paintings)
            recipe, paintings, bins = self._directed
            shares = recipe.normalise_blend(len(paintings))
            maps = LevelMaps.from_guides(self.guides, self._level, shares, bins)
            hold = self.guides.hold and resize_hold(self.guides.hold, self._level)
            self._kept = self._make_kept(maps, hold)
            objective = Objective(
                self.engine.vgg,
                recipe,
                self.photograph,
                paintings,
                self._level,
                self.plan,
                self._cache,
                self._on_tile,
                maps,
                self._kept,
                None if hold is None else HoldLoss(hold, self.engine.device),
            )
            self._objective = Recorder(objective)
        return self._objective

    def _make_kept(self, maps: LevelMaps | None, hold: Hold | None) -> Kept | None:
        """Lay what stays of the photograph over what stays of the frames that a frame is held to."""
        device, kept = self.engine.device, None
        if hold is not None and hold.stays is not None:
            kept = Kept(hold.picture.to(device), quantise(hold.stays[0, 0]))
        if maps is not None and (stays := maps.stays) is not None:
            photograph = resize_photograph(self.photograph, self._level)
            kept = Kept(photograph.to(device), stays, kept)
        return kept

    def _shrink(self) -> None:
        """Change to the next smaller plan, for this level and all after it.

        Raises:
            OutOfMemory: there is none.
        """
        self._objective = self._kept = None
        devices.release(self.engine.device)
        self.lowered += 1
        self.start_level(self._level)
