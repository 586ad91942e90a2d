"""Colours: the paintings' at the start, the photograph's in the picture if it is to have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from farm.engine import weights
from farm.engine.colours import (
    MAX_STRETCH,
    interpolate_colours,
    measure_colours,
    paint_lightness,
    recolour,
    take_colours,
)
from farm.engine.gradient import Objective
from farm.engine.initial_picture import make_initial_picture
from farm.engine.lab import convert_from_lab, convert_to_lab
from farm.engine.loaded import Engine
from farm.engine.optimise import stylize
from farm.engine.pyramid import Level, shrink, to_tensor
from farm.engine.vgg import VGG
from farm.recipe import Recipe
from farm.recipe.memory_plan import WHOLE, list_plans
from tests.conftest import load_sample

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine.load("vgg16", "float32", weights_dir, print)


def picture(seed: int, mean: float, spread: float, height: int = 40, width: int = 60) -> Tensor:
    """Colours that hang together differently for each seed, well within [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(3, 3, generator=generator)
    noise = torch.rand(3, height * width, generator=generator) - 0.5
    colours = mix @ noise / (mix @ noise).abs().max()
    return (mean + spread * colours).view(1, 3, height, width)


def moments(picture: Tensor) -> tuple[Tensor, Tensor]:
    colours = picture[0].flatten(1).double()
    return colours.mean(1), torch.cov(colours, correction=0)


def test_the_photograph_takes_mean_and_covariance_of_the_painting() -> None:
    painting = picture(1, 0.6, 0.3, 50, 30)
    made = recolour(picture(2, 0.4, 0.3), [painting], [1.0])
    for found, wanted in zip(moments(made), moments(painting), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0.01)


def test_a_photograph_in_the_paintings_colours_stays_as_it_is() -> None:
    photograph = picture(3, 0.5, 0.3)
    torch.testing.assert_close(recolour(photograph, [photograph], [1.0]), photograph)


def test_two_paintings_share_as_the_blend_says() -> None:
    dark, light = picture(4, 0.3, 0.1), picture(5, 0.8, 0.1)
    made = recolour(picture(6, 0.5, 0.3), [dark, light], [0.75, 0.25])
    wanted = 0.75 * moments(dark)[0] + 0.25 * moments(light)[0]
    torch.testing.assert_close(moments(made)[0], wanted, atol=1e-4, rtol=0)


def test_the_noise_of_a_flat_photograph_is_not_stretched_to_a_paintings_contrast() -> None:
    flat = picture(7, 0.5, 1 / 255)
    made = recolour(flat, [picture(8, 0.5, 0.4)], [1.0])
    (_, before), (_, after) = moments(flat), moments(made)
    assert after.trace() <= MAX_STRETCH**2 * before.trace() * 1.01


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pictures_of_one_colour_make_pictures_of_one_colour(value: float) -> None:
    made = recolour(torch.full((1, 3, 8, 8), value), [torch.full((1, 3, 9, 9), 0.25)], [1.0])
    torch.testing.assert_close(made, torch.full((1, 3, 8, 8), 0.25))


def test_recipes_of_version_0_1_start_from_the_photograph_itself() -> None:
    photograph, painting = picture(9, 0.3, 0.2), picture(10, 0.7, 0.2)
    level = Level(40, 60, 1)
    old, new = (
        make_initial_picture(Recipe(version=version), photograph, [painting], level)
        for version in ("0.1", "0.2")
    )
    torch.testing.assert_close(old, photograph)
    assert (new.mean() - painting.mean()).abs() < 0.01


def test_starts_are_asked_for_by_name_in_every_version() -> None:
    photograph, painting = picture(9, 0.3, 0.2), picture(10, 0.7, 0.2)
    level = Level(40, 60, 1)

    def start(version: str, init: str) -> Tensor:
        recipe = Recipe.parse({"version": version, "init": init})
        return make_initial_picture(recipe, photograph, [painting], level)

    for version in ("0.1", "0.2"):
        assert torch.equal(start(version, "photograph"), photograph)
        assert torch.equal(start(version, "recoloured"), start("0.2", "content"))


# The photograph's colours in the picture


def test_lab_of_known_colours_and_back() -> None:
    colours = torch.tensor([[1.0, 0, 1], [1, 0, 0], [1, 0, 0]]).double()  # white, black, red
    lab = convert_to_lab(colours)
    wanted = torch.tensor([[100.0, 0, 53.24], [0, 0, 80.11], [0, 0, 67.22]]).double()
    torch.testing.assert_close(lab, wanted, atol=0.02, rtol=0)
    many = torch.rand(3, 1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(convert_from_lab(convert_to_lab(many)), many, atol=1e-5, rtol=0)


def test_a_paintings_colours_become_the_photographs_or_go_a_part_of_the_way() -> None:
    photograph, painting = picture(11, 0.5, 0.3), picture(12, 0.4, 0.3)
    whole, half = painting.clone(), painting.clone()
    take_colours(whole, measure_colours(photograph), 1.0)
    take_colours(half, measure_colours(photograph), 0.5)
    for found, wanted in zip(moments(whole), moments(photograph), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0.01)
    torch.testing.assert_close(half, (whole + painting) / 2, atol=1e-5, rtol=0)


def test_lightness_is_the_paintings_and_the_rest_the_photographs() -> None:
    grey = torch.linspace(0.4, 0.6, 60).expand(1, 3, 40, 60).contiguous()
    flat = torch.tensor([0.6, 0.5, 0.4]).view(1, 3, 1, 1).expand(1, 3, 40, 60).contiguous()
    (L, *_), (_, a, b) = (convert_to_lab(each.view(3, -1)) for each in (grey, flat))
    for strength in (1.0, 0.5):
        made = grey.clone()
        paint_lightness(made, flat, strength)
        wanted = torch.stack((L, strength * a, strength * b))
        torch.testing.assert_close(convert_to_lab(made.view(3, -1)), wanted, atol=0.01, rtol=0)


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_result_and_preview_have_the_colours_of_the_photograph_or_between(
    engine: Engine, strength: float
) -> None:
    # Given a photograph and a painting of quite other colours
    lake, strokes = load_sample("mountain_lake", 96), load_sample("mosaic", 96)
    recipe = Recipe(
        size=96, start_size=96, iterations=(8,), colour="photograph", colour_strength=strength
    )
    *_, last = stylize(lake, [strokes], recipe, engine)
    # When it is painted in the photograph's colours
    found = measure_colours(to_tensor(last.picture(), CPU))
    # Then mean and covariance are within 5 % of the photograph's, or of what lies between
    own, theirs = (measure_colours(to_tensor(each, CPU)) for each in (lake, strokes))
    wanted = interpolate_colours(theirs, own, strength)
    assert (found.mean - wanted.mean).norm() < 0.05 * wanted.mean.norm()
    assert (found.covariance - wanted.covariance).norm() < 0.05 * wanted.covariance.norm()
    # And the preview is the result, made smaller
    small = shrink(to_tensor(last.picture(), CPU), 24)
    torch.testing.assert_close(to_tensor(last.preview(24), CPU), small)


@pytest.mark.parametrize("colour", ["photograph", "lightness"])
def test_with_no_strength_the_colours_are_the_paintings(engine: Engine, colour: str) -> None:
    lake, strokes = load_sample("mountain_lake", 64), load_sample("mosaic", 64)
    plain = {"size": 64, "start_size": 64, "iterations": (2,)}
    none = plain | {"colour": colour, "colour_strength": 0}
    one, other = (
        list(stylize(lake, [strokes], Recipe.parse(each), engine))[-1].picture()
        for each in (plain, none)
    )
    assert np.array_equal(one, other)


def test_in_the_photographs_colours_tiles_are_as_the_whole_picture(weights_dir: Path) -> None:
    vgg = VGG("vgg16", weights.load("vgg16", weights_dir), CPU, torch.float64)
    lake, strokes = (to_tensor(load_sample(n, 96), CPU).double() for n in ("mountain_lake", "mosaic"))
    recipe, level = Recipe(colour="photograph", style_scale=1.5), Level(64, 96, 1)
    start = make_initial_picture(recipe, lake, [strokes], level)
    whole, tiled = (
        Objective(vgg, recipe, lake, [strokes], level, plan)(start)
        for plan in (WHOLE, list_plans(64)[0])
    )
    assert tiled[0].total == pytest.approx(whole[0].total, rel=1e-10)
    assert (tiled[1] - whole[1]).norm() < 1e-10 * whole[1].norm()
    plain = Objective(vgg, Recipe(style_scale=1.5), lake, [strokes], level)(start)
    assert plain[0].style > 1.1 * whole[0].style  # which has its colours already
