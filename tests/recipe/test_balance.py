"""Balance in stops and the photograph's weight: one formula, forth and back."""

from __future__ import annotations

import pytest

from farm.recipe.balance import (
    MAX_STOPS,
    STEP,
    compute_content_weight,
    find_stops,
    list_content_weights,
)


def test_each_stop_to_the_right_halves_the_photographs_weight() -> None:
    assert [compute_content_weight(0.06, stops) for stops in (-1, 0, 1, 2)] == [0.12, 0.06, 0.03, 0.015]


@pytest.mark.parametrize("default", [0.06, 0.1])
def test_each_place_of_the_slider_is_found_again_by_its_weight(default: float) -> None:
    weights = list_content_weights(default)
    assert len(weights) == 2 * MAX_STOPS / STEP + 1
    places = [-MAX_STOPS + STEP * step for step in range(len(weights))]
    assert [find_stops(weight, default) for weight in weights] == places


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.06 * 2**5, 0.06 / 2**5])
def test_a_weight_between_or_beyond_the_places_has_none(weight: float) -> None:
    assert find_stops(weight, 0.06) is None
