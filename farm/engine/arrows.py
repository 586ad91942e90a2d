"""Arrows: directions of strokes that a person draws over the photograph.

At a position the directions of all arrows are averaged by the inverse fourth power of their distances
(Shepard 1968, "A two-dimensional interpolation function for irregularly-spaced data", doi
10.1145/800186.810616), as numbers with twice the angle, see `directions`. A distance is to an arrow's
nearest point, so beside an arrow its own direction holds along all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from farm.recipe.recipe import Arrow

NEAREST = 0.01  # of the longest side; arrows that are nearer count alike
REACH = 0.15  # of the longest side: so far from an arrow, the photograph's directions count as much


class Drawn(NamedTuple):
    """Directions between arrows, and where they are."""

    # (H, W) complex of magnitude 1, with twice the angle.
    directions: Tensor
    # How near each position is to its nearest arrow, (H, W), 1 on it to 0.
    nearness: Tensor


def draw_arrows(arrows: Sequence[Arrow], height: int, width: int) -> Drawn:
    """Find the directions between arrows, at least one, in a picture of (height, width)."""
    longest = max(height, width)
    y = ((torch.arange(height) + 0.5) / longest)[:, None]
    x = ((torch.arange(width) + 0.5) / longest)[None]
    whole = torch.zeros(height, width, dtype=torch.complex64)
    nearest = torch.full((height, width), torch.inf)
    for x0, y0, x1, y1 in arrows:
        start = complex(x0 * width, y0 * height) / longest
        way = complex(x1 * width, y1 * height) / longest - start
        along = ((x - start.real) * way.real + (y - start.imag) * way.imag) / abs(way) ** 2
        along = along.clamp(0, 1)  # (H, W), the nearest point's place
        across = x - start.real - along * way.real, y - start.imag - along * way.imag
        squared = across[0].square() + across[1].square()
        whole += (way / abs(way)) ** 2 / (squared + NEAREST**2).square()
        nearest = torch.minimum(nearest, squared)
    return Drawn(whole / whole.abs().clamp(min=1e-20), torch.exp2(-nearest / REACH**2))


def lay_over(drawn: Drawn, directions: Tensor) -> Tensor:
    """Return the directions (H, W) complex of the arrows near them, and beyond these the given ones."""
    given = directions / directions.abs().clamp(min=1e-20)
    return drawn.nearness * drawn.directions + (1 - drawn.nearness) * given
