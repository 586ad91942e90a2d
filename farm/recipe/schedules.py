"""Schedules of iterations, one for each preset, and the levels' sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A preset's number of iterations on each level."""

    # On the first level.
    first: int
    # On the last one; the levels between are spaced geometrically, because an iteration costs in
    # proportion to the pixels and the large levels only refine what the small ones decided.
    last: int
    # A level's size over the one before.
    growth: float

    def compute_iterations(self, levels: int) -> tuple[int, ...]:
        """Return one number for each of `levels` levels."""
        if levels == 1:
            return (self.first,)
        ratio = (self.last / self.first) ** (1 / (levels - 1))
        return tuple(round(self.first * ratio**k) for k in range(levels))


# Chosen by measurement: docs/looks.md, from benchmarks/looks.py and benchmarks/presets.py.
PRESETS: dict[str, Schedule] = {
    "draft": Schedule(first=45, last=18, growth=math.sqrt(2)),
    "standard": Schedule(first=90, last=55, growth=math.sqrt(2)),
    "fine": Schedule(first=160, last=140, growth=math.sqrt(2)),
}
PRESETS_OF_0_1 = {
    "draft": Schedule(first=45, last=9, growth=math.sqrt(2)),
    "standard": Schedule(first=150, last=40, growth=math.sqrt(2)),
    "fine": Schedule(first=300, last=120, growth=math.sqrt(2)),
}


def space_levels(start: int, end: int, growth: float) -> list[int]:
    """Space longest sides from about `start` to exactly `end` px, each about `growth` times the last."""
    steps = max(0, round(math.log(end / start, growth))) if start < end else 0
    return [round(end / growth**k) for k in range(steps, -1, -1)]
