"""Names of jobs, and of the files that they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from farm.database.models import FILE_NAME_LENGTH
from farm.database.names import can_be_shown, has_visible
from farm.errors import InvalidInput, Problem
from farm.jobs.fields import NAME_LENGTH

UNTITLED = "Untitled"  # where nothing is known that could be a name


def clean_file_name(name: str | None) -> str | None:
    """Return a file's name without its folders, as it can be shown; None: there is none."""
    name = " ".join((name or "").replace("\\", "/").rpartition("/")[2].split())[-FILE_NAME_LENGTH:]
    return name if has_visible(name) and can_be_shown(name) else None


def derive_name(file_names: Sequence[str | None]) -> str:
    """Return a name for a job after its photograph's file, the first of these if it is known."""
    first = file_names[0] if file_names else None
    return PurePosixPath(first or "").stem[:NAME_LENGTH].strip() or UNTITLED


def check_name(name: str) -> str:
    """Return the name without needless blanks; empty if nothing of it can be seen.

    Raises:
        InvalidInput: it is too long, or cannot be shown.
    """
    name = " ".join(name.split())
    if not has_visible(name):
        return ""
    if not can_be_shown(name):
        raise InvalidInput(Problem("name", "has characters that cannot be shown"))
    if len(name) > NAME_LENGTH:
        raise InvalidInput(Problem("name", f"has {len(name)} characters; the limit is {NAME_LENGTH}"))
    return name
