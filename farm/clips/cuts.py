"""Cuts between the shots of a clip, found on small frames as they pass.

A cut changes both what is where and which colours there are, more than the frames around it change, and
for good. So a frame begins a shot if it differs from the one before it by DIFFERENCE of the range and by
RATIO times what is usual nearby (which spares fast movement), its colours are others by COLOURS (which
spares a pan), and what was before does not return with the next frame (which spares a flash of light).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from farm.pictures.pixels import Pixels

SMALL = (36, 64)  # height and width at which frames are compared
DIFFERENCE = 0.06  # mean absolute difference, of the range
RATIO = 3.0  # to the median of the frames nearby
NEARBY = 4  # frames to each side
COLOURS = 0.12  # share of pixels in other colours
BINS = 4  # of each channel
RETURN = 0.5  # of a flash's difference: what remains after it
SHORTEST = 4  # frames of a shot


class CutFinder:
    """Collects a clip's small frames' differences; `find` tells where shots begin."""

    def __init__(self) -> None:
        self._latest: list[Pixels] = []
        self._colours: NDArray[np.float64] | None = None
        self._differences = [0.0]
        self._changes = [0.0]
        self._returns = [1.0]

    def add(self, small: Pixels) -> None:
        """Take the next frame, of `SMALL` size, uint8."""
        colours = _count_colours(small)
        if self._latest:
            self._differences.append(_measure_difference(self._latest[-1], small))
            assert self._colours is not None
            self._changes.append(float(np.abs(colours - self._colours).sum()) / 2)
        if len(self._latest) == 2:  # of the frame between: whether all is as it was before it
            self._returns.append(_measure_difference(self._latest[0], small))
        self._latest = [*self._latest[-1:], small]
        self._colours = colours

    def find(self) -> tuple[int, ...]:
        """Return the numbers of the frames that begin a shot; the first is 0."""
        shots = [0]
        for number in range(1, len(self._differences)):
            if number - shots[-1] >= SHORTEST and self._is_cut(number):
                shots.append(number)
        return tuple(shots)

    def _is_cut(self, number: int) -> bool:
        difference = self._differences[number]
        begin, end = max(number - NEARBY, 1), number + NEARBY + 1
        near = self._differences[begin:number] + self._differences[number + 1 : end]
        usual = float(np.median(near)) if near else 0.0
        stands_out = difference >= max(DIFFERENCE, RATIO * usual)
        flashes = min(self._returns[number - 1 : number + 1]) < RETURN * difference
        return stands_out and self._changes[number] >= COLOURS and not flashes


def _measure_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean()) / 255


def _count_colours(small: Pixels) -> NDArray[np.float64]:
    """Return the share of pixels in each of BINS ** 3 colours."""
    red, green, blue = (small[..., channel].astype(np.intp) * BINS // 256 for channel in range(3))
    index = (red * BINS + green) * BINS + blue
    return np.bincount(index.ravel(), minlength=BINS**3) / index.size
