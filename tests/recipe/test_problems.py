"""Problems of untrusted settings, in words for people."""

from __future__ import annotations

from typing import Any

import pytest

from farm.errors import InvalidInput
from farm.films.settings import FilmSettings
from farm.recipe import Recipe
from farm.recipe.problems import Untrusted


class Many(Untrusted):
    """Fields of each kind that a boolean may or may not be in."""

    number: int | None = None
    numbers: tuple[float, ...] = ()
    named: dict[str, tuple[float, ...]] = {}
    either: int | bool = 0
    flag: bool = False
    anything: list[Any] = []
    recipe: Recipe = Recipe()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"size": True}, "size"),
        ({"style_weight": True}, "style_weight"),
        ({"seed": False}, "seed"),
        ({"blend": [True, 1]}, "blend"),
        ({"iterations": True}, "iterations"),
        ({"style_scale": True}, "style_scale"),
        ({"content_layers": {"relu4_2": True}}, "content_layers"),
        ({"stroke_arrows": [[True, False, 0, 1]]}, "stroke_arrows"),
    ],
)
def test_a_boolean_is_no_number(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Recipe.parse(values)
    (problem,) = refused.value.problems
    assert problem.field == field
    assert problem.message.startswith("must be a number, not true or false")


def test_a_boolean_is_refused_where_numbers_alone_are_taken() -> None:
    good = {"either": True, "flag": True, "anything": [True]}
    assert Many.model_validate(good).model_dump(include=set(good)) == good
    for wrong in ({"number": True}, {"numbers": [0, True]}, {"named": {"a": [True]}}):
        with pytest.raises(ValueError, match="not true or false"):
            Many.model_validate(wrong)
    with pytest.raises(ValueError, match=r"recipe\.size"):
        Many.model_validate({"recipe": {"size": True}})
    for film in ({"every": True}, {"moving": {"blend": {"0": [1, True]}}}):
        with pytest.raises(InvalidInput):
            FilmSettings.parse(film)


@pytest.mark.parametrize(
    ("arrows", "words"),
    [
        ([[float("nan"), 0, 1, 1]], "stroke_arrows.0.0: input should be less than or equal to 1"),
        ([[float("inf"), 0, 1, 1]], "stroke_arrows.0.0: input should be less than or equal to 1"),
        ("nan 0 1 1", "stroke_arrows.0.0: input should be less than or equal to 1"),
        ([[0, 0, 1]], "stroke_arrows.0: list should have at least 4 items"),
        ([[0, 0, 1, 1]] * 5000, "stroke_arrows: list should have at most 64 items"),
        ([[[0, 0], [1, 1]]], "stroke_arrows.0.0: input should be a valid number"),
        (5, "stroke_arrows: input should be a valid list"),
        ([[0.5, 0.5, 0.5, 0.5]], "stroke_arrows: number 1, at 0.5,0.5, has no length"),
    ],
)
def test_an_arrow_that_is_none_is_named_once_and_without_pythons_words(arrows: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Recipe.parse({"stroke_arrows": arrows})
    (problem,) = refused.value.problems
    assert f"{problem.field}: {problem.message}".startswith(words), problem
