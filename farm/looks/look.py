"""A look: a name, and settings that make a picture's manner. Size, effort, file, chance and network are
not among them, nor what belongs to the pictures that were chosen, such as arrows for strokes.

As a file it is JSON: `style_farm_look`, the version of its format; `name`; `settings`, as in a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator

from farm.errors import InvalidInput, Problem
from farm.recipe import Recipe
from farm.recipe.json_limits import check_json
from farm.recipe.problems import (
    LONGEST_NAME,
    Untrusted,
    list_problems,
    name_others,
    parse_untrusted,
)
from farm.recipe.recipe import NOT_LOOK, list_values
from farm.recipe.versions import NEWEST, Version

FORMAT = 1  # of the file; a later one means something else
LEFT_OUT = "Left out, as no look has what belongs to its pictures"
# Settings that belong to the pictures that are chosen: never a look's, or not with each value.
OF_PICTURES = ("style_scale", "stroke_arrows", "blend", "init")
SETTINGS = tuple(name for name in Recipe.model_fields if name not in NOT_LOOK | {"version", "blend"})


@dataclass(frozen=True)
class Look:
    """A named manner."""

    # For people.
    name: str
    # What it sets: `version`, and of SETTINGS those that are not as that version has them by default.
    settings: dict[str, Any]

    @classmethod
    def from_recipe(cls, name: str, recipe: Recipe) -> Self:
        """Return the look of a recipe, whatever its size and effort, and without what is left out."""
        usual = _dump(Recipe.parse({"version": recipe.version}))
        differing = {name_: value for name_, value in _dump(recipe).items() if value != usual[name_]}
        return cls(name, {"version": recipe.version} | differing)

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read a look's file.

        Raises:
            InvalidInput: it is none, or of a newer version; names each field that is wrong.
        """
        check_json(text, "look")
        try:
            return cls.from_file(LookFile.model_validate_json(text))
        except ValidationError as error:
            raise InvalidInput(*_name_look(list_problems(error, "look"))) from None

    @classmethod
    def from_file(cls, file: LookFile) -> Self:
        """Return the look that a file holds.

        Raises:
            InvalidInput: a setting is wrong, of a newer version, or none of a look.
        """
        _check_settings(file.settings)
        recipe = parse_untrusted(Recipe, file.settings, "settings", within="settings.")
        if isinstance(recipe.style_scale, tuple):
            message = "has a size for each painting; a look, which knows none, has one for all"
            raise InvalidInput(Problem("settings.style_scale", message))
        if recipe.init == "picture":
            raise InvalidInput(Problem("settings.init", "is a picture of one's own, which no look has"))
        return cls.from_recipe(file.name, recipe)

    def to_file(self) -> LookFile:
        """Return the look as a file."""
        return LookFile(style_farm_look=FORMAT, name=self.name, settings=self.settings)

    @property
    def manner(self) -> dict[str, Any]:
        """All settings of a look, those that it leaves alone too, and `version`."""
        recipe = Recipe.parse(self.settings)
        return {"version": recipe.version} | _dump(recipe)

    def resolve(self, given: dict[str, Any]) -> Recipe:
        """Return the recipe of this look with other settings, which go before those of the look.

        Raises:
            InvalidInput: they make no recipe.
        """
        return Recipe.parse(self.settings | given)


class LookFile(Untrusted):
    """Look as a file, as it is sent and exported."""

    model_config = ConfigDict(extra="forbid")

    style_farm_look: int = Field(FORMAT, description="Version of this format.")
    name: str = Field(description="Of the look, for people.")
    settings: dict[str, Any] = Field(
        description="As in a recipe; what is left out is as `version` has it by default."
    )

    @field_validator("style_farm_look")
    @classmethod
    def _known_format(cls, format_version: int) -> int:
        if format_version > FORMAT:
            message = f"is {format_version}: the look is of a newer farm; this one reads up to {FORMAT}"
            raise InvalidInput(Problem("style_farm_look", message))
        if format_version < FORMAT:
            raise ValueError(f"must be {FORMAT}")
        return format_version


def list_left_out(recipe: Recipe) -> list[str]:
    """List the settings of a recipe that belong to its pictures, so that its look is without them: a
    weight and a size of strokes for each painting, arrows, and a start from a picture of one's own."""
    return [name for name in OF_PICTURES if _is_of_pictures(name, getattr(recipe, name))]


def _dump(recipe: Recipe) -> dict[str, Any]:
    """Return each of SETTINGS, those that a recipe leaves out of its JSON too."""
    usual = {name: Recipe.model_fields[name].default for name in SETTINGS}
    own = recipe.model_dump(mode="json", include=set(SETTINGS) - set(list_left_out(recipe)))
    if isinstance(own.get("style_scale"), list):  # of the same number for each painting
        own["style_scale"] = recipe.list_style_scales(len(own["style_scale"]))[0]
    return usual | own


def _is_of_pictures(name: str, value: Any) -> bool:
    """Check for a value of one of OF_PICTURES that means these pictures alone."""
    if name == "style_scale":
        return isinstance(value, tuple) and len(set(value)) > 1
    return bool(value == "picture") if name == "init" else bool(value)


def _name_look(problems: tuple[Problem, ...]) -> list[Problem]:
    """Return findings about a file that is no look in words of looks."""
    return [
        Problem(each.field, each.message.replace("a setting of a recipe", "a field of a look's file"))
        for each in problems
    ]


def _check_settings(settings: dict[str, Any]) -> None:
    """Check that these are settings of a look.

    Raises:
        InvalidInput: they are of a newer version, or others are among them.
    """
    version = settings.get("version", NEWEST)
    if not isinstance(version, str):
        message = f"must be text, such as {NEWEST}: whose defaults hold where the look says nothing"
        raise InvalidInput(Problem("settings.version", message))
    if version not in list_values(Version):
        known = ", ".join(list_values(Version))
        message = f"is {version[:LONGEST_NAME]}: the look is of a newer farm; this knows {known}"
        raise InvalidInput(Problem("settings.version", message))
    others = [
        f"settings.{name[:LONGEST_NAME]}" for name in settings if name not in (*SETTINGS, "version")
    ]
    if others:
        message = f"is nothing that a look of this version of the farm sets{name_others(others)}"
        raise InvalidInput(Problem(others[0], message))
