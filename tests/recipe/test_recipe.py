"""The recipe: defaults once, limits named, JSON there and back."""

from __future__ import annotations

import json

import pytest

from farm.errors import InvalidInput
from farm.recipe import Recipe
from farm.recipe.levels import RELATIVE_SECONDS
from farm.recipe.networks import list_layer_names
from farm.recipe.recipe import StyleLoss, list_values
from farm.recipe.schedules import PRESETS
from farm.recipe.typed_values import format_value
from farm.recipe.versions import NEWEST, SETTINGS_OF


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
        ({"style_layers": {"relu9_1": 1}}, "style_layers", "has relu9_1, which is not a layer"),
        ({"content_layers": "relu4_4"}, "content_layers", "has relu4_4, which is not a layer of auto"),
        ({"style_layers": {"relu1_1": -1}}, "style_layers.relu1_1", "greater than or equal to 0"),
        ({"style_layers": {"relu1_1": 0}}, "style_weight", "must not be 0"),
        ({"style_layers": {}}, "style_weight", "must not be 0"),
        ({"style_weight": 0}, "style_weight", "must not be 0"),
        ({"blend": (0, 0)}, "blend", "must not be 0"),
        ({"size": 64, "iterations": (1, 2)}, "iterations", "lists 2 levels; there is 1: 64"),
        ({"style_layers": "relu1_1=1,,=,"}, "style_layers", "has a nameless one, which is not a layer"),
        ({"iterations": (0,)}, "iterations.0", "greater than or equal to 1"),
        ({"iterations": (1,) * 21}, "iterations", "at most 20"),
        ({"preset": "quick"}, "preset", "draft"),
        ({"style_scale": 5}, "style_scale", "less than or equal to 4"),
        ({"style_scale": "1,0.01"}, "style_scale.1", "greater than or equal to 0.1"),
        ({"style_scale": "broad"}, "style_scale", "valid number"),
        ({"style_scale": []}, "style_scale", "valid number"),
        ({"style_scale": (1,) * 9}, "style_scale", "at most 8"),
        (
            {"stroke_arrows": [[0, 0, 1, 1], [0.5, 0.25, 0.5, 0.25]]},
            "stroke_arrows",
            "number 2, at 0.5,0.25",
        ),
        ({"stroke_arrows": "0.5,0.5,0.5,0.5"}, "stroke_arrows", "has no length"),
        ({"stroke_arrows": "0,0,1"}, "stroke_arrows", "has 3 numbers; an arrow has four"),
        ({"stroke_arrows": "0"}, "stroke_arrows", "has 1 number; an arrow has four"),
        ({"stroke_arrows": "0,0,1,up"}, "stroke_arrows.0.3", "valid number"),
        ({"stroke_arrows": [[0, 0, 1, 1.01]]}, "stroke_arrows.0.3", "less than or equal to 1"),
        ({"stroke_arrows": [[0, 0, 1]]}, "stroke_arrows.0", "at least 4"),
        ({"stroke_arrows": [[0, 0, 1, 1]] * 65}, "stroke_arrows", "at most 64"),
        ({"stroke_arrows": [[0, 0, 1, float("nan")]]}, "stroke_arrows.0.3", "equal to"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"hue": 1}, "hue", "not a setting of a recipe"),
        ({"colour": "sepia"}, "colour", "'painting', 'photograph' or 'lightness'"),
        ({"colour_strength": 1.01}, "colour_strength", "less than or equal to 1"),
        ({"colour_strength": -0.1}, "colour_strength", "greater than or equal to 0"),
        ({"init": "sketch"}, "init", "'content', 'photograph', 'recoloured', 'picture'"),
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
    assert recipe.normalise_blend(2) == (0.25, 0.75)


def test_arrows_are_typed_as_they_are_shown_and_no_arrow_is_in_no_dump() -> None:
    recipe = Recipe.parse({"stroke_arrows": "0.1,0.5, 0.9,0.5; 0,0 1,1"})
    assert recipe.stroke_arrows == ((0.1, 0.5, 0.9, 0.5), (0, 0, 1, 1))
    assert format_value(recipe.stroke_arrows) == "0.1,0.5,0.9,0.5,0,0,1,1"
    assert Recipe.parse({"stroke_arrows": format_value(recipe.stroke_arrows)}) == recipe
    absent: tuple[object, ...] = ("", [], None)
    for none in absent:
        assert "stroke_arrows" not in Recipe.parse({"stroke_arrows": none}).model_dump()
    assert Recipe.parse(recipe.model_dump_json()).directs_strokes
    assert recipe.look == Recipe().look


def test_an_empty_list_is_as_good_as_none() -> None:
    assert Recipe.parse({"iterations": [], "blend": ""}) == Recipe()


def test_a_blend_for_another_number_of_paintings_is_refused() -> None:
    with pytest.raises(InvalidInput, match="blend: has 2 weights for 3 paintings"):
        Recipe(blend=(1, 1)).normalise_blend(3)


def test_strokes_have_one_size_or_one_for_each_painting() -> None:
    assert Recipe.parse({"style_scale": "2"}).list_style_scales(3) == (2.0, 2.0, 2.0)
    assert Recipe.parse({"style_scale": "2, 0.5"}).list_style_scales(2) == (2.0, 0.5)
    assert Recipe.parse({"style_scale": [2]}) == Recipe(style_scale=2.0)  # and is written as one
    with pytest.raises(InvalidInput, match="style_scale: has 2 sizes for 1 painting"):
        Recipe(style_scale=(2.0, 0.5)).check_number_of_paintings(1)


def test_a_named_network_allows_all_its_layers() -> None:
    assert Recipe(features="vgg19", content_layers={"relu4_4": 1}).content_layers == {"relu4_4": 1.0}
    assert "relu4_4" not in list_layer_names("auto")


def test_the_size_is_the_longest_side_both_ways_up() -> None:
    assert Recipe(size=7680).compute_picture_size(1080, 1920) == (4320, 7680)
    assert Recipe(size=7680).compute_picture_size(1920, 1080) == (7680, 4320)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("levels", [1, 2, 5, 12])
def test_every_preset_has_a_schedule_for_any_number_of_levels(preset: str, levels: int) -> None:
    iterations = PRESETS[preset].compute_iterations(levels)
    assert len(iterations) == levels
    assert min(iterations) >= 1
    assert list(iterations) == sorted(iterations, reverse=True)


WRITTEN_BY_0_1 = (
    '{"size":700,"preset":"standard","format":"png","content_weight":0.1,"style_weight":1.0,'
    '"tv_weight":2.0,"content_layers":{"relu4_2":1.0},"style_layers":{"relu1_1":1.0,"relu2_1":1.0,'
    '"relu3_1":1.0,"relu4_1":1.0,"relu5_1":1.0},"style_loss":"wasserstein","style_scale":1.0,'
    '"blend":null,"start_size":128,"iterations":null,"tolerance":0.0,"optimizer":"adam",'
    '"init":"content","seed":0,"precision":"auto","features":"auto"}'
)


def test_a_recipe_that_0_1_wrote_is_of_0_1_and_keeps_its_look() -> None:
    recipe = Recipe.parse(WRITTEN_BY_0_1)
    assert recipe.version == "0.1"
    assert recipe.look == "278a35f05f182ea332ac925a506f6ceccd1420ccb66a8d718c3a940937c9bc01"
    assert Recipe.parse(json.loads(WRITTEN_BY_0_1)) == Recipe.parse(recipe.model_dump_json()) == recipe


def test_a_recipe_of_0_2_keeps_its_look_when_settings_are_added() -> None:
    assert (
        Recipe(version="0.2").look == "3efd8caa3a613541b124567525ce1c7c0e734253a0da64b60539b9a583e7709f"
    )
    assert Recipe(version="0.2", size=1024, seed=7).look == Recipe(version="0.2").look


class LaterRecipe(Recipe):
    """The recipe of a version to come, with a setting more."""

    grain: float = 0.0


def test_a_setting_to_come_changes_no_look_and_no_request_where_it_has_its_default() -> None:
    for version, settings in SETTINGS_OF.items():
        assert LaterRecipe(version=version).look == Recipe(version=version).look
        assert LaterRecipe(version=version, grain=1).look != Recipe(version=version).look
        later = LaterRecipe(seed=7).convert_to(version)
        assert later
        assert json.loads(later.dump_settings_of(version)).keys() == settings
        assert LaterRecipe(seed=7, grain=1).convert_to(version) is None
    assert LaterRecipe(seed=7).model_dump_json() == Recipe(seed=7).model_dump_json()
    assert LaterRecipe(seed=7, grain=1).model_dump()["grain"] == 1
    assert LaterRecipe(seed=7).dump_given() == Recipe(seed=7).dump_given() == '{"seed":7}'


def test_recipes_of_the_first_days_of_0_1_are_of_0_1_too() -> None:
    values = json.loads(WRITTEN_BY_0_1)
    for later in ("format", "tolerance", "optimizer"):
        del values[later]
    assert Recipe.parse(values) == Recipe.parse(WRITTEN_BY_0_1)


def test_a_recipe_that_says_little_has_the_newest_defaults_or_those_of_the_version_it_names() -> None:
    assert Recipe.parse({"size": 700}).version == NEWEST
    old = Recipe.parse({"size": 700, "version": "0.1", "tv_weight": 3})
    assert old == Recipe.parse(WRITTEN_BY_0_1).model_copy(update={"tv_weight": 3.0})
    assert old.look != Recipe(**old.model_dump(exclude={"version"}), version=NEWEST).look


def test_a_version_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="version"):
        Recipe.parse({"version": "9"})


@pytest.mark.parametrize("size", [257, 300, 512, 1000, 7680])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_picture_that_grows_out_of_a_draft_has_the_draft_s_levels_first(
    size: int, preset: str
) -> None:
    draft = Recipe(size=256, preset="draft")
    grown = Recipe(size=size, preset=preset, grown_from=256)
    count = len(draft.level_sizes)
    assert grown.level_sizes[:count] == draft.level_sizes
    assert grown.level_iterations[:count] == draft.level_iterations
    assert grown.level_sizes[-1] == size
    assert len(grown.level_sizes) == len(grown.level_iterations) > count
    assert grown.level_sizes == sorted(set(grown.level_sizes))


def test_iterations_of_a_picture_that_grows_out_of_a_draft_are_for_the_levels_after_it() -> None:
    grown = Recipe(size=512, grown_from=256, iterations=(7, 5))
    assert grown.level_iterations == (*Recipe(size=256, preset="draft").level_iterations, 7, 5)
    with pytest.raises(InvalidInput, match="lists 3 levels; there are 2: 362, 512"):
        Recipe.parse({"size": 512, "grown_from": 256, "iterations": (7, 5, 3)})


def test_a_picture_that_begins_with_a_finished_draft_has_the_levels_beyond_it_alone() -> None:
    passing, beginning = (
        Recipe(size=1024, grown_from=256, preset="fine", init=init) for init in ("content", "picture")
    )
    drafted = len(passing.draft_sizes)
    assert drafted == 3
    assert beginning.draft_sizes == []
    assert beginning.level_sizes == passing.level_sizes[drafted:] == [362, 512, 724, 1024]
    assert beginning.level_iterations == passing.level_iterations[drafted:]
    assert Recipe(size=512, init="picture").level_sizes == Recipe(size=512).level_sizes


def test_a_picture_no_larger_than_its_draft_is_made_as_any_other() -> None:
    assert Recipe(size=256, grown_from=256).level_sizes == Recipe(size=256).level_sizes


def test_settings_later_than_0_2_are_written_only_where_they_differ() -> None:
    assert Recipe().model_dump().keys() == SETTINGS_OF["0.2"]
    painted = Recipe(colour="lightness", colour_strength=0.5)
    assert Recipe.parse(painted.model_dump_json()) == painted
    assert painted.look != Recipe().look


def test_it_is_known_of_every_style_loss_how_long_it_takes() -> None:
    assert set(RELATIVE_SECONDS) == set(list_values(StyleLoss))
