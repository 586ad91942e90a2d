"""Pictures of one's own to begin from, and finished drafts that grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from farm.engine.checkpoint import read
from farm.engine.colours import average_colours, keep_colours
from farm.engine.guides import Guides
from farm.engine.initial_picture import make_initial_picture
from farm.engine.optimise import Step, stylize
from farm.engine.pyramid import Level, resize, to_tensor
from farm.errors import InvalidInput
from farm.recipe import Recipe
from tests.conftest import load_sample

CPU = torch.device("cpu")
OWN = {"size": 64, "start_size": 48, "iterations": (2, 2), "init": "picture"}


def run(lake, strokes, engine, start=None, **settings: object) -> list[Step]:
    recipe, guides = Recipe.parse(OWN | settings), Guides(start=start)
    return list(stylize(lake, [strokes], recipe, engine, guides=guides))


@pytest.mark.parametrize("size", [(64, 96), (128, 192), (20, 30)])
def test_a_picture_of_ones_own_is_what_the_first_level_starts_from(size: tuple[int, int]) -> None:
    start = torch.rand(1, 3, *size)
    made = make_initial_picture(Recipe(init="picture"), start, [], Level(64, 96, 1), start)
    assert made.shape == (1, 3, 64, 96)
    assert torch.equal(made, start) == (size == (64, 96))
    assert made.mean() == pytest.approx(float(start.mean()), abs=0.01)


def test_a_start_of_ones_own_makes_another_picture(engine, lake, strokes) -> None:
    one, other = (run(lake, strokes, engine, start)[-1].picture() for start in (lake, 1 - lake))
    assert np.abs(one - other).mean() > 0.2


@pytest.mark.parametrize(
    ("start", "init", "message"),
    [
        (None, "picture", "init: is picture, and no picture to begin from came with it"),
        ((64, 96), "noise", "init: is noise, but a picture to begin from came, too"),
        (
            (96, 96),
            "picture",
            "init: is 96 x 96 px, the photograph 96 x 64; it needs the same",
        ),
        ((70, 96), "picture", "init: is 96 x 70 px"),
    ],
)
def test_a_start_that_does_not_go_with_the_photograph_is_refused(
    start: tuple[int, int] | None, init: str, message: str, engine, lake, strokes
) -> None:
    own = None if start is None else np.zeros((*start, 3), np.uint8)
    with pytest.raises(InvalidInput, match=message):
        run(lake, strokes, engine, own, init=init)


@pytest.mark.parametrize("size", [(43, 64), (42, 64), (128, 192), (641, 960)])
def test_a_start_may_be_rounded_to_whole_px(size: tuple[int, int], engine, lake, strokes) -> None:
    run(lake, strokes, engine, np.zeros((*size, 3), np.uint8), iterations=1, start_size=64)


def test_a_draft_goes_on_from_its_pixels_at_the_first_larger_level(
    engine, lake, strokes, tmp_path: Path
) -> None:
    # Given a finished draft, whatever made it
    draft = run(lake, strokes, engine, init="photograph")[-1].picture()
    # When it grows
    settings = {"size": 96, "grown_from": 64, "iterations": (3,)}
    steps = []
    recipe, guides = Recipe.parse(OWN | settings), Guides(start=draft)
    for step in stylize(lake, [strokes], recipe, engine, guides=guides):
        steps.append(step)
        if step.done == 2:
            step.checkpoint().write(tmp_path / "saved")
    # Then there are levels beyond it alone, and its colours stay where they were
    assert [(step.width, step.height) for step in steps] == [(96, 64)] * 3
    colours = [average_colours(to_tensor(each, CPU)) for each in (draft, steps[-1].picture())]
    assert (colours[0] - colours[1]).abs().mean() < 4 / 255
    # And it resumes after a break as if there had been none
    resume = read(tmp_path / "saved")
    *_, last = stylize(lake, [strokes], recipe, engine, guides=guides, resume=resume)
    assert np.array_equal(last.picture(), steps[-1].picture())


def test_all_but_the_finest_detail_of_a_draft_stays_while_it_grows() -> None:
    draft = to_tensor(load_sample("brushwork", 96), CPU)
    noise = torch.rand(1, 3, 154, 192, generator=torch.Generator().manual_seed(0))
    picture = noise.clone()
    for _ in range(20):
        keep_colours(picture, draft)
    kept, found = (resize(each, 26, 32) for each in (draft, picture))
    assert (kept - found).abs().mean() < 2 / 255
    fine, drawn = (each - resize(resize(each, 77, 96), 154, 192) for each in (picture, noise))
    assert fine.std() > 0.5 * drawn.std()  # what is finer is free
