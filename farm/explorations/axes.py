"""The axes of a grid: settings in words, their usual values and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from farm.errors import InvalidInput, Problem
from farm.recipe import Recipe
from farm.recipe.balance import compute_content_weight
from farm.recipe.recipe import get_title

MAX_VALUES = 6  # along one axis
VALUES_MEAN = f"A list of up to {MAX_VALUES} values along the axis; the usual ones when left out."
ACROSS, DOWN = "balance", "style_scale"  # what varies where nothing else is asked for

AxisName = Literal["balance", "style_scale", "tv", "seed", "style_loss", "blend"]


@dataclass(frozen=True)
class Axis:
    """One side of a grid. Its representation is part of what versions 0.1 and 0.2 made digests of, by
    which their requests are known again."""

    # One of KINDS.
    name: str
    # For a person.
    title: str
    # For each step along the side.
    labels: tuple[str, ...]
    # Fields of the recipe at each step.
    settings: tuple[dict[str, Any], ...]
    # One of the axis' own for each step, such as stops or factors.
    values: tuple[float | str, ...] = field(repr=False)

    def rebuild(self, recipe: Recipe) -> Axis:
        """Return the same side around another recipe."""
        return axis(self.name, self.name, recipe, self.values)


@dataclass(frozen=True)
class _Kind:
    """A kind of axis."""

    # For a person.
    title: str
    # The usual ones.
    values: tuple[float | str, ...]
    # Describes a value.
    label: Callable[[Any], str]
    # Makes fields of a recipe of a value.
    setting: Callable[[Recipe, Any], dict[str, Any]]


def _describe_balance(stops: float) -> str:
    if not stops:
        return "in balance"
    much = "much more" if abs(stops) > MUCH_STOPS else "more"
    return f"{much} {'painting' if stops > 0 else 'photograph'}"


def _multiply_scales(recipe: Recipe, factor: float) -> float | list[float]:
    scales = recipe.style_scale
    return [each * factor for each in scales] if isinstance(scales, tuple) else scales * factor


MUCH_STOPS = 2  # of balance: four times the weight, or a quarter
KINDS: dict[str, _Kind] = {
    "balance": _Kind(
        "Balance",
        (-2.0, 0.0, 2.0),
        _describe_balance,
        lambda recipe, stops: {"content_weight": compute_content_weight(recipe.content_weight, stops)},
    ),
    "style_scale": _Kind(
        get_title("style_scale"),
        (0.5, 1.0, 2.0),
        lambda factor: f"strokes × {factor:g}",
        lambda recipe, factor: {"style_scale": _multiply_scales(recipe, factor)},
    ),
    "tv": _Kind(
        get_title("tv_weight"),
        (0.25, 1.0, 4.0),
        lambda factor: f"smoothness × {factor:g}",
        lambda recipe, factor: {"tv_weight": recipe.tv_weight * factor},
    ),
    "seed": _Kind(
        get_title("seed"),
        (0, 1, 2),
        lambda step: f"throw {step + 1:g}",
        lambda recipe, step: {"seed": recipe.seed + int(step), "init": "noise"},  # or all are alike
    ),
    "style_loss": _Kind(
        get_title("style_loss"),
        ("wasserstein", "gram"),
        str,
        lambda recipe, kind: {"style_loss": kind},
    ),
    "blend": _Kind(
        "Blend",
        (0.2, 0.5, 0.8),
        lambda share: f"{1 - share:.0%} of painting 1",
        lambda recipe, share: {"blend": (round(1 - share, 6), share)},
    ),
}


def axis(field: str, name: str, recipe: Recipe, values: Sequence[float | str] | None = None) -> Axis:
    """Return an axis around a recipe.

    Args:
        field: `across` or `down`, for messages. values: along it; None: the usual ones.

    Raises:
        InvalidInput: there is no such axis, or a value makes no recipe.
    """
    if name not in KINDS:
        raise InvalidInput(Problem(field, f"must be one of {', '.join(KINDS)} (got {name[:40]!r})"))
    kind = KINDS[name]
    taken = tuple(values or kind.values)
    if len(taken) > MAX_VALUES:
        raise InvalidInput(Problem(field, f"has {len(taken)} values; the limit is {MAX_VALUES}"))
    try:
        if any(isinstance(value, bool) for value in taken):
            raise TypeError("true is no number")
        if len(set(taken)) < len(taken):
            raise InvalidInput(Problem(field, "has the same value twice"))
        labels = _make_distinct([kind.label(value) for value in taken], taken)
        settings = tuple(kind.setting(recipe, value) for value in taken)
    except (TypeError, ValueError, OverflowError):
        wanted = "words" if isinstance(kind.values[0], str) else "numbers"
        raise InvalidInput(Problem(field, f"takes {wanted} as values of {kind.title}")) from None
    return Axis(name, kind.title, labels, settings, taken)


def _make_distinct(labels: Sequence[str], values: Sequence[float | str]) -> tuple[str, ...]:
    """Return the labels with the value beside each that occurs twice."""
    return tuple(
        f"{label} ({value})" if labels.count(label) > 1 else label
        for label, value in zip(labels, values, strict=True)
    )
