"""The farm's own looks: a file each beside this one, and a picture each in `web/static/looks/`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import Field

from farm.looks.look import Look, LookFile

FOLDER = Path(__file__).resolve().parent
USUAL = "usual"  # the look of the defaults, shown first


@dataclass(frozen=True)
class BuiltIn:
    """A look that comes with the farm."""

    # As in addresses and on the command line.
    id: str
    # For people: what it does.
    words: str
    look: Look


class _File(LookFile):
    """A look's file with what it does."""

    words: str = Field(description="What it does, for people.")


@cache
def list_built_in() -> tuple[BuiltIn, ...]:
    """Return the farm's looks, the usual one first, then by name."""
    paths = sorted(FOLDER.glob("*.json"), key=lambda path: (path.stem != USUAL, path.stem))
    return tuple(_read(path) for path in paths)


def find_built_in(look_id: str) -> BuiltIn | None:
    """Return the farm's look of this id; None: there is none."""
    return next((each for each in list_built_in() if each.id == look_id), None)


def _read(path: Path) -> BuiltIn:
    file = _File.model_validate_json(path.read_bytes())
    return BuiltIn(path.stem, file.words, Look.from_file(file))
