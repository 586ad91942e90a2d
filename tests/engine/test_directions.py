"""Strokes that follow the photograph: directions of stripes, and paintings turned by them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from farm.engine.colours import measure_colours
from farm.engine.directions import (
    direct,
    find_directions,
    find_own_direction,
    find_strokes,
    make_bins,
    turn_all,
)
from farm.engine.feature_cache import FeatureCache
from farm.engine.gradient import Objective
from farm.engine.guides import Guides
from farm.engine.loaded import Engine
from farm.engine.maps import LevelMaps
from farm.engine.optimise import stylize
from farm.engine.pyramid import Level, to_tensor
from farm.engine.quality import measure
from farm.engine.vgg import VGG
from farm.recipe import Recipe
from farm.recipe.memory_plan import WHOLE, list_plans
from farm.recipe.picture_sizes import DIRECTIONS, PictureSizes
from tests.engine.narrow import load_tensors

CPU = torch.device("cpu")
DIRECTED = Recipe(size=64, start_size=64, iterations=(8,), stroke_direction="photograph")


def stripes(degrees: float, height: int = 96, width: int = 128, period: float = 8.0) -> np.ndarray:
    """Bright and dark stripes that run in a direction, from the x axis towards the lower right."""
    angle = math.radians(degrees)
    down, across = np.mgrid[:height, :width]
    waves = np.sin((down * math.cos(angle) - across * math.sin(angle)) * 2 * math.pi / period)
    return np.repeat((127.5 + 127.5 * waves).astype(np.uint8)[..., None], 3, axis=2)


def find_degrees(picture: Tensor) -> float:
    return math.degrees(find_own_direction(picture)) % 180


def apart(one: float, other: float) -> float:
    """Degrees between two directions."""
    return abs((one - other + 90) % 180 - 90)


@pytest.mark.parametrize(("degrees", "number"), [(0, 0), (45, 1), (90, 2), (135, 3)])
def test_stripes_are_in_the_bin_of_their_direction(degrees: int, number: int) -> None:
    bins = make_bins(find_directions(to_tensor(stripes(degrees), CPU)))
    shares = [float(each.float().mean()) / 255 for each in bins]
    assert len(shares) == DIRECTIONS
    assert shares[number] > 0.95


def test_a_direction_between_two_is_shared_by_both() -> None:
    directions = torch.polar(torch.ones(1, 2), torch.tensor([[2 * math.pi / 8, -2 * math.pi / 16]]))
    bins = [each[0].tolist() for each in make_bins(directions)]
    assert bins == [pytest.approx(each, abs=1) for each in ([128, 191], [128, 0], [0, 0], [0, 64])]


@pytest.mark.parametrize("name", ["noise", "flat"])
def test_bins_add_up_to_one_in_any_photograph(name: str) -> None:
    picture = torch.rand(1, 3, 40, 64) if name == "noise" else torch.full((1, 3, 40, 64), 0.5)
    bins = torch.stack(make_bins(find_directions(picture)))
    assert bins.sum(dim=0).unique().tolist() == [255]
    if name == "flat":  # nothing has a direction: all lies level
        assert bool((bins[0] == 255).all())


def test_what_has_no_direction_takes_that_of_its_surroundings() -> None:
    picture = np.full((96, 192, 3), 128, np.uint8)
    picture[:, :48] = stripes(45, 96, 48)
    bins = make_bins(find_directions(to_tensor(picture, CPU)))
    assert float(bins[1][20:76, 100:140].float().mean()) / 255 > 0.5


@pytest.mark.parametrize("own", [0, 45, 110])
def test_copies_have_the_four_directions_and_the_paintings_colours(own: int) -> None:
    painting = to_tensor(stripes(own), CPU)
    painting[:, 0] //= 2
    copies = turn_all(painting, (96, 128))
    for number, copy in enumerate(copies):
        assert apart(find_degrees(copy), 45 * number) < 10
        assert copy.shape[2] * copy.shape[3] == pytest.approx(96 * 128, rel=0.02)
        assert (measure_colours(copy).mean - measure_colours(painting).mean).abs().max() < 0.02


def test_free_strokes_leave_all_as_it_is() -> None:
    paintings = [to_tensor(stripes(0), CPU)]
    recipe, same, bins = direct(Recipe(), paintings[0], paintings)
    assert same is paintings
    assert recipe == Recipe()
    assert bins == ()


def test_blend_and_scale_are_for_each_copy_and_masks_for_each_direction() -> None:
    paintings = [to_tensor(stripes(angle), CPU) for angle in (0, 90)]
    asked = DIRECTED.model_copy(update={"blend": (1.0, 3.0), "style_scale": (0.5, 2.0)})
    recipe, copies, bins = direct(asked, to_tensor(stripes(45), CPU), paintings)
    assert len(copies) == 8
    assert recipe.list_style_scales(8) == (0.5,) * 4 + (2.0,) * 4
    shares = recipe.normalise_blend(8)
    assert shares == (0.0625,) * 4 + (0.1875,) * 4
    level = Level(48, 64, 1)
    alone = LevelMaps.from_guides(Guides(), level, shares, bins)
    assert alone is not None
    assert alone.paintings == ((0, 4), (1, 5), (2, 6), (3, 7))
    left = np.zeros((96, 128), np.uint8)
    left[:, :64] = 255
    masked = LevelMaps.from_guides(Guides(masks=(left, 255 - left)), level, shares, bins)
    assert masked is not None
    assert masked.paintings == tuple((number,) for number in range(8))
    assert bool((masked.regions[4:, :, :30] == 0).all())
    assert int((masked.regions.int().sum(dim=0) - 255).abs().max()) <= 4  # rounding of eight maps
    assert (
        int((masked.regions[:4].int().sum(dim=0) - alone.regions.int().sum(dim=0))[:, :30].abs().max())
        <= 4
    )


def test_strokes_run_along_the_nearest_arrow_and_between_two_as_both_do() -> None:
    # Given an upright arrow at the left of a wide picture and one to the upper right at its right
    arrows = ((0.1, 0.9, 0.1, 0.1), (0.8, 0.7, 0.9, 0.5))
    recipe = Recipe(stroke_arrows=arrows)
    found = find_strokes(recipe, torch.rand(1, 3, 60, 120))
    degrees = (torch.rad2deg(found.angle()) / 2) % 180
    assert apart(float(degrees[30, 12]), 90) < 1
    assert apart(float(degrees[36, 102]), 135) < 1
    assert 92 < float(degrees[36, 60]) < 133
    assert float(degrees[0, 60]) < float(degrees[36, 60])  # the right one ends further down
    # Where it leads does not count, and its angle is of the picture's pixels, not of shares
    back = find_strokes(Recipe(stroke_arrows=((1, 1, 0, 0),)), torch.rand(1, 3, 60, 120))
    assert torch.rad2deg(back.angle() / 2).numpy() == pytest.approx(26.565, abs=0.01)


def test_beyond_arrows_the_photographs_directions_hold_if_they_are_asked_for() -> None:
    photograph = to_tensor(stripes(45, 120, 160), CPU)
    recipe = Recipe(stroke_direction="photograph", stroke_arrows=((0, 0.1, 0, 0.9),))
    bins = [each.float() / 255 for each in make_bins(find_strokes(recipe, photograph))]
    assert float(bins[2][40:80, 0].mean()) > 0.95  # upright, as the arrow
    assert float(bins[1][40:80, 120:].mean()) > 0.95  # as the photograph


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine.load("vgg16", "float32", weights_dir, print)


def test_stripes_are_painted_along_the_photographs_or_along_an_arrow(engine: Engine) -> None:
    photograph, painting = stripes(0, 48, 64, 24), stripes(90, period=16)
    found = {}
    ways: dict[str, dict[str, object]] = {
        "free": {},
        "photograph": {"stroke_direction": "photograph"},
        "arrows": {
            "stroke_arrows": ((0.2, 0.9, 0.2 + 0.75 * 0.5, 0.4),)
        },  # 45 degrees, to the upper right
    }
    for name, way in ways.items():
        update: dict[str, object] = {
            "stroke_direction": "free",
            **way,
            "init": "noise",
            "content_weight": 0.0,
            "iterations": (20,),
        }
        update["style_layers"] = {"relu2_1": 1.0, "relu3_1": 1.0}  # these suffice, and are quick
        recipe = DIRECTED.model_copy(update=update)
        *_, last = stylize(photograph, [painting], recipe, engine)
        found[name] = find_degrees(to_tensor(last.picture(), CPU))
    assert apart(found["photograph"], 0) < 15
    assert apart(found["free"], 90) < 15
    assert apart(found["arrows"], 135) < 15


def test_in_tiles_the_gradient_is_that_of_the_whole_picture(weights_dir: Path) -> None:
    vgg = VGG("vgg16", load_tensors(weights_dir), CPU, torch.float64)
    photograph = to_tensor(stripes(30, 67, 110), CPU).double() / 255
    paintings = [to_tensor(stripes(80), CPU)]
    recipe, copies, bins = direct(DIRECTED, photograph, paintings)
    level = Level(67, 110, 1)
    maps = LevelMaps.from_guides(Guides(), level, recipe.normalise_blend(4), bins)
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, 67, 110, generator=generator, dtype=torch.float64)
    whole, tiled = (
        Objective(vgg, recipe, photograph, copies, level, plan, maps=maps)(picture)[1]
        for plan in (WHOLE, list_plans(64)[0])
    )
    assert float((whole - tiled).norm() / whole.norm()) < 1e-10


def test_figures_are_measured_against_the_copies_and_kept_apart_from_free_ones(engine: Engine) -> None:
    photograph, painting, cache = stripes(0), stripes(90), FeatureCache()
    picture = (stripes(0, 48, 64) / 255).astype(np.float32)
    free, directed = (
        measure(picture, photograph, [painting], recipe, engine, cache)
        for recipe in (Recipe(size=64), DIRECTED)
    )
    assert directed.style_loss < free.style_loss / 2
    assert directed.gram_cosine_centred > free.gram_cosine_centred


def test_the_planner_foretells_the_copies() -> None:
    photograph, paintings = to_tensor(stripes(0), CPU), [to_tensor(stripes(30, 200, 300), CPU)] * 2
    recipe = DIRECTED.model_copy(update={"style_scale": (0.5, 1.0)})
    foretold = PictureSizes((96, 128), ((200, 300),) * 2).list_copies(recipe)
    copies = direct(recipe, photograph, paintings).paintings
    assert len(foretold) == len(copies) == 8
    for (size, _), copy in zip(foretold, copies, strict=True):
        assert copy.shape[2] * copy.shape[3] == pytest.approx(math.prod(size), rel=0.05)
