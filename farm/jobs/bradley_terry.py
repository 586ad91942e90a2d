"""Ranks from choices between two: the model of Bradley and Terry (1952, doi 10.2307/2334029).

Item i is chosen over item j with probability 1 / (1 + exp(t_j - t_i)). The strengths t maximise the
likelihood of the choices, by Newton's method, and are given less their mean. Differs from the paper:
each item has also been chosen `PRIOR` times over one of strength 0, and lost to it as often. So items
that were never compared, or won always, stay finite. Hunter's MM algorithm (2004, doi
10.1214/aos/1079120141) finds the same, but as the prior alone holds the scale, after 20,000 of its
iterations 1000 choices of one item over another were still half way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

PRIOR = 0.5  # choices
TOLERANCE = 1e-9  # of a strength
LONGEST_STEP = 2.0  # of a strength, in one iteration; far from the maximum Newton's steps overshoot
MAX_ITERATIONS = 200


@dataclass(frozen=True)
class Strengths:
    """Strengths of K items, as natural logarithms: their mean is 0."""

    # (K,)
    logarithms: Floats
    # Standard errors (K,) of these differences from the mean, from the curvature of the likelihood with
    # the prior.
    errors: Floats


def fit(wins: Floats) -> Strengths:
    """Fit strengths to choices.

    Args:
        wins: (K, K), how often item i was chosen over item j.
    """
    t = np.zeros(len(wins))
    for _ in range(MAX_ITERATIONS):
        slope, information = _differentiate(wins, t)
        step = np.clip(np.linalg.solve(information, slope), -LONGEST_STEP, LONGEST_STEP)
        t += step
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            break
    centre = np.eye(len(t)) - 1 / max(1, len(t))
    covariance = centre @ np.linalg.inv(_differentiate(wins, t)[1]) @ centre
    return Strengths(centre @ t, np.sqrt(np.diag(covariance)))


def _differentiate(wins: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Return slope (K,) and negative curvature (K, K) of the log-likelihood with the prior."""
    games = wins + wins.T
    chances = _compute_chances(t[:, None] - t)  # (K, K), of i over j
    over_middling = _compute_chances(t)  # (K,)
    slope = (wins - games * chances).sum(axis=1) + PRIOR - 2 * PRIOR * over_middling
    shared = games * chances * (1 - chances)
    own = shared.sum(axis=1) + 2 * PRIOR * over_middling * (1 - over_middling)
    return slope, np.diag(own) - shared


def _compute_chances(differences: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-differences))
    return found
