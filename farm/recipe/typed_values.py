"""Settings as a person types them: `relu1_1=1,relu2_1=0.5`, `200,100`; read, and written for forms."""

from __future__ import annotations

from typing import Any

from farm.counts import format_count


def parse_pairs(value: Any) -> Any:
    """Parse `"relu1_1=4,relu2_1"`, as it is typed, to `{"relu1_1": 4.0, "relu2_1": 1.0}`."""
    if not isinstance(value, str):
        return value
    pairs = (part.partition("=") for part in value.replace(" ", "").split(",") if part)
    return {name: weight or 1.0 for name, _, weight in pairs}


def parse_scales(value: Any) -> Any:
    """Parse `"1"` or `[1]` to the one number, and `"1,2"`, as it is typed, to `("1", "2")`."""
    if isinstance(value, str):
        value = [part for part in value.replace(" ", "").split(",") if part] or value
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def parse_arrows(value: Any) -> Any:
    """Parse `"0.1,0.5,0.9,0.5"`, as it is typed, to `(("0.1", "0.5", "0.9", "0.5"),)`."""
    if not isinstance(value, str):
        return () if value is None else value
    numbers = value.replace(",", " ").replace(";", " ").split()
    if len(numbers) % 4:
        raise ValueError(
            f"has {format_count(len(numbers), 'number')}; an arrow has four: from x,y to x,y"
        )
    return tuple(tuple(numbers[place : place + 4]) for place in range(0, len(numbers), 4))


def parse_numbers(value: Any) -> Any:
    """Parse `"200,100"` or `200`, as it is typed, to `(200, 100)` or `(200,)`; no value to None."""
    if isinstance(value, str):
        value = tuple(part for part in value.replace(" ", "").split(",") if part)
    return (value,) if isinstance(value, int | float) else value or None


def format_value(value: Any) -> str:
    """Format a setting as a person types it into the form: `relu1_1=1,relu2_1=0.5`, `200,100`."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join(f"{name}={format_value(weight)}" for name, weight in value.items())
    if isinstance(value, list | tuple):
        return ",".join(format_value(part) for part in value)
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
