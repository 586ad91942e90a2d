"""Parts of a film painted frame by frame, on a small clip whose motion is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.film import measure_drift, measure_warp
from benchmarks.film_clip import Frame, MovingDisc
from farm.engine.film.paint import FrameStep, PaintedFrame, paint_part
from farm.engine.loaded import Engine
from farm.engine.passes import compute_moments
from farm.recipe import Recipe
from farm.recipe.film import STILL, Moving, Part, Role, plan_parts
from tests.engine.film.test_flow import make_texture

RECIPE = Recipe.parse(
    {"size": 64, "start_size": 64, "iterations": [4], "features": "vgg16"} | {"style_loss": "gram"}
)


class Film:
    """A clip, and its frames that are painted."""

    def __init__(
        self,
        clip: MovingDisc,
        engine: Engine,
        painting: np.ndarray,
        moving: Moving = STILL,
        recipe: Recipe = RECIPE,
    ):
        self.clip, self.engine, self.painting = clip, engine, painting
        self.moving, self.recipe = moving, recipe
        self.painted: dict[int, Frame] = {}

    def paint(self, part: Part, done: int = 0) -> Iterator[FrameStep | PaintedFrame]:
        news = paint_part(
            part,
            self.clip.draw,
            self.painted.__getitem__,
            [self.painting],
            self.recipe,
            self.engine,
            done=done,
            moving=self.moving,
        )
        for each in news:
            if isinstance(each, PaintedFrame):
                self.painted[each.frame] = each.picture
            yield each

    def paint_all(self, frames: int, spacing: int = 24) -> list[Frame]:
        for part in plan_parts([0], range(frames), spacing):
            if part.role is not Role.JOIN:
                list(self.paint(part))
        return [self.painted[n] for n in range(frames)]


@pytest.fixture(scope="module")
def clip() -> MovingDisc:
    return MovingDisc(make_texture(200, 1), make_texture(120, 2), height=48, width=64, radius=12)


def rest(clip: MovingDisc, noise: float) -> MovingDisc:
    """Return the same clip with nothing that moves."""
    return replace(clip, ground_moves=(0.0, 0.0), disc_moves=(0.0, 0.0), noise=noise)


def test_a_film_is_steadier_than_its_frames_alone(
    whole_engine: Engine, strokes: np.ndarray, clip: MovingDisc
) -> None:
    film = Film(clip, whole_engine, strokes)
    held = film.paint_all(3)
    alone = [Film(clip, whole_engine, strokes) for _ in held]
    for n, each in enumerate(alone):
        list(each.paint(Part(0, Role.ANCHOR, (n,))))
    single = [each.painted[n] for n, each in enumerate(alone)]
    assert np.mean(measure_warp(clip, held)) < 0.8 * np.mean(measure_warp(clip, single))
    assert all((one != other).any() for one, other in pairwise(held))


def test_a_part_that_was_interrupted_has_the_same_frames(
    engine: Engine, strokes: np.ndarray, clip: MovingDisc
) -> None:
    # Given a stretch between two anchors, painted at one go
    film = Film(clip, engine, strokes)
    whole = film.paint_all(5, spacing=4)
    stretch = next(part for part in plan_parts([0], range(5), 4) if part.role is Role.STRETCH)
    # When another worker goes on after its first frame
    again = Film(clip, engine, strokes)
    again.painted = {n: film.painted[n] for n in (0, 1, 4)}
    news = list(again.paint(stretch, done=1))
    # Then its frames are the same to the bit, and it tells how far the part is
    np.testing.assert_array_equal([again.painted[n] for n in range(5)], whole)
    shares = [each.progress for each in news if isinstance(each, FrameStep)]
    assert shares == sorted(shares)
    assert shares[0] > 1 / 3
    assert shares[-1] == 1
    assert [each.done for each in news if isinstance(each, PaintedFrame)] == [2, 3]
    # And so has one who goes on later, of whose frames another one is now the first
    again.painted = {n: film.painted[n] for n in (0, 1, 2, 4)}
    assert list(again.paint(stretch, done=2))
    np.testing.assert_array_equal([again.painted[n] for n in range(5)], whole)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_still_clip_does_not_drift(
    whole_engine: Engine, strokes: np.ndarray, clip: MovingDisc, noise: float
) -> None:
    frames = Film(rest(clip, noise), whole_engine, strokes).paint_all(8)
    assert measure_drift(frames)[0] < 1


def test_nothing_is_painted_where_nothing_changed(
    engine: Engine, strokes: np.ndarray, clip: MovingDisc
) -> None:
    film = Film(rest(clip, 0.0), engine, strokes)
    anchor, stretch, _ = plan_parts([0], range(3))
    list(film.paint(anchor))
    assert [type(each) for each in film.paint(stretch)] == [PaintedFrame] * 2


def test_settings_that_move_change_what_is_still(
    engine: Engine, strokes: np.ndarray, clip: MovingDisc
) -> None:
    moving = Moving.parse({"content_weight": {"0": 0.0, "2": 20.0}})
    frames = Film(rest(clip, 0.0), engine, strokes, moving).paint_all(3)
    assert measure_drift(frames)[0] > 1


@pytest.mark.parametrize("colour", ["photograph", "lightness"])
def test_colours_that_are_the_clips_are_each_frames_own_and_as_steady(
    whole_engine: Engine, strokes: np.ndarray, clip: MovingDisc, colour: str
) -> None:
    # Given a film in the colours of its clip
    recipe = RECIPE.model_copy(update={"colour": colour})
    film = Film(clip, whole_engine, strokes, recipe=recipe)
    frames = film.paint_all(4)
    # Then each frame has the colours of its own frame, however often it was gone on from
    for number, frame in enumerate(frames):
        means = [each.reshape(-1, 3).mean(axis=0) for each in (frame, clip.draw(number))]
        chroma = [mean - mean.mean() for mean in means]
        assert np.abs(chroma[0] - chroma[1]).max() < 4
        if colour == "photograph":
            assert np.abs(means[0] - means[1]).max() < 4
    # And what is held stays
    alone = [Film(clip, whole_engine, strokes, recipe=recipe) for _ in frames]
    for number, each in enumerate(alone):
        list(each.paint(Part(0, Role.ANCHOR, (number,))))
    single = [each.painted[number] for number, each in enumerate(alone)]
    assert np.mean(measure_warp(clip, frames)) < 0.8 * np.mean(measure_warp(clip, single))


def test_paintings_are_looked_at_once_for_all_frames(
    engine: Engine, strokes: np.ndarray, clip: MovingDisc, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def count(*arguments, **options):
        calls.append(1)
        return compute_moments(*arguments, **options)

    film = Film(clip, engine, strokes)
    anchor, stretch, _ = plan_parts([0], range(4))
    list(film.paint(anchor))
    monkeypatch.setattr("farm.engine.gradient.compute_moments", count)
    list(film.paint(stretch))
    assert len(calls) == 1  # a level
