"""The loop of a rendering: a picture that grows level by level until it has the paintings' statistics.

Gatys et al. 2016 (arXiv 1508.06576), coarse to fine: each level starts from the one before it. The
gradient is `gradient.py`'s, with the fallbacks of `fallbacks.py`, and the step `optimisers.py`'s; here
they are brought together, measured, and saved in checkpoints.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.counts import format_count
from farm.engine import checkpoint, precision
from farm.engine import device as devices
from farm.engine.checkpoint import Checkpoint
from farm.engine.colours import GRID, average_colours
from farm.engine.fallbacks import Gradients
from farm.engine.feature_cache import FeatureCache
from farm.engine.finish import Finish
from farm.engine.guides import NO_GUIDES, Guides, Source
from farm.engine.hold import begin_held
from farm.engine.initial_picture import make_initial_picture
from farm.engine.loaded import Engine
from farm.engine.losses import Losses
from farm.engine.maps import LevelMaps
from farm.engine.optimisers import OPTIMISERS, Optimiser
from farm.engine.passes import OnTile
from farm.engine.pyramid import Level, compute_levels, resize, shrink, to_tensor
from farm.errors import InvalidInput, Problem
from farm.recipe import Recipe
from farm.recipe.levels import count_pixel_iterations
from farm.recipe.memory_plan import Plan
from farm.recipe.picture_sizes import Size, check_start

Picture = NDArray[np.float32]  # (H, W, 3) RGB in [0, 1]
HOST = torch.device("cpu")  # where photograph and paintings are held, and an offloaded state


@dataclass(frozen=True)
class Step:
    """One iteration, as it is reported to whoever renders."""

    # Counted from 1.
    level: int
    levels: int
    # In this level, counted from 1.
    iteration: int
    iterations: int
    # Whether no iteration of this level follows.
    ends_level: bool
    # Iterations over all levels.
    done: int
    total: int
    # Share of the work, 0..1.
    progress: float
    # Of this level, px.
    height: int
    width: int
    losses: Losses
    # Since the start, over all runs.
    seconds: float
    # In this level.
    peak_memory_bytes: int
    # The way its gradient was computed.
    plan: Plan
    # Makes the picture on demand; before the next step.
    picture: Callable[[], Picture]
    # Makes the picture, its sides shrunk on the device by a whole number to at least twice this longest
    # side, px, on demand; before the next step.
    preview: Callable[[int], Picture]
    # Makes a checkpoint from which another run resumes, on demand, before the next step; later steps
    # leave it as it is, unless it is lent.
    checkpoint: Callable[[], Checkpoint]


class Plateau:
    """Detector of a level's plateau: the smoothed loss, and the iterations in which it hardly fell.

    A level ends when the smoothed loss has fallen by less than a share `tolerance` of itself in
    `PATIENCE` iterations in a row.
    """

    SMOOTHING = 0.8
    PATIENCE = 5  # iterations

    def __init__(self, tolerance: float, state: list[float] | None = None) -> None:
        self._tolerance = tolerance
        self.state = state or []  # the smoothed loss and the count

    def update(self, total: float) -> None:
        """Add the total loss of an iteration."""
        if not self.state:
            self.state = [total, 0.0]
            return
        before, flat = self.state
        now = self.SMOOTHING * before + (1 - self.SMOOTHING) * total
        self.state = [now, flat + 1 if before - now < self._tolerance * abs(now) else 0.0]

    @property
    def reached(self) -> bool:
        """True when the level should end."""
        return self._tolerance > 0 and len(self.state) == 2 and self.state[1] >= self.PATIENCE


def stylize(
    content: Source,
    styles: Sequence[Source],
    recipe: Recipe,
    engine: Engine,
    *,
    guides: Guides = NO_GUIDES,
    size: Size | None = None,
    tile: int | Literal["auto"] | None = "auto",
    resume: Checkpoint | None = None,
    cache: FeatureCache | None = None,
    on_tile: OnTile = lambda: None,
) -> Iterator[Step]:
    """Render `content` in the style of `styles`; yield a `Step` after each iteration.

    The last step's `picture()` is the result. Leaving the loop is cancellation. On a CPU the same
    arguments give the same bits, with a pause at any checkpoint or without.

    Args:
        content, styles: (H, W, 3) sRGB, float32 in [0, 1] or bytes; any sizes.
        guides: what else steers the rendering.
        size: the photograph's height and width as it was sent, px, where `content` was made smaller.
        tile: side of the gradient's tiles, px; None: the whole picture at once; auto: what suits the
            device. resume: a checkpoint of the same recipe, pictures and guides; the run resumes after
            it, with its tile, and empties it. cache: of the same pictures and guides.
        on_tile: called before each tile, several times an iteration. An exception from it ends the run,
            and the last step still makes its checkpoint.

    Raises:
        InvalidInput: the recipe does not go with these pictures, this network or this checkpoint.
        DoesNotFit: before the first iteration, if the largest level needs more memory than there is.
        RenderFailed: a loss is not finite and no remedy is left.
    """
    sent = size or (content.shape[0], content.shape[1])
    guides.check(sent, len(styles))
    check_start(recipe, begins=guides.start is not None)
    schedule = compute_levels(recipe, *sent)
    start = None if guides.start is None else to_tensor(guides.start, HOST)
    if recipe.optimizer == "lbfgs" and engine.number_format is precision.FLOAT16:
        message = "lbfgs compares gradients, which float16's loss scale disturbs; use adam or float32"
        raise InvalidInput(Problem("optimizer", message))
    cache = cache or FeatureCache()

    def hash_inputs() -> str:
        return cache.get("inputs", lambda: checkpoint.hash_inputs([content, *styles], guides))

    side = engine.tile if tile == "auto" else tile
    budget = engine.budget_bytes
    if resume is not None:
        resume.check_matches(engine.resolve(recipe), hash_inputs())
        side, budget = resume.facts.tile, min(budget, resume.facts.budget_bytes)
    photograph, *paintings = (to_tensor(each, HOST) for each in (content, *styles))
    gradients = Gradients(engine, recipe, photograph, paintings, budget, side, cache, on_tile, guides)
    gradients.start_level(schedule[-1])  # refuses what cannot fit
    yield from Rendering(schedule, gradients, hash_inputs, resume, start).run()


class Rendering:
    """The state of one rendering: its level and iteration, and all that a checkpoint saves.

    Args:
        schedule: the levels.
        gradients: in these levels; the last one is started, so that its plan decides where the
            optimiser's state lies.
        hash_inputs: computes the digest of the pictures and guides, when a checkpoint needs it.
        resume: the state to resume after, which is emptied.
        start: what the first level starts from where the recipe's `init` is picture: (1, 3, H, W) on the
            CPU, floats in [0, 1] or bytes.

    Raises:
        InvalidInput: the checkpoint does not agree with itself.
    """

    def __init__(
        self,
        schedule: list[Level],
        gradients: Gradients,
        hash_inputs: Callable[[], str],
        resume: Checkpoint | None = None,
        start: Tensor | None = None,
    ) -> None:
        self._schedule, self._gradients, self._hash_inputs = schedule, gradients, hash_inputs
        self._recipe = gradients.engine.resolve(gradients.recipe)
        self._plateau = Plateau(self._recipe.tolerance)
        self._level, self._iteration = 1, 0  # counted from 1; iterations of it that are done
        self._finish = Finish(self._recipe, gradients.photograph, gradients.paintings)
        self._earlier = 0.0  # seconds of runs before this one
        self._scaled = True  # see `checkpoint.Facts`
        self._began = time.perf_counter()
        home = HOST if gradients.plan.offload else gradients.engine.device
        if resume is None:
            pictures = gradients.photograph, gradients.paintings
            shares = self._recipe.normalise_blend(len(gradients.paintings))
            maps = LevelMaps.from_guides(gradients.guides, schedule[0], shares)
            image = make_initial_picture(self._recipe, *pictures, schedule[0], start, maps)
            self._optimiser = self._make_optimiser(image.to(home))
            self._begin_held()
        else:
            self._restore(resume, home)
        if start is not None and self._recipe.begins_after_draft:
            self._optimiser.kept_colours = resize(start, *start.shape[-2:]).to(home)
        gradients.on_plan = self._offload

    def _make_optimiser(self, image: Tensor) -> Optimiser:
        return OPTIMISERS[self._recipe.optimizer](image, self._current_level)

    def _restore(self, saved: Checkpoint, home: torch.device) -> None:
        """Resume after a checkpoint, whose tensors become the optimiser's, on this device.

        Raises:
            InvalidInput: it does not agree with itself.
        """
        facts = saved.facts
        self._level, self._iteration, self._earlier = facts.level, facts.iteration, facts.seconds
        self._scaled = facts.scaled
        tensors = {name: tensor.to(home) for name, tensor in saved.tensors.items()}
        saved.tensors.clear()  # or the caller would hold them to the end
        fits = facts.level <= len(self._schedule) and facts.iteration <= self._current_level.iterations
        shapes = {tensor.shape for tensor in tensors.values()}
        if not fits or shapes != {(1, 3, self._current_level.height, self._current_level.width)}:
            raise checkpoint.unusable("does not agree with itself; it was not written by this farm")
        try:
            nothing = torch.empty(1, 3, 0, 0)  # all state is replaced
            self._optimiser = self._make_optimiser(nothing).restore(tensors, facts.scalars)
        except KeyError as error:
            raise checkpoint.unusable(f"lacks {error}; it was not written by this farm") from error
        if facts.colours is not None:
            kept = torch.tensor(facts.colours, dtype=torch.float32, device=home)
            self._optimiser.kept_colours = kept.view(1, 3, GRID, GRID)
        self._plateau = Plateau(self._recipe.tolerance, list(facts.plateau))
        self._gradients.scale.restore(facts.scale, facts.good, self._current_level.pixels)
        self._gradients.lowered = facts.lowered

    def run(self) -> Iterator[Step]:
        """Iterate to the end, level by level; yield a `Step` after each iteration."""
        device = self._gradients.engine.device
        self._gradients.start_level(self._current_level)
        while True:
            devices.release_cache(device)
            devices.reset_peak_memory(device)
            while not self._level_ended:
                yield self._step()
            if self._level == len(self._schedule):
                return
            if self._level == len(self._recipe.draft_sizes):
                self._optimiser.kept_colours = average_colours(self._optimiser.get_picture())
            self._level, self._iteration = self._level + 1, 0
            self._plateau = Plateau(self._recipe.tolerance)
            self._gradients.start_level(self._current_level)  # first: its plan may move the state away
            self._optimiser.grow(self._current_level)
            self._begin_held()

    def _begin_held(self) -> None:
        """Let pixels that are held begin this level as they are held: a coarse level has not their
        detail."""
        if (hold := self._gradients.guides.hold) is not None:
            self._optimiser.image = begin_held(self._optimiser.image, hold)

    def _offload(self) -> None:
        """Move the optimiser's state to the host where the current plan wants that. It stays there."""
        optimiser = self._optimiser
        if not self._gradients.plan.offload or optimiser.image.device == HOST:
            return
        tensors = {name: tensor.to(HOST) for name, tensor in optimiser.get_tensors().items()}
        self._optimiser = optimiser.restore(tensors, optimiser.scalars)
        if optimiser.kept_colours is not None:
            self._optimiser.kept_colours = optimiser.kept_colours.to(HOST)

    @property
    def _current_level(self) -> Level:
        return self._schedule[self._level - 1]

    @property
    def _level_ended(self) -> bool:
        return self._plateau.reached or self._iteration == self._current_level.iterations

    def _step(self) -> Step:
        """Run one iteration."""
        device = self._gradients.engine.device
        losses, gradient = self._gradients.compute(self._optimiser.image.to(device))
        self._optimiser.step(gradient.to(self._optimiser.image.device), losses.total)
        del gradient
        self._plateau.update(losses.total)
        self._iteration += 1
        level, before = self._current_level, self._schedule[: self._level - 1]
        reached = level.iterations if self._level_ended else self._iteration
        worked = count_pixel_iterations(before) + reached * level.pixels
        return Step(
            level=self._level,
            levels=len(self._schedule),
            iteration=self._iteration,
            iterations=level.iterations,
            ends_level=self._level_ended,
            done=sum(each.iterations for each in before) + reached,
            total=sum(each.iterations for each in self._schedule),
            progress=worked / count_pixel_iterations(self._schedule),
            height=level.height,
            width=level.width,
            losses=losses,
            seconds=self._seconds,
            peak_memory_bytes=devices.read_peak_memory(device),
            plan=self._gradients.plan,
            picture=lambda: to_numpy(self._get_picture()),
            preview=lambda longest: to_numpy(shrink(self._get_picture(), longest)),
            checkpoint=self._make_checkpoint,
        )

    def _get_picture(self) -> Tensor:
        """Return the picture of this level in its final colours, and in it what stays of the
        photograph."""
        return self._gradients.lay_over(self._finish.apply(self._optimiser.get_picture()))

    @property
    def _seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._began

    def _make_checkpoint(self) -> Checkpoint:
        kept, drafted = self._optimiser.kept_colours, self._recipe.begins_after_draft
        facts = checkpoint.Facts(
            recipe=json.loads(self._recipe.model_dump_json()),
            inputs=self._hash_inputs(),
            scaled=self._scaled,
            level=self._level,
            iteration=self._iteration,
            seconds=self._seconds,
            budget_bytes=self._gradients.budget,
            tile=self._gradients.tile,
            lowered=self._gradients.lowered,
            scalars=self._optimiser.scalars,
            scale=self._gradients.scale.value,
            good=self._gradients.scale.good,
            plateau=self._plateau.state,
            colours=None if kept is None or drafted else kept.flatten().tolist(),
        )
        return Checkpoint.from_state(facts, self._optimiser.get_tensors())


def to_numpy(picture: Tensor) -> Picture:
    """Convert (1, 3, H, W) on any device to (H, W, 3) float32 in [0, 1]."""
    return picture[0].permute(1, 2, 0).clamp(0, 1).float().cpu().contiguous().numpy()


@dataclass(frozen=True)
class LevelDone:
    """A finished level, for the log."""

    # Counted from 1.
    level: int
    levels: int
    # px.
    width: int
    height: int
    iterations: int
    # In this level and this process.
    seconds: float
    peak_memory_bytes: int
    # As `Plan.describe` puts it.
    plan: str

    @classmethod
    def from_step(cls, step: Step, entered: float) -> LevelDone:
        """Summarise a level from its last step; entered: `Step.seconds` at its beginning."""
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
        took = f"{format_count(self.iterations, 'iteration')}, {self.seconds:.1f} s"
        peak = f"peak {self.peak_memory_bytes / 1e9:.2f} GB"
        return f"level {self.level}/{self.levels}, {size}: {took}, {peak}; {self.plan}"
