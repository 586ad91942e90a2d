"""At what sizes photograph and paintings are used and held."""

from __future__ import annotations

import pytest

from farm.recipe import Recipe
from farm.recipe.levels import compute_levels
from farm.recipe.picture_sizes import (
    HEADROOM,
    KEPT_PIXELS,
    PictureSizes,
    compute_held_painting,
    compute_held_photograph,
    compute_style_size,
)

HUGE = (8660, 11546)  # 100 megapixels


@pytest.mark.parametrize("size", [(16, 300), (1999, 2001), (2000, 2000)])
def test_pictures_of_few_pixels_are_held_as_they_were_sent(size: tuple[int, int]) -> None:
    assert compute_held_photograph(Recipe(size=64), size) == size


def test_a_photograph_is_held_at_twice_the_sides_of_the_last_level() -> None:
    held = compute_held_photograph(Recipe(size=2048), HUGE)
    assert held == (2 * 1536, 2 * 2048)


def test_what_the_largest_level_needs_whole_is_held_whole() -> None:
    assert compute_held_photograph(Recipe(size=7680), HUGE) == HUGE


@pytest.mark.parametrize(("scale", "kept"), [(0.1, True), (1.0, False), (2.0, False), (4.0, False)])
def test_a_painting_is_held_at_twice_the_sides_that_its_scale_asks_for(scale: float, kept: bool) -> None:
    recipe = Recipe(size=1400, style_scale=scale)
    held = compute_held_painting(recipe, (1000, 1400), HUGE, scale)
    used = compute_style_size(HUGE, 1000 * 1400, scale)
    assert used[0] * used[1] == pytest.approx(1000 * 1400 * scale**2, rel=1e-2)
    pixels = held[0] * held[1]
    assert pixels == pytest.approx(
        KEPT_PIXELS if kept else min(HUGE[0] * HUGE[1], HEADROOM**2 * used[0] * used[1]), rel=2e-3
    )
    assert held[1] / held[0] == pytest.approx(HUGE[1] / HUGE[0], rel=1e-3)


def test_a_held_picture_is_used_at_the_same_size_as_the_whole_one() -> None:
    recipe = Recipe(size=1400)
    held = compute_held_painting(recipe, (1000, 1400), HUGE, 1.0)
    for level in compute_levels(recipe, 1000, 1400):
        whole, small = (compute_style_size(size, level.pixels, 1.0) for size in (HUGE, held))
        assert all(abs(a - b) <= 1 for a, b in zip(whole, small, strict=True))


def test_what_is_held_is_not_made_smaller_again() -> None:
    recipe = Recipe(size=1400, style_scale=1.5)
    once = PictureSizes(HUGE, (HUGE, (3000, 2000))).compute_held(recipe)
    assert PictureSizes(once[0], tuple(once[1:])).compute_held(recipe) == once


def test_each_painting_is_held_at_its_own_size_of_strokes() -> None:
    sizes = PictureSizes((1000, 1400), (HUGE, HUGE))
    _, fine, broad = sizes.compute_held(Recipe(size=1400, style_scale=(1.0, 2.0)))
    assert [fine] == PictureSizes((1000, 1400), (HUGE,)).compute_held(Recipe(size=1400))[1:]
    assert broad[0] == pytest.approx(2 * fine[0], rel=1e-3)
