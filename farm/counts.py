"""Counts in words."""

from __future__ import annotations


def format_count(count: float, unit: str) -> str:
    """Return `1 frame`, `24 frames`, `1,200 frames`, `0.5 minutes`."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {unit}{'' if count == 1 else 's'}"
