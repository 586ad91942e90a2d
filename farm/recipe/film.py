"""A film as parts: shots, anchors about every 24 frames, and the stretches between them.

Anchors of one shot are a chain, each held to the one before it; the stretches between them wait for
their own two anchors only, so that many workers paint one clip; at last one part joins everything.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from farm.counts import format_count
from farm.errors import InvalidInput, Problem
from farm.recipe.problems import Untrusted, parse_untrusted
from farm.recipe.recipe import Recipe, Scales, Weight
from farm.recipe.typed_values import parse_numbers

SPACING = 24  # frames from anchor to anchor
HELD_SHARE = 25 / 60  # of each level's iterations, for a frame that begins from its neighbour
LONGEST_SPACING = 120  # of them; flow to the anchor ahead is held for each frame between, and strays
Regions = Literal["follow", "stay"]  # masks and what stays: go with what they are on, or rest
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


def count_whole_frames(part: Part, painted: Collection[int] = ()) -> float:
    """Return the work of a part in that of an anchor; joining is as good as none.

    Args:
        painted: numbers of the frames that are finished.
    """
    if part.role is Role.JOIN:
        return 0.0
    share = 1.0 if part.role is Role.ANCHOR else HELD_SHARE
    return share * sum(number not in painted for number in part.frames)


def shorten_iterations(recipe: Recipe) -> Recipe:
    """Return the recipe of a frame that begins from its neighbour: each level in fewer iterations.

    Coarse levels are for what was hidden, whose strokes would else be of the finest kind alone.
    """
    iterations = tuple(max(1, round(HELD_SHARE * each)) for each in recipe.level_iterations)
    return recipe.model_copy(update={"iterations": iterations})


FrameNumber = Annotated[int, Field(ge=0, le=10**9)]
Blend = Annotated[tuple[Weight, ...], BeforeValidator(parse_numbers)]


class Moving(Untrusted, BaseModel):
    """Settings that move over a film: values of a setting by the numbers of frames, its key frames.

    Between two of them a setting is on the straight line from one to the other; before the first and
    after the last it rests.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    content_weight: dict[FrameNumber, Weight] = {}
    style_weight: dict[FrameNumber, Weight] = {}
    style_scale: dict[FrameNumber, Scales] = {}
    blend: dict[FrameNumber, Blend] = {}

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if not all(self.style_weight.values()):
            raise ValueError("style_weight: must not be 0 at any frame")
        if not all(sum(weights) for weights in self.blend.values()):
            raise ValueError("blend: must not be 0 for each painting at any frame")
        return self

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Validate untrusted values, such as `{"blend": {"0": [1, 0], "48": [0, 1]}}`.

        Raises:
            InvalidInput: naming each field that is wrong and its limit.
        """
        return parse_untrusted(cls, values, "moving")

    def check_number_of_paintings(self, styles: int) -> None:
        """Check that what is listed for each painting goes with this many.

        Raises:
            InvalidInput: it does not, at some frame.
        """
        for name, keys in (("style_scale", self.style_scale), ("blend", self.blend)):
            for frame, value in keys.items():
                if isinstance(value, tuple) and len(value) != styles:
                    numbers = format_count(len(value), "number")
                    message = f"has {numbers} at frame {frame} for {format_count(styles, 'painting')}"
                    raise InvalidInput(Problem(name, message))

    def apply(self, recipe: Recipe, frame: int, styles: int) -> Recipe:
        """Return the recipe of a frame, of a film with so many paintings."""
        return recipe.model_copy(
            update={
                name: interpolate({k: _spread(name, v, styles) for k, v in keys.items()}, frame)
                for name in type(self).model_fields
                if (keys := getattr(self, name))
            }
        )


STILL = Moving()


def _spread(name: str, value: Any, styles: int) -> Any:
    """Return what is one number for all paintings as one for each, as others may be at other frames."""
    return (value,) * styles if name == "style_scale" and not isinstance(value, tuple) else value


def interpolate(keys: Mapping[int, Any], frame: int) -> Any:
    """Return a number, or a tuple of them, at a frame between key frames; at least one."""
    before = max((key for key in keys if key <= frame), default=min(keys))
    after = min((key for key in keys if key >= frame), default=max(keys))
    if before == after:
        return keys[before]
    share = (frame - before) / (after - before)
    one, other = keys[before], keys[after]
    if not isinstance(one, tuple):
        return one + share * (other - one)
    return tuple(a + share * (b - a) for a, b in zip(one, other, strict=True))
