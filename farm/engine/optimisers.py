"""The optimisers that turn gradients into steps: Adam, or L-BFGS.

Both keep their state as tensors of the picture's shape (1, 3, H, W) float32, which a checkpoint saves
and restores, and clamp the picture to [0, 1] after each step.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from farm.engine.colours import keep_colours
from farm.engine.cuda_kernels import find_picture_kernels, takes_as_gradient
from farm.engine.pyramid import Level, resize
from farm.recipe.memory_estimates import LBFGS_PAIRS

AVERAGED_SHARE = 0.25  # of a level's iterations: about as many of the last ones make its mean
LONGEST_AVERAGE = 100  # iterations


class Optimiser(Protocol):
    """The interface that the loop over iterations uses."""

    # (1, 3, H, W), where the next gradient is computed.
    image: Tensor
    # Mean colours that each step is drawn back to, see `colours.py`; None: all are free.
    kept_colours: Tensor | None
    # The state, together with the tensors.
    scalars: dict[str, Any]

    def grow(self, level: Level) -> None:
        """Resize the state to the next level, starting from `get_picture()`."""

    def step(self, gradient: Tensor, total: float) -> None:
        """Take one step along a gradient (1, 3, H, W); total: the loss at `image`."""

    def get_picture(self) -> Tensor:
        """Return the best picture so far, (1, 3, H, W) in [0, 1]."""

    def get_tensors(self) -> dict[str, Tensor]:
        """Return the state's tensors, by name."""

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> Self:
        """Restore a saved state.

        Raises:
            KeyError: something is missing.
        """


class Adam:
    """Kingma and Ba 2014 (arXiv 1412.6980), algorithm 1; the result is a mean of the iterates.

    Differs from the paper: a bias-corrected running mean over about the last quarter of a level is
    shown and passed on, which has less noise than the last iterate; the moments go with it to the
    next level, made smaller as its gradient is: losses are means over positions, so a picture of twice
    the pixels has half the gradient at each.
    """

    RATE = 0.02
    BETA_1, BETA_2 = 0.9, 0.99
    kept_colours: Tensor | None = None
    EPSILON = 1e-12  # far below the gradient at a pixel of an 8K picture, some 1e-9

    def __init__(self, image: Tensor, level: Level) -> None:
        self.image = image
        self._first = torch.zeros_like(image)
        self._second = torch.zeros_like(image)
        self._average = torch.zeros_like(image)
        # steps: since the start. averaged: the weight the mean has gathered. decay: of the mean.
        self.scalars: dict[str, Any] = {"steps": 0, "averaged": 0.0, "decay": _compute_decay(level)}

    def grow(self, level: Level) -> None:
        size = (level.height, level.width)
        gradient = self.image.numel() / (self.image.shape[1] * level.pixels)
        self.image = resize(self.get_picture(), *size).clamp_(0, 1)
        self._average = torch.zeros_like(self.image)
        self._first = resize(self._first, *size).mul_(gradient)
        self._second = resize(self._second, *size).clamp_(min=0).mul_(gradient**2)
        self.scalars |= {"averaged": 0.0, "decay": _compute_decay(level)}

    def step(self, gradient: Tensor, total: float) -> None:
        steps = self.scalars["steps"] = self.scalars["steps"] + 1
        new = (1 - self.BETA_1, 1 - self.BETA_2)
        # The bias corrections of both moments, as factors of the rate and of epsilon.
        size = math.sqrt(1 - self.BETA_2**steps)
        rate, epsilon = self.RATE * size / (1 - self.BETA_1**steps), self.EPSILON * size
        gain = 1 - self.scalars["decay"]
        kernels = find_picture_kernels(self.image) if self.kept_colours is None else None
        if kernels and takes_as_gradient(gradient):
            state = (self.image, self._first, self._second, self._average)
            kernels.step_by_adam(state, gradient, new, rate, epsilon, gain)
        else:
            self._first.lerp_(gradient, new[0])
            self._second.mul_(self.BETA_2).addcmul_(gradient, gradient, value=new[1])
            root = self._second.sqrt().add_(epsilon)
            self.image.addcdiv_(self._first, root, value=-rate).clamp_(0, 1)
            del root  # as large as what follows
            if self.kept_colours is not None:
                keep_colours(self.image, self.kept_colours)
            self._average.lerp_(self.image, gain)
        self.scalars["averaged"] += gain * (1 - self.scalars["averaged"])

    def get_picture(self) -> Tensor:
        averaged = self.scalars["averaged"]
        return self._average / averaged if averaged else self.image

    def get_tensors(self) -> dict[str, Tensor]:
        return {
            "image": self.image,
            "first": self._first,
            "second": self._second,
            "average": self._average,
        }

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> Self:
        self.image, self._average = tensors["image"], tensors["average"]
        self._first, self._second = tensors["first"], tensors["second"]
        self.scalars = {name: scalars[name] for name in self.scalars}
        return self


class LBFGS:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4), without a line search.

    A line search would cost further gradients. Instead no pixel moves more than `LONGEST` in one
    step, pairs of negative curvature are left out, and when the loss rises the history, which led
    there, is forgotten. A new level begins without history: curvature does not scale.
    """

    HISTORY = LBFGS_PAIRS
    FIRST = 0.02  # how far the first step moves the pixel with the largest gradient
    LONGEST = 0.1  # how far a pixel may move in one step
    kept_colours: Tensor | None = None

    def __init__(self, image: Tensor, level: Level) -> None:
        self.image = image
        self.scalars: dict[str, Any] = {"pairs": 0, "last": None}
        self._before: tuple[Tensor, Tensor] | None = None  # image and gradient of the last step
        self._pairs: list[tuple[Tensor, Tensor]] = []  # (s, y), oldest first

    def grow(self, level: Level) -> None:
        image = resize(self.image, level.height, level.width).clamp_(0, 1)
        LBFGS.__init__(self, image, level)

    def step(self, gradient: Tensor, total: float) -> None:
        gradient = gradient.contiguous()  # as a checkpoint will keep it
        if self.scalars["last"] is not None and total > self.scalars["last"]:
            self._pairs.clear()
        elif self._before is not None:
            self._remember(self.image - self._before[0], gradient - self._before[1])
        direction = self._compute_direction(gradient)
        largest = float(direction.abs().max())
        reach = self.LONGEST if self._pairs else self.FIRST
        if largest > reach or not self._pairs:
            direction *= reach / max(largest, 1e-30)
        self._before = (self.image.clone(), gradient)
        self.image.add_(direction).clamp_(0, 1)
        if self.kept_colours is not None:
            keep_colours(self.image, self.kept_colours)
        self.scalars |= {"pairs": len(self._pairs), "last": total}

    def _remember(self, s: Tensor, y: Tensor) -> None:
        if float((s * y).sum()) > 1e-10 * float((y * y).sum()):
            self._pairs = [*self._pairs[1 - self.HISTORY :], (s, y)]

    def _compute_direction(self, gradient: Tensor) -> Tensor:
        """Return minus the inverse Hessian's estimate times the gradient."""
        q = gradient.clone()
        weights = []
        for s, y in reversed(self._pairs):
            rho = 1 / float((s * y).sum())
            weights.append((rho, rho * float((s * q).sum())))
            q.sub_(y, alpha=weights[-1][1])
        if self._pairs:
            s, y = self._pairs[-1]
            q *= float((s * y).sum()) / float((y * y).sum())
        for (s, y), (rho, a) in zip(self._pairs, reversed(weights), strict=True):
            q.add_(s, alpha=a - rho * float((y * q).sum()))
        return q.neg_()

    def get_picture(self) -> Tensor:
        return self.image

    def get_tensors(self) -> dict[str, Tensor]:
        found = {"image": self.image}
        if self._before is not None:
            found |= {"image_before": self._before[0], "gradient_before": self._before[1]}
        for i, (s, y) in enumerate(self._pairs):
            found |= {f"s{i}": s, f"y{i}": y}
        return found

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> Self:
        self.image = tensors["image"]
        self.scalars = {name: scalars[name] for name in self.scalars}
        if "image_before" in tensors:
            self._before = (tensors["image_before"], tensors["gradient_before"])
        self._pairs = [(tensors[f"s{i}"], tensors[f"y{i}"]) for i in range(scalars["pairs"])]
        return self


OPTIMISERS: dict[str, type[Adam] | type[LBFGS]] = {"adam": Adam, "lbfgs": LBFGS}


def _compute_decay(level: Level) -> float:
    window = min(LONGEST_AVERAGE, AVERAGED_SHARE * level.iterations)
    return max(0.0, 1 - 1 / window)
