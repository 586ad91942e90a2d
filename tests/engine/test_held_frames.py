"""Frames that begin from a painted neighbour: what is held stays sharp, what was hidden is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from farm.engine.guides import Guides, Hold
from farm.engine.optimise import stylize
from farm.errors import InvalidInput
from farm.recipe import Recipe
from farm.recipe.film import shorten_iterations
from farm.recipe.levels import compute_levels

if TYPE_CHECKING:
    from farm.engine.loaded import Engine


def test_the_finest_detail_of_what_is_held_outlives_coarse_levels(
    engine: Engine, lake: np.ndarray, strokes: np.ndarray
) -> None:
    # Given a checkerboard of single pixels, which no coarse level has, held in the left half
    H, W, _ = lake.shape
    board = (torch.arange(H)[:, None] + torch.arange(W)) % 2
    weight = torch.zeros(1, 1, H, W)
    weight[..., : W // 2] = 1
    hold = Hold((0.4 + 0.2 * board).expand(1, 3, H, W).contiguous(), weight)
    recipe = shorten_iterations(Recipe(size=96, start_size=48, iterations=(5,)))
    # When the frame is painted over several levels
    steps = list(stylize(lake, [strokes], recipe, engine, guides=Guides(hold=hold)))
    # Then the board is there to the last, where it is held
    assert steps[-1].levels > 1
    contrast = ((steps[-1].picture() - 0.5) * (2 * board[..., None].numpy() - 1)).mean(axis=2)
    held = contrast[4:-4, 4 : W // 2 - 4].mean()
    free = abs(contrast[4:-4, W // 2 + 8 : -4].mean())
    assert held > 0.08
    assert free < 0.02


@pytest.mark.parametrize("kept", [0, 255])
def test_regions_whose_things_have_left_a_film_or_fill_it_are_painted_all_the_same(
    engine: Engine, lake: np.ndarray, strokes: np.ndarray, kept: int
) -> None:
    H, W, _ = lake.shape
    hold = Hold(torch.full((1, 3, H, W), 0.5), torch.ones(1, 1, H, W))
    nothing, all_over = np.zeros((H, W), np.uint8), np.full((H, W), kept, np.uint8)
    guides = Guides(masks=(nothing,), keep=all_over, hold=hold)
    recipe = Recipe(size=64, start_size=64, iterations=(1,))
    *_, last = stylize(lake, [strokes], recipe, engine, guides=guides)
    assert np.isfinite(last.picture()).all()
    # Of a picture, they are a mistake
    with pytest.raises(InvalidInput, match="mask: is black all over"):
        next(stylize(lake, [strokes], recipe, engine, guides=Guides(masks=(nothing,))))


def test_a_held_frame_has_all_levels_and_fewer_iterations_in_each() -> None:
    whole = Recipe(size=512)
    short = shorten_iterations(whole)
    sizes = [(level.height, level.width) for level in compute_levels(whole, 288, 512)]
    assert [(level.height, level.width) for level in compute_levels(short, 288, 512)] == sizes
    shares = [
        few / many for few, many in zip(short.level_iterations, whole.level_iterations, strict=True)
    ]
    assert all(0.35 < share < 0.5 for share in shares)
