"""Maps that go with what they are on, on clips whose motion is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from farm.engine.film.flow import Motion
from farm.engine.film.follow import Follower, Maps, apply_maps, follow, stack_maps
from farm.engine.film.paint import _find_maps
from farm.engine.guides import Guides
from farm.recipe.film import Part, Role
from tests.engine.film.test_flow import make_texture

H, W, SIDE = 72, 96, 28
Frame = np.ndarray


def draw_square(number: int, moves: tuple[int, int] = (2, 1)) -> tuple[Frame, np.ndarray]:
    """Return a frame of a flat square that moves over a ground, and where the square is, (H, W)."""
    frame = (255 * make_texture(120, 1)[:H, :W]).astype(np.uint8)
    left, top = (start + number * step for start, step in zip((8, 6), moves, strict=True))
    place = np.zeros((H, W), np.uint8)
    place[max(0, top) : max(0, top + SIDE), max(0, left) : max(0, left + SIDE)] = 255
    frame[place > 0] = (200, 60, 40)
    return frame, place


def measure_overlap(found: np.ndarray, true: np.ndarray) -> float:
    """Return intersection over union."""
    one, other = found >= 128, true >= 128
    return float((one & other).sum() / (one | other).sum())


def follow_square(count: int, moves: tuple[int, int] = (2, 1)) -> list[tuple[Maps, np.ndarray]]:
    """Return the map of a square and where that is, of each frame after the first."""
    frames, places = zip(*(draw_square(number, moves) for number in range(count)), strict=True)
    return list(zip(follow(places[0][None], frames), places[1:], strict=True))


def find_maps(
    part: Part, frames: Sequence[Frame], guides: Guides, stored: dict[int, Maps]
) -> list[Maps]:
    """Return the maps of a part's frames, of which all have some."""
    found = [each for each in _find_maps(part, frames, guides, stored.__getitem__) if each is not None]
    assert len(found) == len(part.frames)
    return found


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("moves", [(2, 1), (3, 0), (0, 0)])
def test_a_mask_stays_on_the_square_that_it_was_painted_on(moves: tuple[int, int]) -> None:
    assert [measure_overlap(maps[0], place) > 0.94 for maps, place in follow_square(13, moves)] == (
        [True] * 12
    )


def test_what_comes_into_view_belongs_to_what_it_looks_like() -> None:
    # Given a square that comes into the picture from the left, of which the mask has what is seen
    frames, places = zip(*(draw_square(number - 14) for number in range(13)), strict=True)
    assert 0 < (places[0] > 0).sum() < 0.6 * (places[-1] > 0).sum()
    # Then the mask has all of it in the end, and nothing of the ground that it leaves behind
    *_, maps = follow(places[0][None], frames)
    assert measure_overlap(maps[0], places[-1]) > 0.9


def test_maps_of_several_kinds_go_with_their_own_things_and_mark_nothing_once_these_are_gone() -> None:
    frames, places = zip(*(draw_square(number, (-4, 0)) for number in range(12)), strict=True)
    first = np.stack((places[0], 255 - places[0]))
    assert not places[-1].any()
    *_, maps = follow(first, frames)
    assert (maps[0] >= 128).mean() < 0.01
    assert (maps[1] >= 128).mean() > 0.99


def test_places_stay_where_no_flow_can_be_trusted() -> None:
    (frame, place), (other, _) = draw_square(0), draw_square(9)
    lost = Motion(np.full((H, W, 2), 40, np.float32), np.zeros((H, W), np.float32))
    follower = Follower(place[None], frame)
    np.testing.assert_array_equal(follower.step(lost, other)[0], place)


def test_maps_of_a_stretch_are_the_same_wherever_it_goes_on_and_end_at_the_anchors() -> None:
    # Given a shot of two anchors and what lies between them, with a mask and a map of what stays
    frames, places = zip(*(draw_square(number) for number in range(5)), strict=True)
    guides = Guides(masks=(places[0],), keep=255 - places[0])
    stored: dict[int, Maps] = {}
    first, second = Part(0, Role.ANCHOR, (0,)), Part(1, Role.ANCHOR, (4,), before=0)
    between = Part(2, Role.STRETCH, (1, 2, 3), before=0, after=4)
    (stored[0],) = find_maps(first, frames[:1], guides, stored)
    np.testing.assert_array_equal(stored[0], stack_maps(guides, (H, W)))
    (stored[4],) = find_maps(second, frames, guides, stored)
    # Then its maps are those on the way to the second anchor
    found = find_maps(between, frames, guides, stored)
    expected = list(follow(stored[0], frames))
    np.testing.assert_array_equal([*found, stored[4]], expected)
    here = apply_maps(guides, found[-1])
    assert measure_overlap(here.masks[0], places[3]) > 0.94
    assert here.keep is not None
    assert measure_overlap(here.keep, 255 - places[3]) > 0.94
    # And where they are to stay, or there are none, nothing is found
    assert _find_maps(between, frames, guides, None) == [None] * 3
    assert _find_maps(between, frames, Guides(), stored.__getitem__) == [None] * 3
