"""Messages between a process that handles a clip and its parent; see `clip_process.py`."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.film_formats import FilmKind
    from farm.recipe.picture_sizes import Size


LOOK, READ, WRITE = b"L", b"R", b"W"  # requests
REQUEST = struct.Struct(">cIQ")  # one of these, bytes of the order, of the file
FRAME, NEXT, PUT = b"F", b"N", b"P"  # messages of the process, beside decoder_process's
POSITION = struct.Struct(">Q")  # of what is put into the film's file


@dataclass(frozen=True)
class Order:
    """A film that is asked for: the order of WRITE."""

    kind: FilmKind
    # Height and width of its frames, px.
    size: Size
    # When each is shown, s from the film's begin; rising, the first is 0.
    times: tuple[Fraction, ...]
    # When the last one ends.
    duration: Fraction
    # The part of the clip's sound that is wanted, s on the clip's clock; None: from its first packet, to
    # its last.
    begin: Fraction | None = None
    end: Fraction | None = None
    # Whether the clip has sound at all.
    sound: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "kind": self.kind,
            "size": list(self.size),
            "times": [str(time) for time in self.times],
            "duration": str(self.duration),
            "begin": None if self.begin is None else str(self.begin),
            "end": None if self.end is None else str(self.end),
            "sound": self.sound,
        }

    @classmethod
    def from_json(cls, order: dict[str, Any]) -> Order:
        """Read what `to_json` wrote."""
        begin, end = (
            None if order[name] is None else Fraction(order[name]) for name in ("begin", "end")
        )
        height, width = order["size"]
        times = tuple(Fraction(time) for time in order["times"])
        duration = Fraction(order["duration"])
        return cls(order["kind"], (height, width), times, duration, begin, end, order["sound"])
