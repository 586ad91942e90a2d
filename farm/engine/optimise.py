"""The course of a rendering: a picture that grows level by level until it has the paintings' statistics.

Gatys et al. 2016 (arXiv 1508.06576), coarse to fine: each level starts from the one before it. The
gradient is `gradient.py`'s, mended on the way by `fallbacks.py`, and the step `optimisers.py`'s; here
they are brought together, watched, and put down in checkpoints.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.engine import checkpoint, precision
from farm.engine import device as devices
from farm.engine.checkpoint import Checkpoint
from farm.engine.colours import GRID, mean_colours
from farm.engine.fallbacks import Slopes
from farm.engine.feature_cache import Memory
from farm.engine.loaded import Engine
from farm.engine.losses import Losses
from farm.engine.optimisers import OPTIMISERS, Optimiser
from farm.engine.pyramid import Level, levels, resize, to_tensor
from farm.errors import InvalidInput, Problem
from farm.recipe import Recipe
from farm.recipe.levels import pixel_iterations
from farm.recipe.memory_plan import Plan

Picture = NDArray[np.float32]  # (H, W, 3) RGB in [0, 1]


@dataclass(frozen=True)
class Step:
    """What one iteration did.

    level, iteration: counted from 1. levels, iterations: how many there are, of iterations in this
    level. ends_level: no iteration of this level follows. done, total: iterations over all levels.
    progress: share of the work, 0..1. height, width: of this level, px. seconds: since the start,
    over all runs. peak_memory_bytes: in this level. plan: how its gradient was computed. picture,
    checkpoint: make the picture, or all that is needed to go on from here, on demand; before the
    next step.
    """

    level: int
    levels: int
    iteration: int
    iterations: int
    ends_level: bool
    done: int
    total: int
    progress: float
    height: int
    width: int
    losses: Losses
    seconds: float
    peak_memory_bytes: int
    plan: Plan
    picture: Callable[[], Picture]
    checkpoint: Callable[[], Checkpoint]


class Plateau:
    """Whether a level still gets anywhere: its loss smoothed, and how often it hardly fell.

    A level is left when the smoothed loss has fallen by less than a share `tolerance` of itself in
    `PATIENCE` iterations in a row.
    """

    SMOOTHING = 0.8
    PATIENCE = 5  # iterations

    def __init__(self, tolerance: float, memory: list[float] | None = None) -> None:
        self._tolerance = tolerance
        self.memory = memory or []  # the smoothed loss and the count

    def saw(self, total: float) -> None:
        """After each iteration."""
        if not self.memory:
            self.memory = [total, 0.0]
            return
        before, flat = self.memory
        now = self.SMOOTHING * before + (1 - self.SMOOTHING) * total
        self.memory = [now, flat + 1 if before - now < self._tolerance * abs(now) else 0.0]

    @property
    def reached(self) -> bool:
        """Whether to leave the level."""
        return self._tolerance > 0 and len(self.memory) == 2 and self.memory[1] >= self.PATIENCE


def stylize(
    content: Picture,
    styles: list[Picture],
    recipe: Recipe,
    engine: Engine,
    *,
    tile: int | Literal["auto"] | None = "auto",
    resume: Checkpoint | None = None,
    memory: Memory | None = None,
) -> Iterator[Step]:
    """Render `content` in the manner of `styles`; yields a `Step` after each iteration.

    The last step's `picture()` is the result. Leaving the loop is cancellation. On a CPU the same
    arguments give the same bits, with a pause at any checkpoint or without.

    Args:
        content, styles: (H, W, 3) float32 sRGB in [0, 1]; any sizes.
        tile: side of the gradient's tiles, px; None: the whole picture at once; auto: what suits the
            device. resume: of the same recipe and pictures; the run goes on after it, with its
            tile; used up. memory: of the same pictures.

    Raises:
        InvalidInput: the recipe does not go with these pictures, this network or this checkpoint.
        DoesNotFit: before the first iteration, if the largest level needs more memory than there is.
        RenderFailed: a loss is not finite and no remedy is left.
    """
    course = levels(recipe, *content.shape[:2])
    if recipe.optimizer == "lbfgs" and engine.form is precision.FLOAT16:
        message = "lbfgs compares gradients, which float16's loss scale disturbs; use adam or float32"
        raise InvalidInput(Problem("optimizer", message))
    memory = memory or Memory()

    def inputs() -> str:
        return memory.always("inputs", lambda: checkpoint.digest([content, *styles]))

    side = engine.tile if tile == "auto" else tile
    budget = engine.budget_bytes
    if resume is not None:
        resume.goes_with(engine.settled(recipe), inputs())
        side, budget = resume.facts.tile, min(budget, resume.facts.budget_bytes)
    photograph = to_tensor(content, engine.device)
    paintings = [to_tensor(style, engine.device) for style in styles]
    slopes = Slopes(engine, recipe, photograph, paintings, budget, side, memory)
    slopes.enter(course[-1])  # refuses what cannot fit
    rendering = Rendering(course, slopes, inputs)
    if resume is not None:
        rendering.take_up(resume)
    yield from rendering.run()


class Rendering:
    """One picture on its way: which level and iteration it is at, and what has to be put down.

    course: the levels. slopes: gradients in them; it has entered the last level, so its plan tells where
    the optimiser's state has to lie. inputs: digest of the pictures, found when it is wanted.
    """

    def __init__(self, course: list[Level], slopes: Slopes, inputs: Callable[[], str]) -> None:
        self._course, self._slopes, self._inputs = course, slopes, inputs
        self._recipe = slopes.engine.settled(slopes.recipe)
        image = initial(self._recipe, slopes.photograph, course[0])
        make = OPTIMISERS[self._recipe.optimizer]
        self._optimiser: Optimiser = make(image.cpu() if slopes.plan.offload else image, course[0])
        self._plateau = Plateau(self._recipe.tolerance)
        self._level, self._iteration = 1, 0  # in which, and how many of its iterations are done
        self._earlier = 0.0  # seconds of runs before this one
        self._began = time.perf_counter()

    def take_up(self, saved: Checkpoint) -> None:
        """Go on after a checkpoint, whose tensors become the optimiser's."""
        facts, mine = saved.facts, self._optimiser.image
        self._level, self._iteration, self._earlier = facts.level, facts.iteration, facts.seconds
        tensors = {name: tensor.to(mine.device) for name, tensor in saved.tensors.items()}
        saved.tensors.clear()  # or the caller would hold them to the end
        fits = facts.level <= len(self._course) and facts.iteration <= self._here.iterations
        shapes = {tensor.shape for tensor in tensors.values()}
        if not fits or shapes != {(1, 3, self._here.height, self._here.width)}:
            raise checkpoint.unusable("does not agree with itself; it was not written by this farm")
        try:
            self._optimiser = self._optimiser.restore(tensors, facts.scalars)
        except KeyError as error:
            raise checkpoint.unusable(f"lacks {error}; it was not written by this farm") from error
        if facts.colours is not None:
            kept = torch.tensor(facts.colours, dtype=mine.dtype, device=mine.device)
            self._optimiser.kept = kept.view(1, 3, GRID, GRID)
        self._plateau = Plateau(self._recipe.tolerance, list(facts.plateau))
        self._slopes.scale.value, self._slopes.scale.good = facts.scale, facts.good
        self._slopes.lowered = facts.lowered

    def run(self) -> Iterator[Step]:
        """To the end: from level to level, and in each from iteration to iteration."""
        while True:
            self._slopes.enter(self._here)
            devices.reset_peak_memory(self._slopes.engine.device)
            while not self._level_ended:
                yield self._step()
            if self._level == len(self._course):
                return
            if self._level == len(self._recipe.draft_sizes):
                self._optimiser.kept = mean_colours(self._optimiser.picture())
            self._level, self._iteration = self._level + 1, 0
            self._plateau = Plateau(self._recipe.tolerance)
            self._optimiser.grow(self._here)

    @property
    def _here(self) -> Level:
        return self._course[self._level - 1]

    @property
    def _level_ended(self) -> bool:
        return self._plateau.reached or self._iteration == self._here.iterations

    def _step(self) -> Step:
        """One iteration."""
        device, home = self._slopes.engine.device, self._optimiser.image.device
        losses, slope = self._slopes.at(self._optimiser.image.to(device))
        self._optimiser.step(slope.to(home), losses.total)
        del slope
        self._plateau.saw(losses.total)
        self._iteration += 1
        level, before = self._here, self._course[: self._level - 1]
        reached = level.iterations if self._level_ended else self._iteration
        worked = pixel_iterations(before) + reached * level.pixels
        return Step(
            level=self._level,
            levels=len(self._course),
            iteration=self._iteration,
            iterations=level.iterations,
            ends_level=self._level_ended,
            done=sum(each.iterations for each in before) + reached,
            total=sum(each.iterations for each in self._course),
            progress=worked / pixel_iterations(self._course),
            height=level.height,
            width=level.width,
            losses=losses,
            seconds=self._seconds,
            peak_memory_bytes=devices.peak_memory_bytes(device),
            plan=self._slopes.plan,
            picture=lambda: to_numpy(self._optimiser.picture()),
            checkpoint=self._put_down,
        )

    @property
    def _seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._began

    def _put_down(self) -> Checkpoint:
        kept = self._optimiser.kept
        facts = checkpoint.Facts(
            recipe=json.loads(self._recipe.model_dump_json()),
            inputs=self._inputs(),
            level=self._level,
            iteration=self._iteration,
            seconds=self._seconds,
            budget_bytes=self._slopes.budget,
            tile=self._slopes.tile,
            lowered=self._slopes.lowered,
            scalars=self._optimiser.scalars,
            scale=self._slopes.scale.value,
            good=self._slopes.scale.good,
            plateau=self._plateau.memory,
            colours=None if kept is None else kept.flatten().tolist(),
        )
        return Checkpoint(facts, self._optimiser.tensors())


def initial(recipe: Recipe, photograph: Tensor, level: Level) -> Tensor:
    """What the first level starts from, (1, 3, H, W) in [0, 1]."""
    if recipe.init == "content":
        return resize(photograph, level.height, level.width).clamp(0, 1)
    shape = (1, 3, level.height, level.width)
    if recipe.init == "gray":
        return torch.full(shape, 0.5, device=photograph.device)
    generator = torch.Generator().manual_seed(recipe.seed)  # on the CPU: the same noise anywhere
    return torch.rand(shape, generator=generator).to(photograph.device)


def to_numpy(picture: Tensor) -> Picture:
    """(1, 3, H, W) on any device -> (H, W, 3) float32 in [0, 1]."""
    return picture[0].permute(1, 2, 0).clamp(0, 1).float().cpu().contiguous().numpy()


@dataclass(frozen=True)
class LevelDone:
    """What a level took, since this process began."""

    level: int
    levels: int
    width: int
    height: int
    iterations: int
    seconds: float
    peak_memory_bytes: int
    plan: str

    @classmethod
    def of(cls, step: Step, entered: float) -> LevelDone:
        """At a level's last step; entered: `Step.seconds` at its beginning."""
        return cls(
            level=step.level,
            levels=step.levels,
            width=step.width,
            height=step.height,
            iterations=step.iteration,
            seconds=round(step.seconds - entered, 2),
            peak_memory_bytes=step.peak_memory_bytes,
            plan=step.plan.describe(),
        )

    def __str__(self) -> str:
        size = f"{self.width} x {self.height}"
        took = f"{self.iterations} iterations, {self.seconds:.1f} s"
        peak = f"peak {self.peak_memory_bytes / 1e9:.2f} GB"
        return f"level {self.level}/{self.levels}, {size}: {took}, {peak}; {self.plan}"
