"""Limits and meanings of the fields of a job that a client sends, whichever way it sends them.

The form, the API's document and the command line read them from here. The recipe describes its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import InvalidInput, OperatorsOnly, Problem

if TYPE_CHECKING:  # commands that only send requests do without the database
    from farm.people.visitors import Visitor

NAME_LENGTH = 120  # characters
NAME_MEANS = "Name in lists."
PRIORITIES = range(-100, 101)
FOR_OPERATORS = "priority: above 0 is for the farm's operators to give; ask one of them, or send 0."
PRIORITY_MEANS = "Higher goes first. Above 0 it is for operators to give, where there are accounts."
TAG_MEANS = "Only workers that have this tag take the job."
WEBHOOK_MEANS = "An address that is told, by a POST of JSON, how the job ended."


def check_priority(priority: int, visitor: Visitor) -> None:
    """Check a priority that a visitor asks for. Above 0 it would overtake what others sent, whatever
    their shares, so that is for operators.

    Raises:
        InvalidInput: it is too low or too high. OperatorsOnly: a user asks for one above 0.
    """
    if priority not in PRIORITIES:
        raise InvalidInput(Problem("priority", f"must be between {PRIORITIES[0]} and {PRIORITIES[-1]}"))
    if priority > 0 and not visitor.is_operator:
        raise OperatorsOnly(FOR_OPERATORS)
