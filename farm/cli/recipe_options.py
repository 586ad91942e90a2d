"""Options of commands that take a recipe: one for each of its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from farm.recipe import Recipe
from farm.recipe.recipe import format_value, list_values

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


def add_recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add one option for each field of `Recipe`; what is not given keeps the recipe's default."""
    for name, field in reversed(Recipe.model_fields.items()):
        words = list_values(field.annotation)
        kind: Any = click.Choice(words) if words and all(isinstance(w, str) for w in words) else str
        if name == "init":  # a picture's file, too
            kind = click.UNPROCESSED
        shown = "" if field.default is None else f"  [default: {format_value(field.default)}]"
        option = click.option(
            f"--{name.replace('_', '-')}",
            name,
            type=kind,
            help=f"{field.description}{shown}",
            metavar=f"[{'|'.join(words)}|FILE]" if name == "init" else None,
        )
        command = option(command)
    kept = click.option(
        "--recipe",
        type=EXISTING,
        help="A recipe in JSON, such as a job's page offers; other options change it.",
    )
    return kept(command)


def read_recipe(given: dict[str, Any]) -> Recipe:
    """Build the recipe from the options that were given.

    Raises:
        InvalidInput: with each setting that is wrong.
    """
    path: Path | None = given.pop("recipe")
    values = Recipe.parse(path.read_bytes()).model_dump(exclude_unset=True) if path else {}
    return Recipe.parse(values | {name: value for name, value in given.items() if value is not None})
