"""Parts of a film: which frames each paints, and what it waits for."""

from __future__ import annotations

import pytest

from farm.errors import InvalidInput
from farm.recipe import Recipe
from farm.recipe.film import STILL, Moving, Role, list_ready, parse_range, plan_parts, select_frames


def test_a_shot_is_anchors_and_the_stretches_between_them() -> None:
    first, second, between, rest, join = plan_parts([0], range(8), spacing=5)
    assert (first.frames, first.before, first.needs) == ((0,), None, ())
    assert (second.frames, second.before, second.needs) == ((5,), 0, (0,))
    assert (between.frames, between.before, between.after, between.needs) == ((1, 2, 3, 4), 0, 5, (0, 1))
    assert (rest.frames, rest.before, rest.after, rest.needs) == ((6, 7), 5, None, (1,))
    assert (join.role, join.frames, join.needs) == (Role.JOIN, tuple(range(8)), (0, 1, 2, 3))


@pytest.mark.parametrize("spacing", [1, 2, 5, 24])
@pytest.mark.parametrize("frames", [[0], range(0, 30), range(3, 30, 2), [4, 11, 12]])
def test_every_frame_is_painted_once_and_nothing_is_held_across_a_cut(
    frames: list[int], spacing: int
) -> None:
    shots = [0, 4, 12]
    *painting, join = parts = plan_parts(shots, frames, spacing)
    assert sorted(frame for part in painting for frame in part.frames) == list(join.frames)
    for part in painting:
        held = [each for each in (*part.frames, part.before, part.after) if each is not None]
        assert len({sum(frame >= shot for shot in shots) for frame in held}) == 1
        assert all(need < part.number for need in part.needs)
    assert [part.number for part in parts] == list(range(len(parts)))


def test_a_part_begins_when_what_it_needs_is_done() -> None:
    parts = plan_parts([0, 6], range(12), spacing=4)
    begun: set[int] = set()
    done: set[int] = set()
    waves = []
    while ready := list_ready(parts, begun, done):
        waves.append([part.role for part in ready])
        begun.update(part.number for part in ready)
        done |= begun
    anchor, stretch = Role.ANCHOR, Role.STRETCH
    assert waves == [[anchor, anchor], [anchor, anchor], [stretch] * 4, [Role.JOIN]]


def test_frames_are_chosen_by_a_range_and_each_so_many() -> None:
    assert select_frames(5) == (0, 1, 2, 3, 4)
    assert select_frames(10, *parse_range("2:9"), every=3) == (2, 5, 8)
    assert parse_range(":") == parse_range("0:") == (0, None)
    assert parse_range(":48") == (0, 48)


@pytest.mark.parametrize("text", ["", "5", "5-9", "-3:9", "1:2:3", "a:b", "²:³", "1:" + "9" * 20])
def test_a_range_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="frames: must be such as 0:48"):
        parse_range(text)


@pytest.mark.parametrize(
    ("chosen", "every", "said"),
    [
        ((3, 3), 1, r"frames: must be within 0:10.*got 3:3"),
        ((0, 11), 1, r"frames: must be within 0:10.*got 0:11"),
        ((10, None), 1, r"frames: must be within 0:10.*got 10:10"),
        ((2, 6), 0, r"every: must be 1 to 4.*got 0"),
        ((2, 6), 5, r"every: must be 1 to 4.*got 5"),
    ],
)
def test_frames_that_the_clip_has_not_are_refused_with_those_it_has(
    chosen: tuple[int, int | None], every: int, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        select_frames(10, *chosen, every=every)


def test_settings_move_on_straight_lines_between_key_frames() -> None:
    moving = Moving.parse(
        {
            "content_weight": {"10": 0.2, "20": 0.1},
            "style_scale": {"0": 1, "4": [0.5, 2]},
            "blend": {"3": [1, 0]},
        }
    )
    moving.check_number_of_paintings(2)
    recipe = Recipe(content_weight=9)
    weights = [moving.apply(recipe, frame, 2).content_weight for frame in (0, 10, 15, 20, 99)]
    assert weights == pytest.approx([0.2, 0.2, 0.15, 0.1, 0.1])
    assert moving.apply(recipe, 1, 2).style_scale == pytest.approx((0.875, 1.25))
    assert moving.apply(recipe, 50, 2).blend == (1.0, 0.0)
    assert moving.apply(recipe, 0, 2).style_weight == recipe.style_weight
    assert Moving.parse(moving.model_dump_json()) == moving
    assert STILL.apply(recipe, 7, 2) == recipe


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"content_weight": {"0": -1}}, "content_weight.0", "greater than or equal to 0"),
        ({"style_scale": {"5": 9}}, "style_scale.5", "less than or equal to 4"),
        ({"blend": {"-1": [1]}}, "blend.-1", "greater than or equal to 0"),
        ({"blend": {"0": [0, 0]}}, "blend", "must not be 0 for each painting"),
        ({"style_weight": {"0": 0}}, "style_weight", "must not be 0"),
        ({"size": {"0": 64}}, "size", "is not a setting"),
        ("{", "moving", "json"),
        ([], "moving", "an object"),
    ],
)
def test_key_frames_that_cannot_be_are_named_with_their_limit(
    values: object, field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        Moving.parse(values)
    (problem,) = raised.value.problems
    assert problem.field.startswith(field)
    assert words in problem.message.lower()


def test_key_frames_list_a_number_for_each_painting() -> None:
    with pytest.raises(InvalidInput, match="blend: has 3 numbers at frame 4 for 2 paintings"):
        Moving.parse({"blend": {"4": [1, 0, 0]}}).check_number_of_paintings(2)
