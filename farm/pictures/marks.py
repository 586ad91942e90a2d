"""Marks of a map: where it marks anything, and where not all, a bit a place, to compare maps by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the process that decodes uploads needs no recipe
    from farm.recipe.picture_sizes import Size

LONGEST = 4096  # places along the longer side; a larger map has one for several pixels
ALL = 255  # of a map's levels
Places = NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True)
class Marks:
    """Marks of one map, packed."""

    # Height and width, places.
    size: Size
    # Places that have a pixel above 0, and those that have one below 255.
    any_packed: bytes
    open_packed: bytes

    @classmethod
    def from_levels(cls, levels: NDArray[np.uint8]) -> Self:
        """Return the marks of a map, (H, W)."""
        height, width = levels.shape
        step = find_step((height, width))
        found = (_reduce(places, step) for places in (levels > 0, levels < ALL))
        marked, left = (np.packbits(places).tobytes() for places in found)
        return cls(compute_places((height, width)), marked, left)

    @classmethod
    def from_bytes(cls, size: Size, packed: bytes) -> Self:
        """Return the marks of a map of this size, px, from `to_bytes`.

        Raises:
            ValueError: it has others.
        """
        places = compute_places(size)
        half = -(-math.prod(places) // 8)
        if len(packed) != 2 * half:
            raise ValueError(f"{len(packed)} bytes of marks")
        return cls(places, packed[:half], packed[half:])

    def to_bytes(self) -> bytes:
        """Return both, one behind the other."""
        return self.any_packed + self.open_packed

    @property
    def marks_any(self) -> Places:
        """Places where the map marks something."""
        return self._unpack(self.any_packed)

    @property
    def is_open(self) -> Places:
        """Places where the map does not mark all."""
        return self._unpack(self.open_packed)

    def _unpack(self, packed: bytes) -> Places:
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=math.prod(self.size))
        return bits.reshape(self.size).astype(bool)


def find_step(size: Size) -> int:
    """Return how many pixels of a map of this size have one place, along each side."""
    return -(-max(size) // LONGEST)


def compute_places(size: Size) -> Size:
    """Return height and width of the marks of a map of this size, px."""
    step = find_step(size)
    return -(-size[0] // step), -(-size[1] // step)


def _reduce(places: Places, step: int) -> Places:
    """Join `step` x `step` places to one, which has what any of them has."""
    if step == 1:
        return places
    for axis in (0, 1):
        places = np.logical_or.reduceat(places, range(0, places.shape[axis], step), axis)
    return places


def leave_nothing(masks: Sequence[Marks], keep: Marks) -> bool:
    """Check that all which masks mark, one at least, is what stays.

    Maps of two sizes are compared where their places overlap: what is in doubt is left to paint.
    """
    left = keep.is_open
    return not any((mask.marks_any & _spread(left, mask.size)).any() for mask in masks)


def _spread(places: Places, size: Size) -> Places:
    """Return at another size the places that overlap one of these."""
    for axis, wanted in enumerate(size):
        held = places.shape[axis]
        first = np.arange(wanted) * held // wanted
        last = (np.arange(1, wanted + 1) * held - 1) // wanted
        if held > wanted:  # from `first` on, before the next one's
            places = np.logical_or.reduceat(places, first, axis) | places.take(last, axis)
        else:
            places = places.take(first, axis) | places.take(last, axis)
    return places
