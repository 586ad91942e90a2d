"""Mean opinion scores with their uncertainty: arithmetic on stars, without the database.

A rater's bias is by how much their stars lie above the mean of the same pictures, over pictures that
others rated, too (as ITU-T P.913 takes it out); a score is the mean of stars less their raters' biases.
Its interval is Student's t on these values. Differs from P.913: a rater has a bias only from
`RATED_FOR_BIAS` pictures on, and as stars are whole numbers, their variance is at least that of
rounding: two equal opinions do not make a certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

STARS = range(1, 6)
RATED_FOR_BIAS = 3  # pictures that a rater shares with others, before a bias is taken out
CONFIDENCE = 0.95
ROUNDING_VARIANCE = 1 / 12  # of a number that was rounded to a whole one
T_QUANTILES = (12.706, 4.303, 3.182)  # two-sided, 95 %, for 1, 2 and 3 degrees of freedom


@dataclass(frozen=True)
class Score:
    """A mean opinion score, 1..5."""

    # None without ratings.
    mean: float | None = None
    # Number of ratings.
    count: int = 0
    # Ends of its 95 % interval; None below two ratings.
    low: float | None = None
    high: float | None = None

    @classmethod
    def compute(cls, values: Sequence[float]) -> Score:
        """Compute the score of stars from which their raters' biases were taken."""
        count = len(values)
        if not count:
            return cls()
        mean = fmean(values)
        if count == 1:
            return cls(_round_to_scale(mean), 1)
        error = math.sqrt(max(variance(values), ROUNDING_VARIANCE) / count)
        reach = compute_t_quantile(count - 1) * error
        ends = (_round_to_scale(mean - reach), _round_to_scale(mean + reach))
        return cls(_round_to_scale(mean), count, *ends)


def _round_to_scale(value: float) -> float:
    return round(min(max(value, STARS[0]), STARS[-1]), 2)


def compute_t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t: a table, then Cornish and Fisher's series around the
    normal one (Abramowitz and Stegun 26.7.5), which is right to 0.001 from 4 degrees of freedom on."""
    if freedom <= len(T_QUANTILES):
        return T_QUANTILES[freedom - 1]
    z, n = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), freedom
    terms = (
        (z**3 + z) / (4 * n),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4),
    )
    return z + sum(terms)
