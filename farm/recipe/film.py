"""A film as parts: shots, anchors about every 24 frames, and the stretches between them.

Anchors of one shot are a chain, each held to the one before it; the stretches between them wait for
their own two anchors only, so that many workers paint one clip; at last one part joins everything.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from farm.errors import InvalidInput, Problem

SPACING = 24  # frames from anchor to anchor
_RANGE = re.compile(r"([0-9]{0,9}):([0-9]{0,9})")


class Role(enum.StrEnum):
    """What a part of a film does."""

    ANCHOR = "anchor"  # paints one frame, held to the anchor before it
    STRETCH = "stretch"  # paints the frames between two anchors, or after the last one of its shot
    JOIN = "join"  # joins all frames, and the clip's sound


@dataclass(frozen=True)
class Part:
    """A part of a film, which is a job of its own."""

    # Its place among the film's parts, from 0; parts it needs come before it.
    number: int
    role: Role
    # Numbers of the clip's frames that it paints, or joins, in their order.
    frames: tuple[int, ...]
    # Frames of other parts that it is held to, before its first and after its last; None: no such.
    before: int | None = None
    after: int | None = None
    # Numbers of the parts that must have succeeded before it can begin.
    needs: tuple[int, ...] = ()


def parse_range(text: str) -> tuple[int, int | None]:
    """Return the first frame of `A:B`, and the one behind the last; None: to the clip's end.

    Raises:
        InvalidInput: it is written otherwise.
    """
    found = _RANGE.fullmatch(text.strip())
    if not found:
        message = (
            f"must be such as 0:48, :48 or 48:, counted from 0, without the last (got {text[:40]!r})"
        )
        raise InvalidInput(Problem("frames", message))
    first, end = found.groups()
    return int(first or 0), int(end) if end else None


def select_frames(count: int, first: int = 0, end: int | None = None, every: int = 1) -> tuple[int, ...]:
    """Return the numbers of the frames that are painted, rising.

    Args:
        count: frames of the clip. first: the first one. end: the one behind the last; None: all.
        every: 2 paints each second one of them, and so on.

    Raises:
        InvalidInput: the clip has none of them.
    """
    stop = count if end is None else end
    if not first < stop <= count:
        message = f"must be within 0:{count}, which is the whole clip (got {first}:{stop})"
        raise InvalidInput(Problem("frames", message))
    if not 1 <= every <= stop - first:
        message = f"must be 1 to {stop - first}, as many frames as are chosen (got {every})"
        raise InvalidInput(Problem("every", message))
    return tuple(range(first, stop, every))


def plan_parts(shots: Sequence[int], frames: Sequence[int], spacing: int = SPACING) -> tuple[Part, ...]:
    """Return the parts of a film, in an order in which each comes after those it needs.

    Args:
        shots: numbers of the clip's frames that begin a shot.
        frames: numbers of the clip's frames that are painted, rising; at least one.
        spacing: frames from anchor to anchor, at least 1.
    """
    parts: list[Part] = []
    for shot in _cut(shots, frames):
        anchors: list[Part] = []
        for begin in range(0, len(shot), spacing):
            last = anchors[-1] if anchors else None
            anchor = Part(
                len(parts),
                Role.ANCHOR,
                (shot[begin],),
                before=last.frames[0] if last else None,
                needs=(last.number,) if last else (),
            )
            parts.append(anchor)
            if last and (between := tuple(shot[begin - spacing + 1 : begin])):
                both = (last.number, anchor.number)
                stretch = Part(len(parts), Role.STRETCH, between, last.frames[0], anchor.frames[0], both)
                parts.append(stretch)
            anchors.append(anchor)
        if rest := tuple(shot[(len(anchors) - 1) * spacing + 1 :]):
            last = anchors[-1]
            parts.append(Part(len(parts), Role.STRETCH, rest, last.frames[0], needs=(last.number,)))
    needs = tuple(part.number for part in parts)
    return (*parts, Part(len(parts), Role.JOIN, tuple(frames), needs=needs))


def _cut(shots: Sequence[int], frames: Sequence[int]) -> Iterator[list[int]]:
    """Yield the painted frames of each shot that has any."""
    ends = [*shots[1:], frames[-1] + 1]
    for begin, end in zip(shots, ends, strict=True):
        if found := [frame for frame in frames if begin <= frame < end]:
            yield found


def list_ready(parts: Sequence[Part], begun: Collection[int], done: Collection[int]) -> list[Part]:
    """Return the parts that can begin now.

    Args:
        begun: numbers of parts that have a job. done: of those whose job has succeeded.
    """
    return [
        part for part in parts if part.number not in begun and all(need in done for need in part.needs)
    ]
