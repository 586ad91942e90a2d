"""Limits and meanings of the fields of a job that a client sends, whichever way it sends them.

The form, the API's document and the command line read them from here. The recipe describes its own.
"""

from __future__ import annotations

import re

from farm.errors import InvalidInput, Problem

NAME_LENGTH = 120  # characters
NAME_MEANS = "Name in lists."
PRIORITIES = range(-100, 101)
PRIORITY_MEANS = "Higher goes first."
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")  # as in FARM_TAGS
TAG_MEANS = "Only workers that have this tag take the job."
WEBHOOK_MEANS = "An address that is told, by a POST of JSON, how the job ended."


def check_priority(priority: int) -> int:
    """Return a priority that is one.

    Raises:
        InvalidInput: it is too low or too high.
    """
    if priority not in PRIORITIES:
        raise InvalidInput(Problem("priority", f"must be between {PRIORITIES[0]} and {PRIORITIES[-1]}"))
    return priority
