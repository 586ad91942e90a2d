"""The picture as it is shown, from the optimiser's: what a recipe does to finished colours.

The last step before a result and before each preview, so that results, previews and figures agree.
"""

from __future__ import annotations

from torch import Tensor

from farm.engine.colours import (
    Gaussian,
    blend_colours,
    interpolate_colours,
    match_colours,
    measure_colours,
    paint_lightness,
)
from farm.engine.pyramid import Level, resize_photograph
from farm.recipe import Recipe


class Finish:
    """The colours that a recipe gives to a finished picture of any size.

    Args:
        photograph, paintings: (1, 3, H, W), any sizes, on the CPU: floats in [0, 1] or bytes.
    """

    def __init__(self, recipe: Recipe, photograph: Tensor, paintings: list[Tensor]) -> None:
        self._recipe, self._photograph, self._paintings = recipe, photograph, paintings
        self._targets: dict[Level, Gaussian] = {}  # of the latest size

    def apply(self, picture: Tensor) -> Tensor:
        """Return a picture (1, 3, H, W) in [0, 1] with these colours, on its device; the picture itself
        if it is to have the paintings', else another."""
        strength = self._recipe.colour_strength
        if self._recipe.colour == "painting" or not strength:
            return picture
        size = Level(picture.shape[2], picture.shape[3], 1)
        made = picture.contiguous().clone()
        if self._recipe.colour == "lightness":
            paint_lightness(made, resize_photograph(self._photograph, size), strength)
        else:
            match_colours(made, self._find_target(size))
        return made

    def _find_target(self, size: Level) -> Gaussian:
        """Return the colours of the photograph at a size, or those on the way to them."""
        if size not in self._targets:
            own = measure_colours(resize_photograph(self._photograph, size))
            self._targets = {size: own if self._recipe.colour_strength == 1 else self._mix(own)}
        return self._targets[size]

    def _mix(self, photograph: Gaussian) -> Gaussian:
        shares = self._recipe.normalise_blend(len(self._paintings))
        theirs = blend_colours(map(measure_colours, self._paintings), shares)
        return interpolate_colours(theirs, photograph, self._recipe.colour_strength)
