"""A clip's frames as all of its readers give them out, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from farm.counts import format_count
from farm.errors import InvalidInput, Problem, TooLarge
from farm.pictures.decode import LONGEST_RATIO, LONGEST_SIDE, SHORTEST_SIDE
from farm.pictures.pixels import Pixels

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.picture_sizes import Size

LONGEST_WHY = 100  # characters of a library's own words


@dataclass(frozen=True)
class ClipLimits:
    """Limits of a clip."""

    frames: int
    # Of its length.
    seconds: float
    # Of a frame.
    megapixels: int


class Frame(Protocol):
    """A frame of a clip, as it is shown."""

    # When it is shown, s on the clip's own clock.
    time: Fraction
    # How long, s; 0: the file does not tell.
    seconds: Fraction

    def draw(self, size: Size) -> Pixels:
        """Draw it upright with square pixels, at a height and width: H x W x 3, uint8, sRGB."""

    def measure(self) -> Size:
        """Return height and width as it is shown, px."""


def check_frame_size(size: Size, megapixels: int) -> None:
    """Check height and width of a clip's frames, px.

    Raises:
        TooLarge, InvalidInput: a clip may not have this size.
    """
    height, width = size
    shown = f"has frames of {width} x {height} px"
    if height * width > megapixels * 1e6 or max(size) > LONGEST_SIDE:
        limit = format_count(megapixels, "megapixel")
        raise TooLarge(Problem("", f"{shown}; the limit is {limit}"))
    if min(size) < SHORTEST_SIDE:
        raise InvalidInput(Problem("", f"{shown}; they need at least {SHORTEST_SIDE} px a side"))
    if max(size) > LONGEST_RATIO * min(size):
        raise InvalidInput(Problem("", f"{shown}; sides may be 1 : {LONGEST_RATIO} at most"))


def describe(error: Exception) -> str:
    """Return what a library says of an error in few printable words; it may quote the file."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return "".join(char for char in text if char.isascii() and char.isprintable())[:LONGEST_WHY]
