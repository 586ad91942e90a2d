"""Marks of maps: whether masks and what stays leave anything to paint, whatever their sizes."""

from __future__ import annotations

import numpy as np
import pytest

from farm.pictures import marks
from farm.pictures.marks import Marks, leave_nothing


def draw(size: tuple[int, int], left: float, right: float, level: int = 255) -> Marks:
    """A map that is at a level between two shares of its width."""
    levels = np.zeros(size, np.uint8)
    levels[:, round(left * size[1]) : round(right * size[1])] = level
    return Marks.from_levels(levels)


SIZES = [(8, 12), (16, 24), (40, 60)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("other", SIZES)
def test_a_mask_within_what_stays_leaves_nothing(size: tuple[int, int], other: tuple[int, int]) -> None:
    keep = draw(other, 0, 0.5)
    assert leave_nothing([draw(size, 0, 0.5)], keep)
    assert leave_nothing([draw(size, 0.25, 0.5), draw(size, 0, 0.25, 1)], keep)
    assert not leave_nothing([draw(size, 0.25, 0.5), draw(size, 0.75, 1, 1)], keep)
    assert not leave_nothing([draw(size, 0, 0.5)], draw(other, 0, 0.5, 254))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "other"), [((7, 11), (9, 13)), ((9, 13), (7, 11)), ((5, 5), (3, 17))])
def test_what_is_in_doubt_is_left_to_paint(size: tuple[int, int], other: tuple[int, int]) -> None:
    # Given one place of each map in turn, then exactly where both overlap there is something to paint
    for place in np.ndindex(*size):
        levels = np.zeros(size, np.uint8)
        levels[place] = 255
        for hole in np.ndindex(*other):
            stays = np.full(other, 255, np.uint8)
            stays[hole] = 0
            overlap = all(
                at * far < (gap + 1) * near and gap * near < (at + 1) * far
                for at, near, gap, far in zip(place, size, hole, other, strict=True)
            )
            assert leave_nothing([Marks.from_levels(levels)], Marks.from_levels(stays)) != overlap


def test_a_map_larger_than_its_marks_has_what_any_pixel_of_a_place_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(marks, "LONGEST", 4)
    levels = np.zeros((3, 10), np.uint8)
    levels[2, 9] = 1
    found = Marks.from_levels(levels)
    assert found.marks_any.tolist() == [[False, False, False, True]]
    assert found.is_open.all()
    assert Marks.from_bytes((3, 10), found.to_bytes()) == found


def test_marks_of_another_size_are_not_those_of_a_map() -> None:
    packed = draw((8, 12), 0, 0.5).to_bytes()
    with pytest.raises(ValueError, match="24 bytes of marks"):
        Marks.from_bytes((8, 13), packed)
