"""The recipe: defaults once, limits named, JSON there and back."""

from __future__ import annotations

import pytest

from farm.errors import InvalidInput
from farm.recipe import PRESETS, Recipe, layer_names


def test_json_there_and_back_is_the_identity() -> None:
    recipe = Recipe(
        size=700, start_size=495, iterations=(3, 4), blend=(0.2, 0.8), style_layers={"relu3_1": 2.0}
    )
    assert Recipe.parse(recipe.model_dump_json()) == recipe
    assert Recipe.parse(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("values", "field", "limit"),
    [
        ({"size": 100000}, "size", "7680"),
        ({"size": 10}, "size", "64"),
        ({"size": "big"}, "size", "integer"),
        ({"content_weight": -1}, "content_weight", "greater than or equal to 0"),
        ({"tv_weight": float("nan")}, "tv_weight", "finite"),
        ({"style_layers": {"relu9_1": 1}}, "style_layers", "relu9_1 is not a layer"),
        ({"content_layers": "relu4_4"}, "content_layers", "relu4_4 is not a layer of auto"),
        ({"style_layers": {"relu1_1": -1}}, "style_layers.relu1_1", "greater than or equal to 0"),
        ({"style_layers": {"relu1_1": 0}}, "style_weight", "must not all be 0"),
        ({"style_layers": {}}, "style_weight", "must not all be 0"),
        ({"style_weight": 0}, "style_weight", "must not all be 0"),
        ({"blend": (0, 0)}, "blend", "must not all be 0"),
        ({"size": 64, "iterations": (1, 2)}, "iterations", "lists 2 levels; there are 1: 64"),
        ({"style_layers": "relu1_1=1,,=,"}, "style_layers", "a nameless one is not a layer"),
        ({"iterations": (0,)}, "iterations.0", "greater than or equal to 1"),
        ({"iterations": (1,) * 21}, "iterations", "at most 20"),
        ({"preset": "quick"}, "preset", "draft"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"colour": 1}, "colour", "not a setting of a recipe"),
        ("{not json", "recipe", "JSON"),
        ("[1, 2]", "recipe", "object"),
    ],
)
def test_what_is_wrong_names_the_field_and_the_limit(values: object, field: str, limit: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Recipe.parse(values)
    problems = {problem.field: problem.message for problem in caught.value.problems}
    assert limit in problems[field], problems


def test_what_is_typed_on_a_command_line_is_understood() -> None:
    recipe = Recipe.parse(
        {"style_layers": "relu1_1=4, relu2_1", "iterations": "30,20,9,9,9", "blend": "1,3"}
    )
    assert recipe.style_layers == {"relu1_1": 4.0, "relu2_1": 1.0}
    assert recipe.iterations == (30, 20, 9, 9, 9)
    assert recipe.blend_of(2) == (0.25, 0.75)


def test_an_empty_list_is_as_good_as_none() -> None:
    assert Recipe.parse({"iterations": [], "blend": ""}) == Recipe()


def test_a_blend_for_another_number_of_paintings_is_refused() -> None:
    with pytest.raises(InvalidInput, match="blend: has 2 weights for 3 style pictures"):
        Recipe(blend=(1, 1)).blend_of(3)


def test_a_named_network_allows_all_its_layers() -> None:
    assert Recipe(features="vgg19", content_layers={"relu4_4": 1}).content_layers == {"relu4_4": 1.0}
    assert "relu4_4" not in layer_names("auto")


def test_the_size_is_the_longest_side_both_ways_up() -> None:
    assert Recipe(size=7680).picture_size(1080, 1920) == (4320, 7680)
    assert Recipe(size=7680).picture_size(1920, 1080) == (7680, 4320)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("levels", [1, 2, 5, 12])
def test_every_preset_has_a_schedule_for_any_number_of_levels(preset: str, levels: int) -> None:
    iterations = PRESETS[preset].iterations(levels)
    assert len(iterations) == levels
    assert min(iterations) >= 1
    assert list(iterations) == sorted(iterations, reverse=True)
