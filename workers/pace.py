"""Time left of a rendering, and how far off it may be, from what its iterations took so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

from farm.recipe.levels import Level


class Pace:
    """Time left, from what an iteration takes on each level.

    An iteration takes some time whatever its size and some for each pixel. How much of either shows with
    the second level; before it, both extremes are the ends of the spread. Beside that, other work comes
    and goes on a machine: times of reports near each other are alike, those far apart are not, so that
    the mean of a minute to come is less certain than that of an hour.
    """

    TILED = (
        1.1  # power of the pixels by which time grows at most: larger levels are worked through in tiles
    )
    POWER_OFF = 0.25  # how far off the power between two measured levels may be
    LEAST_MOST = 0.6  # power by which time may well grow, though it did not between small levels
    PREPARATION = (0.0, 3.0)  # iterations that the start of a level takes as long as: least, most
    FINISH = (0.0, 5.0)  # iterations that measuring the result takes as long as
    FINISH_SECONDS = 1.0  # how long storing it may well take
    USUAL_NOISE = 0.2  # by which reports differ, relative, before it is measured
    USUAL_COUNT = 6  # measurements that this guess is worth
    ALIKE_SECONDS = 60.0  # for which a machine stays as busy as it is
    SURE = 1.9  # standard errors; the first is itself a guess
    LEAST = 0.08  # how far off any guess may be, relative

    def __init__(self, schedule: Sequence[Level]) -> None:
        self._schedule = schedule
        self._level = 0
        self._seen: list[tuple[int, float]] = []  # iteration of this level, seconds
        self._took: dict[int, float] = {}  # seconds of an iteration by level
        self._squares = 0.0  # sum over reports, of the logarithm of their time to their level's mean
        self._reports = 0

    def add_sample(self, level: int, iteration: int, seconds: float) -> None:
        """Add an iteration of a level, both counted from 1, and the seconds since the start."""
        if level != self._level:
            self._level, self._seen = level, []
        if self._seen and level in self._took:
            self._add_noise(iteration, seconds)
        self._seen.append((iteration, seconds))
        (first, began), counted = self._seen[0], len(self._seen)
        if counted > 1:
            self._took[level] = (seconds - began) / max(iteration - first, 1)
        elif not self._took:
            self._took[level] = seconds / iteration

    def _add_noise(self, iteration: int, seconds: float) -> None:
        """Compare what came since the last report with the mean of the level."""
        last, before = self._seen[-1]
        took, usual = seconds - before, (iteration - last) * self._took[self._level]
        if took > 0 and usual > 0:
            self._squares += math.log(took / usual) ** 2
            self._reports += 1

    def estimate_left(self) -> tuple[float, float]:
        """Return the seconds to the end, and how many more or less they may well be."""
        here, later = self._schedule[self._level - 1], self._schedule[self._level :]
        to_go = float(max(here.iterations - self._seen[-1][0], 0))
        still = [(here, (to_go, to_go)), (self._schedule[-1], self.FINISH)]
        least, most = self.PREPARATION
        still += [(each, (each.iterations + least, each.iterations + most)) for each in later]
        ends = [
            [count * took for count, took in zip(counts, self._estimate_iteration(level), strict=True)]
            for level, counts in still
        ]
        least, most = (sum(column) for column in zip(*ends, strict=True))
        left = (least + most) / 2
        off = left * self._compute_error(left)
        return left, math.hypot((most - least) / 2, off) + self.FINISH_SECONDS

    def _estimate_iteration(self, level: Level) -> tuple[float, float]:
        """Return the least and the most seconds that an iteration of a level may well take."""
        known = self._level if self._level in self._took else max(self._took)
        took, pixels = self._took[known], self._schedule[known - 1].pixels
        growth = level.pixels / pixels
        before = max((number for number in self._took if number < known), default=None)
        if before is None:
            return took, took * growth**self.TILED
        took_before, pixels_before = self._took[before], self._schedule[before - 1].pixels
        gain = math.log(max(took / took_before, 1)) / math.log(pixels / pixels_before)
        power = min(gain, self.TILED)
        by_pixels = max(took - took_before, 0) / (pixels - pixels_before)
        linear = took + by_pixels * (level.pixels - pixels)
        most = max(linear, took * growth ** max(power + self.POWER_OFF, self.LEAST_MOST))
        return took * growth ** max(power - self.POWER_OFF, 0), min(most, took * growth**self.TILED)

    def _compute_error(self, left: float) -> float:
        """Return how far off the mean time of an iteration over the seconds left may be, relative to it:
        by the noise of the past that was watched, and by that of the time to come."""
        guessed = self.USUAL_COUNT * self.USUAL_NOISE**2
        variance = (guessed + self._squares) / (self.USUAL_COUNT + self._reports)
        watched = self._seen[-1][1] - self._seen[0][1]
        shares = sum(1 / (1 + seconds / self.ALIKE_SECONDS) for seconds in (watched, left))
        return max(self.SURE * math.sqrt(variance * shares), self.LEAST)
