"""Gradients that come whatever happens: smaller plans, lower loss scales, float32 at last."""

from __future__ import annotations

import torch
from torch import Tensor

from farm.engine import device as devices
from farm.engine import precision
from farm.engine.feature_cache import Memory
from farm.engine.gradient import Objective
from farm.engine.loaded import Engine
from farm.engine.losses import Losses
from farm.engine.precision import LossScale
from farm.engine.pyramid import Level
from farm.errors import RenderFailed
from farm.recipe import Recipe
from farm.recipe.memory_plan import Plan, choose


class NotFinite(RenderFailed):
    """The losses are no longer finite. Try precision float32, or smaller weights."""


def finite_gradient(objective: Objective, image: Tensor, scale: LossScale) -> tuple[Losses, Tensor]:
    """Losses and gradient at `image`; lowers a float16 loss scale until they are finite.

    Raises:
        NotFinite: they stay infinite or not a number.
    """
    while True:
        try:
            losses, slope = objective(image, scale.value)
            slope /= scale.value
            finite = bool(torch.isfinite(slope).all())
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # what eigh makes of a NaN
            finite = False
        scale.update(finite)
        if finite:
            return losses, slope
        if scale.exhausted:
            raise NotFinite


class Slopes:
    """Gradients of one level after another, through whatever can be mended.

    Chooses each level's plan; a smaller one when memory runs out; float32 when half precision has
    no finite loss left.
    """

    def __init__(
        self,
        engine: Engine,
        recipe: Recipe,
        photograph: Tensor,
        paintings: list[Tensor],
        budget: int,
        tile: int | None,
        memory: Memory | None = None,
    ) -> None:
        self.engine, self.recipe, self._memory = engine, recipe, memory
        self.photograph, self.paintings = photograph, paintings
        self.budget, self.tile, self.lowered = budget, tile, 0
        self.scale = LossScale(engine.form)
        self.plan: Plan
        self._objective: Objective | None = None

    def enter(self, level: Level) -> None:
        """Chooses a plan for a level.

        Raises:
            DoesNotFit: none fits.
        """
        self._level, self._objective = level, None
        work, size = self.engine.work(self.recipe), (level.height, level.width)
        self.plan = choose(work, *size, self.budget, self.tile, self.lowered)

    def at(self, image: Tensor) -> tuple[Losses, Tensor]:
        """Losses and gradient at an image (1, 3, H, W) of this level.

        Raises:
            OutOfMemory: under the smallest plan. RenderFailed: not finite, for good.
        """
        while True:
            try:
                return finite_gradient(self._open(), image, self.scale)
            except (MemoryError, RuntimeError) as error:
                if not devices.is_out_of_memory(error):
                    raise
            except NotFinite:
                if self.engine.form is precision.FLOAT32:
                    raise
                self.engine = self.engine.in_float32()
                self.scale = LossScale(self.engine.form)
                self.enter(self._level)
                continue
            self._shrink()

    def _open(self) -> Objective:
        if self._objective is None:
            self._objective = Objective(
                self.engine.vgg,
                self.recipe,
                self.photograph,
                self.paintings,
                self._level,
                self.plan,
                self._memory,
            )
        return self._objective

    def _shrink(self) -> None:
        """To the next smaller plan, for this level and all after it.

        Raises:
            OutOfMemory: there is none.
        """
        self._objective = None
        devices.release(self.engine.device)
        self.lowered += 1
        self.enter(self._level)
