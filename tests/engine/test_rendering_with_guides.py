"""Renderings with masks, with what stays and what is transparent: pictures whose answer is known."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from farm.engine import quality
from farm.engine.colours import recolour_regions
from farm.engine.guides import Guides
from farm.engine.loaded import Engine
from farm.engine.optimise import Picture, stylize
from farm.engine.passes import compute_moments
from farm.engine.pyramid import Level, resize_style, to_tensor
from farm.engine.statistics import Moments
from farm.engine.style.gram import GramLoss
from farm.errors import InvalidInput
from farm.recipe import Recipe
from farm.recipe.memory_plan import WHOLE
from tests.conftest import load_sample

CPU = torch.device("cpu")
H, W = 64, 96
LEFT = np.where(np.arange(W) < W // 2, 255, 0).astype(np.uint8) * np.ones((H, 1), np.uint8)
QUICK = {"size": 96, "start_size": 96, "iterations": 12, "features": "vgg16", "precision": "float32"}


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine.load("vgg16", "float32", weights_dir, print, CPU)


def make_flat(*colour: float) -> Picture:
    return np.full((64, 64, 3), colour, np.float32)


def make_checkerboard(side: int) -> Picture:
    """Black and white squares, (96, 96, 3)."""
    squares = (np.indices((96, 96)) // side).sum(axis=0) % 2
    return np.repeat(squares[..., None], 3, axis=2).astype(np.float32)


def test_two_flat_colours_start_and_end_in_their_halves(engine: Engine) -> None:
    red, blue = make_flat(0.8, 0.2, 0.2), make_flat(0.2, 0.2, 0.8)
    recipe = Recipe.parse(QUICK | {"content_weight": 0.01, "style_loss": "gram"})
    guides = Guides(masks=(LEFT, 255 - LEFT))
    *_, last = stylize(load_sample("mountain_lake", W), [red, blue], recipe, engine, guides=guides)
    picture = last.picture()
    left, right = picture[:, : W // 2 - 4], picture[:, W // 2 + 4 :]
    assert np.abs(left.mean(axis=(0, 1)) - red[0, 0]).max() < 0.05
    assert np.abs(right.mean(axis=(0, 1)) - blue[0, 0]).max() < 0.05


def test_each_half_comes_nearer_to_its_own_checkerboard(engine: Engine) -> None:
    fine, coarse = make_checkerboard(4), make_checkerboard(24)
    layers = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}
    recipe = Recipe.parse(
        QUICK | {"init": "gray", "content_weight": 0, "style_loss": "gram", "style_layers": layers}
    )
    recipe = recipe.model_copy(update={"iterations": (60,)})
    guides = Guides(masks=(LEFT, 255 - LEFT))
    *_, last = stylize(load_sample("mountain_lake", W), [fine, coarse], recipe, engine, guides=guides)

    def sum_up(x: torch.Tensor) -> dict[str, Moments]:
        return compute_moments(engine.vgg, x, frozenset(layers), WHOLE)

    targets = [
        sum_up(resize_style(to_tensor(each, CPU), Level(H, W, 1), 1.0)) for each in (fine, coarse)
    ]
    halves = [sum_up(to_tensor(x, CPU)) for x in np.split(last.picture(), 2, axis=1)]
    far = [
        [
            sum(
                float(GramLoss({layer: target[layer]}, len(target[layer].total))(half).values)
                for layer in layers
            )
            for target in targets
        ]
        for half in halves
    ]
    assert far[0][1] > 3 * far[0][0]
    assert far[1][0] > 3 * far[1][1]


def test_what_is_kept_and_what_is_transparent_is_the_photographs_own(engine: Engine) -> None:
    photograph = load_sample("mountain_lake", W)
    keep, opaque = np.zeros((H, W), np.uint8), np.full((H, W), 255, np.uint8)
    keep[:20], opaque[:, 80:] = 255, 0
    recipe = Recipe.parse(QUICK)
    guides = Guides(keep=keep, opaque=opaque)
    *_, last = stylize(photograph, [load_sample("brushwork", 96)], recipe, engine, guides=guides)
    picture = last.picture()
    assert np.array_equal(picture[:20], photograph[:20])
    assert np.array_equal(picture[:, 80:], photograph[:, 80:])
    assert np.abs(picture[20:, :80] - photograph[20:, :80]).mean() > 0.05
    figures = quality.measure(
        picture, photograph, [load_sample("brushwork", 96)], recipe, engine, guides=guides
    )
    assert figures.style_loss == pytest.approx(last.losses.style, rel=0.2)


def test_masks_everywhere_paint_what_no_masks_paint(engine: Engine) -> None:
    photograph, painting = load_sample("mountain_lake", W), load_sample("brushwork", 96)
    recipe = Recipe.parse(QUICK | {"iterations": 3, "style_loss": "gram"})
    everywhere = Guides(masks=(np.full((H, W), 255, np.uint8),))
    found = [
        [*stylize(photograph, [painting], recipe, engine, guides=guides)][-1].picture()
        for guides in (Guides(), everywhere)
    ]
    np.testing.assert_allclose(found[1], found[0], atol=2e-3)


def test_a_rendering_with_guides_resumes_bit_for_bit_and_not_with_others(engine: Engine) -> None:
    photograph, painting = load_sample("mountain_lake", W), load_sample("brushwork", 96)
    recipe, guides = Recipe.parse(QUICK | {"iterations": 4}), Guides(keep=LEFT)
    render = partial(stylize, photograph, [painting], recipe, engine)
    steps = render(guides=guides)
    saved = [next(steps) for _ in range(2)][-1].checkpoint()
    *_, whole = steps
    with pytest.raises(InvalidInput, match="is of other pictures"):
        next(render(guides=Guides(keep=255 - LEFT), resume=saved))
    *_, last = render(guides=guides, resume=saved)
    assert np.array_equal(last.picture(), whole.picture())


def test_a_region_takes_its_paintings_colours_and_what_is_in_none_stays() -> None:
    photograph = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    painting = 0.5 * torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    regions = torch.zeros(2, 20, 30, dtype=torch.uint8)
    regions[0, :, :12] = 255
    found = recolour_regions(photograph, [painting, painting], regions)
    assert torch.equal(found[..., 12:], photograph[..., 12:])
    mean = found[..., :12].mean(dim=(2, 3))
    torch.testing.assert_close(mean, painting.mean(dim=(2, 3)), atol=0.02, rtol=0)


@pytest.mark.parametrize("loss", ["wasserstein", "light"])
def test_a_painting_whose_region_is_wholly_kept_paints_nothing(engine: Engine, loss: str) -> None:
    """Stated rule: its region stays as it is, and all else is as if it were any other painting."""
    photograph, blue = load_sample("mountain_lake", W), make_checkerboard(8)
    recipe = Recipe.parse(QUICK | {"iterations": 4, "style_loss": loss})
    guides = Guides(masks=(LEFT, 255 - LEFT), keep=LEFT)
    pictures = []
    for unseen in (make_flat(0.8, 0.2, 0.2), make_flat(0.1, 0.9, 0.3)):
        *_, last = stylize(photograph, [unseen, blue], recipe, engine, guides=guides)
        assert all(np.isfinite([last.losses.content, last.losses.style, last.losses.tv]))
        pictures.append(last.picture())
    assert np.array_equal(pictures[0], pictures[1])
    left, right = (half for half in np.split(np.abs(pictures[0] - photograph), 2, axis=1))
    assert left[:, :-4].max() < 1 / 255
    assert right.mean() > 0.02
