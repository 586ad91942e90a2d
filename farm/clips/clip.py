"""Facts about a clip, as its own process found them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.picture_sizes import Size


class Sound(enum.StrEnum):
    """Fate of a clip's sound in a film."""

    NONE = "none"  # the clip has none, or the format takes none
    COPIED = "copied"  # packet by packet, as it was
    ENCODED = "encoded"  # anew, because the format does not take the clip's own
    LOST = "lost"  # the clip has some that could not be read, at all or to its end


@dataclass(frozen=True)
class Clip:
    """A clip of somebody's: its frames as they are shown, upright and with square pixels."""

    # px, after rotation and pixel aspect.
    height: int
    width: int
    # When each frame is shown, s from the first one's; rising, and as exact as the file tells them.
    times: tuple[Fraction, ...]
    # When the last frame ends, s.
    duration: Fraction
    # Numbers of the frames that begin a shot; the first is 0.
    shots: tuple[int, ...] = (0,)
    # Whether it has sound.
    sound: bool = False

    @property
    def size(self) -> Size:
        """Height and width, px."""
        return self.height, self.width

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    def to_json(self) -> dict[str, Any]:
        """Return the clip as a row keeps it."""
        return {
            "height": self.height,
            "width": self.width,
            "times": [f"{time}" for time in self.times],
            "duration": f"{self.duration}",
            "shots": list(self.shots),
            "sound": self.sound,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Clip:
        """Read what `to_json` wrote."""
        return cls(
            row["height"],
            row["width"],
            tuple(Fraction(time) for time in row["times"]),
            Fraction(row["duration"]),
            tuple(row["shots"]),
            row["sound"],
        )
