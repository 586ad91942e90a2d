"""Problems of untrusted settings: pydantic's findings, each with its field and limit, for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from farm.errors import InvalidInput, Problem
from farm.recipe.json_limits import check_json

MAX_PROBLEMS = 20  # reported at once
MAX_OTHERS = 4  # of the same kind that are named
LONGEST_NAME = 80  # characters of what was sent that a message repeats
DEEPEST = 2  # lists or dictionaries within each other that a number is in
ONE, EACH = "(one)", "(each)"  # tags, which are part of no field's name
Parsed = TypeVar("Parsed", bound=BaseModel)


class Untrusted(BaseModel):
    """Model of values that clients send. JSON's true and false are no numbers in it, as they are to
    pydantic: true would be 1."""

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        if _is_for_numbers(cls, str(info.field_name)) and _has_boolean(value):
            raise ValueError("must be a number, not true or false")
        return value


@cache
def _is_for_numbers(model: type[BaseModel], field: str) -> bool:
    """Check that a field takes numbers, perhaps in lists or by names, and neither booleans nor models,
    which check their own fields."""
    kinds = set(_list_kinds(model.model_fields[field].annotation))
    models = any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)
    return not kinds.isdisjoint((int, float)) and bool not in kinds and not models


def _list_kinds(annotation: Any) -> Iterator[Any]:
    """Yield all types that an annotation is made of."""
    parts = get_args(annotation)
    if not parts:
        yield annotation if isinstance(annotation, type) else type(annotation)
    for part in parts:
        yield from _list_kinds(part)


def _has_boolean(value: Any, depth: int = DEEPEST) -> bool:
    """Check for a boolean in a value, or so deep in its lists and dictionaries."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return depth > 0 and any(_has_boolean(each, depth - 1) for each in value)
    return isinstance(value, bool)


def parse_untrusted(model: type[Parsed], values: Any, field: str, within: str = "") -> Parsed:
    """Validate untrusted values, a dictionary or JSON.

    Args:
        field: names the whole: JSON that is too large, or no object. within: stands before the names of
            fields that are wrong.

    Raises:
        InvalidInput: naming each field that is wrong and its limit.
    """
    try:
        if isinstance(values, str | bytes):
            check_json(values, field, list_longest(model))
            return model.model_validate_json(values)
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidInput(*list_problems(error, field, within)) from None


@cache
def list_longest(model: type[BaseModel]) -> dict[str, int]:
    """Return how many items the lists of a model may have, by their names, where there is a limit."""
    found = {}
    for name, info in model.model_fields.items():
        kinds = (info.annotation, *get_args(info.annotation))
        limits = [limit for each in info.metadata if (limit := getattr(each, "max_length", None))]
        if limits and any(get_origin(kind) in (list, tuple) for kind in kinds):
            found[name] = limits[0]
    return found


def list_problems(error: ValidationError, whole: str, within: str = "") -> tuple[Problem, ...]:
    """List pydantic's findings, one `Problem` for each kind, without its wording for programmers.

    Args:
        whole: names what was validated, where it is no object at all. within: stands before the names of
            its fields.
    """
    kinds: dict[tuple[str, str], list[ErrorDetails]] = {}
    found = error.errors(include_url=False)
    for item in found:
        if item["type"] != "too_short" or not _has_wrong_items(item, found):
            kinds.setdefault(_find_kind(item), []).append(item)
    return tuple(_describe_kind(items, whole, within) for items in list(kinds.values())[:MAX_PROBLEMS])


def _has_wrong_items(item: ErrorDetails, found: Sequence[ErrorDetails]) -> bool:
    """Check that a list is too short for pydantic, which counts good items alone, as some are wrong."""
    place = item["loc"]
    return any(len(each["loc"]) > len(place) and each["loc"][: len(place)] == place for each in found)


def _find_kind(item: ErrorDetails) -> tuple[str, str]:
    """Return what alike findings share: all unknown settings, or one fault in parts of one field."""
    if item["type"] == "extra_forbidden":
        return "", item["type"]
    return str(item["loc"][0]) if item["loc"] else "", item["type"]


def _describe_kind(items: list[ErrorDetails], whole: str, within: str) -> Problem:
    """Describe the first finding of a kind, and name some of the others."""
    item = items[0]
    field = _name_field(item)
    if item["type"] == "extra_forbidden":
        names = [within + _name_field(each) for each in items]
        return Problem(names[0], f"is not a setting of a recipe{name_others(names)}")
    own = item["msg"].startswith("Value error, ")
    message = item["msg"].removeprefix("Value error, ").replace(" after validation", "")
    if not field and not own:  # no JSON, or no object
        field, within = whole, ""
    if not field:  # from a model validator, which writes "field: message"
        field, _, message = message.partition(": ")
    message = message if own else message[:1].lower() + message[1:]
    if not own:
        message = re.sub(r"\btuple\b", "list", message, flags=re.IGNORECASE)  # Python's words
        message = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", message)
    given = item.get("input")
    if isinstance(given, int | float | str) and item["type"] != "json_invalid":
        shown = repr(given) if isinstance(given, str) else str(given)
        message += f" (got {shown[:LONGEST_NAME]})"
    return Problem(within + field, message)


def name_others(names: Sequence[str]) -> str:
    """Return `; nor hue, tint, ...`, the names after the first, some of them; "" where there is none."""
    others = ", ".join(names[1 : 1 + MAX_OTHERS])
    rest = ", ..." if len(names) > 1 + MAX_OTHERS else ""
    return f"; nor {others}{rest}" if others else ""


def _name_field(item: ErrorDetails) -> str:
    return ".".join(str(part)[:LONGEST_NAME] for part in item["loc"] if part not in (ONE, EACH))
