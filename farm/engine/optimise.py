"""The optimiser: a picture that grows level by level until it has the paintings' statistics.

Gatys et al. 2016 (arXiv 1508.06576) with Adam (Kingma and Ba 2014, arXiv 1412.6980) for L-BFGS.
Differs from Gatys et al.: coarse to fine with Adam's moments carried to the next level; the picture
is clamped to [0, 1] after each step; the result is a bias-corrected running mean of the iterates,
which has less noise than the last of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farm.engine import device as devices
from farm.engine import gradient, precision, weights
from farm.engine.losses import Losses
from farm.engine.precision import LossScale
from farm.engine.pyramid import Level, levels, resize, to_tensor
from farm.engine.vgg import VGG
from farm.errors import DoesNotFit, RenderFailed
from farm.recipe import Recipe

Picture = NDArray[np.float32]  # (H, W, 3) RGB in [0, 1]

LEARNING_RATE = 0.02
BETA_1, BETA_2 = 0.9, 0.99
EPSILON = 1e-8
AVERAGED_SHARE = 0.25  # of a level's iterations: about as many of the last ones make its mean
LONGEST_AVERAGE = 100  # iterations
MEMORY_SHARE = 0.85  # of the device; the rest is the system's and the allocator's


@dataclass(frozen=True)
class Step:
    """What one iteration did.

    level, iteration: counted from 1. levels, iterations: how many there are, of iterations in this
    level. done, total: iterations over all levels. height, width: of this level, px. seconds: since
    the start. peak_memory_bytes: so far. picture: makes the picture as it stands, on demand.
    """

    level: int
    levels: int
    iteration: int
    iterations: int
    done: int
    total: int
    progress: float
    height: int
    width: int
    losses: Losses
    seconds: float
    peak_memory_bytes: int
    picture: Callable[[], Picture]


@dataclass(frozen=True)
class Engine:
    """A network on a device, ready for any number of pictures."""

    vgg: VGG
    device: torch.device
    form: precision.Format

    @classmethod
    def ready(
        cls,
        features: str,
        wanted: str,
        folder: Path,
        say: weights.Say,
        device: torch.device | None = None,
    ) -> Engine:
        """Weights resolved and loaded, device and number format chosen.

        Args:
            features: a network's name, or auto. wanted: auto, float32 or mixed.
            folder: the weights' cache. say: told which network was taken, and why.

        Raises:
            WeightsUnavailable, InvalidInput: see `weights.resolve` and `precision.choose`.
        """
        device = device or devices.choose()
        form = precision.choose(wanted, device)
        name = weights.resolve(features, folder, say)
        return cls(VGG(name, weights.load(name, folder), device, form.dtype), device, form)

    def settled(self, recipe: Recipe) -> Recipe:
        """The recipe with what `auto` chose here, as a result carries it."""
        precise = "float32" if self.form is precision.FLOAT32 else "mixed"
        return recipe.model_copy(update={"features": self.vgg.features, "precision": precise})


class State:
    """What the optimiser carries: the picture, Adam's moments and the running mean of iterates.

    All (1, 3, H, W) float32. steps: since the start, for the moments' bias. decay: of the running
    mean in this level. averaged: the weight it has gathered.
    """

    def __init__(self, image: Tensor, level: Level) -> None:
        self.image = image
        self.first = torch.zeros_like(image)
        self.second = torch.zeros_like(image)
        self.average = torch.zeros_like(image)
        self.averaged = 0.0
        self.decay = _decay(level)
        self.steps = 0

    def grow(self, level: Level) -> None:
        """To the next level: it starts from the mean of the iterates; the moments come along."""
        size = (level.height, level.width)
        self.image = resize(self.picture(), *size).clamp(0, 1)
        self.first = resize(self.first, *size)
        self.second = resize(self.second, *size).clamp(min=0)
        self.average, self.averaged = torch.zeros_like(self.image), 0.0
        self.decay = _decay(level)

    def step(self, gradient: Tensor) -> None:
        """One step of Adam, clamped, and averaged."""
        self.steps += 1
        self.first.lerp_(gradient, 1 - BETA_1)
        self.second.lerp_(gradient.square(), 1 - BETA_2)
        rate = LEARNING_RATE / (1 - BETA_1**self.steps)
        root = (self.second / (1 - BETA_2**self.steps)).sqrt_().add_(EPSILON)
        self.image.addcdiv_(self.first, root, value=-rate).clamp_(0, 1)
        self.average.lerp_(self.image, 1 - self.decay)
        self.averaged += (1 - self.decay) * (1 - self.averaged)

    def picture(self) -> Tensor:
        """(1, 3, H, W): the mean of this level's iterates; before the first one, the start."""
        return self.average / self.averaged if self.averaged else self.image


def _decay(level: Level) -> float:
    window = min(LONGEST_AVERAGE, AVERAGED_SHARE * level.iterations)
    return max(0.0, 1 - 1 / window)


def stylize(content: Picture, styles: list[Picture], recipe: Recipe, engine: Engine) -> Iterator[Step]:
    """Render `content` in the manner of `styles`; yields a `Step` after each iteration.

    The last step's `picture()` is the result. Leaving the loop is cancellation. On a CPU the same
    arguments give the same bits.

    Args:
        content, styles: (H, W, 3) float32 sRGB in [0, 1]; any sizes.

    Raises:
        InvalidInput: the recipe does not go with these pictures or this network.
        DoesNotFit: before the first iteration, if the largest level needs more memory than there is.
        RenderFailed: a loss is not finite and no remedy is left.
    """
    plan = levels(recipe, *content.shape[:2])
    _refuse_what_cannot_fit(plan[-1], engine)
    device = engine.device
    photograph = to_tensor(content, device)
    paintings = [to_tensor(style, device) for style in styles]
    state = State(initial(recipe, photograph, plan[0]), plan[0])
    scale = LossScale(engine.form)
    work = sum(level.iterations * level.height * level.width for level in plan)
    total = sum(level.iterations for level in plan)
    began, done, worked = time.perf_counter(), 0, 0
    for number, level in enumerate(plan, start=1):
        if number > 1:
            state.grow(level)
        objective = gradient.Objective(engine.vgg, recipe, photograph, paintings, level)
        for iteration in range(1, level.iterations + 1):
            losses, slope = finite_gradient(objective, state.image, scale)
            state.step(slope)
            done, worked = done + 1, worked + level.height * level.width
            yield Step(
                level=number,
                levels=len(plan),
                iteration=iteration,
                iterations=level.iterations,
                done=done,
                total=total,
                progress=worked / work,
                height=level.height,
                width=level.width,
                losses=losses,
                seconds=time.perf_counter() - began,
                peak_memory_bytes=devices.peak_memory_bytes(device),
                picture=lambda: to_numpy(state.picture()),
            )


def finite_gradient(
    objective: gradient.Objective, image: Tensor, scale: LossScale
) -> tuple[Losses, Tensor]:
    """Losses and gradient at `image`; lowers a float16 loss scale until they are finite.

    Raises:
        RenderFailed: they stay infinite or not a number.
    """
    while True:
        try:
            losses, slope = objective(image, scale.value)
            slope = slope / scale.value
            finite = bool(torch.isfinite(slope).all())
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # what eigh makes of a NaN
            finite = False
        scale.update(finite)
        if finite:
            return losses, slope
        if scale.exhausted:
            raise RenderFailed(
                "The losses are no longer finite. Try precision float32, or smaller weights."
            )


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


def _refuse_what_cannot_fit(largest: Level, engine: Engine) -> None:
    needed = gradient.estimated_bytes(largest.height, largest.width, engine.form.dtype)
    there = devices.memory_bytes(engine.device) * MEMORY_SHARE
    if needed > there:
        raise DoesNotFit(
            f"{largest.width} x {largest.height} needs about {needed / 1e9:.0f} GB; "
            f"{devices.describe(engine.device)} has {there / 1e9:.0f} GB to give. "
            f"Largest size that fits here: {largest.size * (there / needed) ** 0.5:.0f}."
        )
