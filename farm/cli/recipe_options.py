"""Options of commands that take a recipe: one for each of its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from farm.errors import InvalidInput, Problem
from farm.looks.built_in import find_built_in, list_built_in
from farm.looks.look import Look
from farm.recipe import Recipe
from farm.recipe.problems import LONGEST_NAME
from farm.recipe.recipe import list_values
from farm.recipe.typed_values import format_value

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
FindLook = Callable[[str], Look]
MAX_SHOWN = 20  # names of looks in an error


Command = Callable[..., None]


def choose_recipe_options(
    without: Sequence[str] = (), usual: str = "", words: Mapping[str, str] = MappingProxyType({})
) -> Callable[[Command], Command]:
    """Return a decorator that adds one option for each field of `Recipe`; what is not given keeps the
    recipe's default.

    Args:
        without: fields that the command has no use for. usual: what the command takes in place of the
            recipe's defaults, in words. words: descriptions of fields that mean more to the command.
    """

    def add(command: Command) -> Command:
        for name, field in reversed(Recipe.model_fields.items()):
            if name not in without:
                shown = "" if field.default is None else format_value(field.default)
                default = f"  [default: {usual or shown}]" if usual or shown else ""
                text = words.get(name) or f"{field.description}{default}"
                command = _build_option(name, text)(command)
        kept = click.option(
            "--recipe",
            type=EXISTING,
            help="A recipe in JSON, such as a job's page offers; other options change it.",
        )
        look = click.option(
            "--look",
            metavar="NAME|FILE",
            help="A look, such as oil (`farm looks` lists them), or its file; other options change it.",
        )
        return kept(look(command))

    return add


def _build_option(name: str, text: str) -> Callable[[Command], Command]:
    words = list_values(Recipe.model_fields[name].annotation)
    kind: Any = click.Choice(words) if words and all(isinstance(w, str) for w in words) else str
    if name == "init":  # a picture's file, too
        kind = click.UNPROCESSED
    metavar = f"[{'|'.join(words)}|FILE]" if name == "init" else None
    return click.option(f"--{name.replace('_', '-')}", name, type=kind, help=text, metavar=metavar)


add_recipe_options = choose_recipe_options()


def read_recipe(given: dict[str, Any], ask_farm: FindLook | None = None) -> Recipe:
    """Build the recipe from the options: a recipe's file, a look over it, then what else was given.

    Args:
        ask_farm: finds a look that is neither the farm's own nor a file, or says which there are.

    Raises:
        InvalidInput: with each setting that is wrong.
    """
    path: Path | None = given.pop("recipe")
    values = Recipe.parse(path.read_bytes()).model_dump(exclude_unset=True) if path else {}
    if name := given.pop("look", None):
        values |= find_look(name, ask_farm).manner
    return Recipe.parse(values | {name: value for name, value in given.items() if value is not None})


def find_look(name: str, ask_farm: FindLook | None = None) -> Look:
    """Return the look of this name: one that comes with the farm, a file's, or one of a running farm.

    Raises:
        InvalidInput: there is none.
    """
    if known := find_built_in(name.lower()):
        return known.look
    if Path(name).suffix == ".json":
        return read_look_file(Path(name))
    if ask_farm:
        return ask_farm(name)
    message = "one saved on a farm is taken from the file that `farm looks show NAME` prints"
    raise InvalidInput(Problem("look", f"{describe_unknown(name, ())}; {message}"))


def describe_unknown(name: str, saved: Sequence[str]) -> str:
    """Return how a look of this name is none of the farm's nor of those that people saved."""
    shown = f", nor of those saved, {', '.join(saved[:MAX_SHOWN])}" if saved else ""
    rest = ", ... (`farm looks` lists them)" if len(saved) > MAX_SHOWN else ""
    own = ", ".join(each.id for each in list_built_in())
    return f"is none of {own}{shown}{rest}, nor a file.json (got {name[:LONGEST_NAME]!r})"


def read_look_file(path: Path) -> Look:
    """Read a look's file.

    Raises:
        InvalidInput: it cannot be read, or is none.
    """
    try:
        return Look.from_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(Problem("look", f"{path} cannot be read: {error.strerror}")) from error
