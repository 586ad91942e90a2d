"""Options of commands for files that steer a picture: masks, what stays, what it begins from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from farm.cli.recipe_options import EXISTING
from farm.cli.sent_files import Guides
from farm.errors import InvalidInput, Problem
from farm.recipe.recipe import Init, list_values


def add_guide_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--mask`, which is repeated, and `--keep`; `--init`, a recipe's setting, takes a file, too."""
    keep = click.option(
        "--keep", type=EXISTING, help="A picture: white where the photograph stays as it is."
    )
    masks = click.option(
        "--mask",
        "masks",
        type=EXISTING,
        multiple=True,
        help="A picture, once for each painting in their order: white where that painting paints.",
    )
    return masks(keep(command))


def read_guides(given: dict[str, Any]) -> Guides:
    """Take the files that were given out of the options; what is left of them is the recipe's.

    Raises:
        InvalidInput: the start is neither a setting nor a file.
    """
    masks, keep = given.pop("masks"), given.pop("keep")
    return Guides(tuple(masks), keep, _read_start(given))


def _read_start(given: dict[str, Any]) -> Path | None:
    text = given.get("init")
    words = list_values(Init)
    if text is None or text in words:
        return None
    if not Path(text).is_file():
        message = f"must be {', '.join(words)} or a picture's file (got {text!r})"
        raise InvalidInput(Problem("init", message))
    given["init"] = "picture"
    return Path(text)
