"""The levels of the pyramid of a recipe, and the work in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from farm.recipe.recipe import Recipe

# An iteration where strokes follow the photograph, over one where they are free, measured at 192 px;
# less in larger pictures, where statistics take less of it.
DIRECTED_TIME = 2.5


@dataclass(frozen=True)
class Level:
    """One size of the pyramid."""

    # px.
    height: int
    width: int
    iterations: int

    @property
    def size(self) -> int:
        """Longest side, px."""
        return max(self.height, self.width)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width


def count_pixel_iterations(levels: Iterable[Level]) -> int:
    """Return the work of these levels: an iteration costs in proportion to its pixels."""
    return sum(level.iterations * level.pixels for level in levels)


# An iteration's seconds over those of the default style loss, as on a CPU at 192 to 512 px; of `moments`
# and `kernel` nothing was measured yet.
RELATIVE_SECONDS: dict[str, float] = {
    "gram": 0.75,
    "gram+mean": 0.75,
    "wasserstein": 1.0,
    "light": 0.8,
    "moments": 1.0,
    "kernel": 1.0,
}


def count_work(recipe: Recipe, levels: Iterable[Level]) -> float:
    """Return the work of a recipe's levels, in pixel-iterations that take as long as ordinary ones."""
    relative = RELATIVE_SECONDS[recipe.style_loss] * (DIRECTED_TIME if recipe.directs_strokes else 1.0)
    return count_pixel_iterations(levels) * relative


def compute_levels(recipe: Recipe, height: int, width: int) -> list[Level]:
    """Compute the levels for a content picture of this size, px, smallest first; the last is the
    result's size."""
    sizes = recipe.level_sizes
    pictures = [
        recipe.model_copy(update={"size": size}).compute_picture_size(height, width) for size in sizes
    ]
    return [Level(h, w, n) for (h, w), n in zip(pictures, recipe.level_iterations, strict=True)]
