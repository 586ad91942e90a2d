"""Options of commands that take a clip, beside those of its frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from farm.cli.sent_files import Guides
from farm.errors import InvalidInput, Problem
from farm.recipe.film import LONGEST_SPACING, SPACING, STILL, Moving, Regions, parse_range
from farm.recipe.recipe import list_values

OPTIONS = ("frames", "every", "spacing", "regions", "moving")
UNUSED = {  # settings of a picture that a film has no use for, and why
    "format": "is a picture's; the ending of --output chooses the film's",
    "grown_from": "is a picture's; give --size",
}


@dataclass(frozen=True)
class Choice:
    """The frames of a clip that become the film, and how they hang together."""

    # The first one, and the one behind the last; None: to the end.
    first: int = 0
    end: int | None = None
    # 2: each second one.
    every: int = 1
    # Frames from anchor to anchor.
    spacing: int = SPACING
    # Settings that move over the film.
    moving: Moving = STILL
    # Whether masks and what stays go with what they are on.
    regions: Regions = "follow"

    def to_json(self) -> dict[str, Any]:
        """Return it as the API takes it."""
        moving = self.moving.model_dump(mode="json", exclude_defaults=True)
        found = {"first": self.first, "end": self.end, "every": self.every, "spacing": self.spacing}
        return found | {"regions": self.regions, "moving": moving}


def add_film_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what is said of a film beside the settings of its frames."""
    options = (
        click.option(
            "--frames", metavar="A:B", help="Of a clip: frames from A on, before B; the first is 0."
        ),
        click.option("--every", type=int, help="Of a clip: 2 paints each second frame, and so on."),
        click.option(
            "--spacing",
            type=click.IntRange(1, LONGEST_SPACING),
            help=f"Of a clip: frames from anchor to anchor.  [default: {SPACING}]",
        ),
        click.option(
            "--regions",
            type=click.Choice(list_values(Regions)),
            help="Of a clip: masks and --keep go with what they are on, or stay.  [default: follow]",
        ),
        click.option(
            "--moving",
            metavar="JSON|FILE",
            help='Of a clip: settings that move, such as {"blend": {"0": [1, 0], "48": [0, 1]}}.',
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def read_choice(given: dict[str, Any]) -> Choice:
    """Take what was said of the film out of the options; what is left of them is the frames'.

    Raises:
        InvalidInput: something of it is wrong.
    """
    frames, every, spacing, regions, moving = (given.pop(name) for name in OPTIONS)
    first, end = parse_range(frames or ":")
    every, spacing = 1 if every is None else every, spacing or SPACING
    return Choice(first, end, every, spacing, read_moving(moving), regions or "follow")


def refuse_choice(given: dict[str, Any]) -> None:
    """Take the same out of the options of what is no clip.

    Raises:
        InvalidInput: some of it was given.
    """
    for name in OPTIONS:
        if given.pop(name) is not None:
            raise InvalidInput(Problem(name, "goes with a clip, and this is a photograph or a folder"))


def check_for_film(given: dict[str, Any], guides: Guides) -> None:
    """Check that nothing is asked for that films have not.

    Raises:
        InvalidInput: it is.
    """
    if guides.init:
        raise InvalidInput(Problem("init", "is a picture's; frames of a film begin from each other"))
    for name, reason in UNUSED.items():
        if given.get(name) is not None:
            raise InvalidInput(Problem(name, reason))


def read_moving(text: str | None) -> Moving:
    """Read settings that move, from JSON or its file.

    Raises:
        InvalidInput: they are none, or the file cannot be read.
    """
    try:
        if text and not text.lstrip().startswith("{"):
            text = Path(text).read_text()
        return Moving.parse(json.loads(text or "{}"))
    except OSError as error:
        message = f"must be JSON or its file; {text} cannot be read: {error.strerror}"
        raise InvalidInput(Problem("moving", message)) from error
    except ValueError as error:
        raise InvalidInput(Problem("moving", f"is no JSON: {error}")) from error
