"""The picture that the first level of a rendering starts from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from farm.engine.colours import Gaussian, measure_colours, recolour, recolour_regions, take_colours
from farm.engine.maps import LevelMaps
from farm.engine.pyramid import Level, resize_photograph, resize_style
from farm.recipe import Recipe


def make_initial_picture(
    recipe: Recipe,
    photograph: Tensor,
    paintings: list[Tensor],
    level: Level,
    start: Tensor | None = None,
    maps: LevelMaps | None = None,
) -> Tensor:
    """Make the picture that the first level starts from, (1, 3, H, W) in [0, 1].

    start: see `optimise.Rendering`. maps: where each painting paints, at this level; None: everywhere.
    """
    if start is not None:
        return resize_photograph(start, level)
    if recipe.init in ("content", "photograph", "recoloured"):
        small = resize_photograph(photograph, level)
        if not recipe.starts_recoloured:
            return small
        sized = _size_paintings(recipe, paintings, level, measure_colours(small))
        if maps is not None and maps.masked:
            return recolour_regions(small, sized, maps.regions)
        return recolour(small, sized, recipe.normalise_blend(len(paintings)))
    shape = (1, 3, level.height, level.width)
    if recipe.init == "gray":
        return torch.full(shape, 0.5, device=photograph.device)
    generator = torch.Generator().manual_seed(recipe.seed)  # on the CPU: the same noise anywhere
    return torch.rand(shape, generator=generator).to(photograph.device)


def _size_paintings(
    recipe: Recipe, paintings: list[Tensor], level: Level, photograph: Gaussian
) -> Iterator[Tensor]:
    """Yield the paintings at a level's size, in the colours in which they are compared."""
    scales = recipe.list_style_scales(len(paintings))
    for painting, scale in zip(paintings, scales, strict=True):
        sized = resize_style(painting, level, scale)
        if recipe.moves_colours:
            take_colours(sized, photograph, recipe.colour_strength)
        yield sized
