"""Balance of photograph and paintings, in stops: each to the right halves the photograph's weight.

The slider of the form and the axes of explorations count in stops; recipes hold the weight.
"""

from __future__ import annotations

import math

MAX_STOPS = 4  # the slider goes this far either way
STEP = 0.25  # of the slider


def compute_content_weight(default: float, stops: float) -> float:
    """Return the photograph's weight at this balance, to six digits.

    Args:
        default: its weight in the middle. stops: to the right of it, > 0: more painting.

    Raises:
        OverflowError: the weight is no number any more.
    """
    return float(f"{default * 2**-stops:.6g}")


def find_stops(weight: float, default: float) -> float | None:
    """Return the slider's stops for a photograph's weight, None if it has no such stop."""
    if weight <= 0:
        return None
    stops = round(-math.log2(weight / default) / STEP) * STEP
    if abs(stops) > MAX_STOPS:
        return None
    return stops if math.isclose(weight, compute_content_weight(default, stops), rel_tol=1e-4) else None


def list_content_weights(default: float) -> list[float]:
    """Return the photograph's weight at each place of the slider, from left to right."""
    count = round(MAX_STOPS / STEP)
    return [compute_content_weight(default, step * STEP) for step in range(-count, count + 1)]
