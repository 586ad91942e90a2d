"""Attention: a content target that has the paintings' manner already, place by place.

AdaAttN (Liu et al. 2021, arXiv 2108.03647): each position of the photograph looks for like ones in the
painting. With z the features, each channel with mean 0 and variance 1 over its picture,

    A = softmax(z_photograph z_painting' / sqrt C),  M = A F,  S^2 = A F^2 - M^2
    target = S z_photograph + M

Differs from the paper: nothing is learned, so queries, keys and values are the features themselves; and
of a painting at most `KEYS` positions are looked at, spread evenly. With regions each place looks at its
own paintings alone, and where nobody paints the photograph's features stay. The target is fixed by the
pictures, so to the optimiser it is a content loss like any other, and exact in tiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from farm.engine.losses import SMALL, to_float32
from farm.engine.tiles import Region, Size

KEYS = 1024  # positions of a painting
AT_ONCE = 4096  # positions of the photograph


class Keys:
    """Features of a painting in one layer, at positions that are spread evenly over it.

    size: the layer's height and width.
    """

    def __init__(self, size: Size) -> None:
        H, W = size
        rows = min(H, max(1, round(math.sqrt(KEYS * H / W))))
        columns = min(W, KEYS // rows)
        self._rows, self._columns = _spread(rows, H), _spread(columns, W)
        self._features: Tensor | None = None

    def add(self, where: Region, features: Tensor) -> None:
        """Take those of a tile's features (h, w, C) that lie at the positions."""
        if self._features is None:
            size = len(self._rows), len(self._columns), features.shape[2]
            self._features = to_float32(features.new_empty(0)).new_empty(size)
        rows = [i for i, row in enumerate(self._rows) if where.top <= row < where.bottom]
        columns = [i for i, column in enumerate(self._columns) if where.left <= column < where.right]
        if rows and columns:
            tops = torch.tensor([self._rows[i] - where.top for i in rows], device=features.device)
            lefts = torch.tensor(
                [self._columns[i] - where.left for i in columns], device=features.device
            )
            part = features[tops][:, lefts]
            self._features[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = part

    @property
    def features(self) -> Tensor:
        """(at most `KEYS`, C), in float32 at least."""
        assert self._features is not None, "no tile was added"
        return self._features.flatten(0, 1)


def _spread(count: int, length: int) -> list[int]:
    """Spread positions evenly: `count` of 0 .. length - 1."""
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]


def attend(
    photograph: Tensor,
    keys: Sequence[Tensor],
    shares: Sequence[float | Tensor],
    opaque: Tensor | None = None,
) -> float:
    """Turn the photograph's features (H, W, C) into the target, in place.

    Args:
        keys: of each painting, (n, C). shares: of each, one number or (H, W); at a place they sum to 1
            at most, and what they leave is the photograph's.
        opaque: weights of the positions in what is returned, (H, W); None: 1.

    Returns:
        The sum of the target's squares.
    """
    flat = photograph.view(-1, photograph.shape[2])
    mean, deviation = _measure_channels(flat)
    normal = [_normalise(F, *_measure_channels(F)) for F in keys]
    energy = torch.zeros((), dtype=torch.float64, device=flat.device)
    seen = None if opaque is None else opaque.reshape(-1, 1)
    columns = [_broadcast(share, len(flat)).to(mean) for share in shares]  # (H W, 1) each
    for start in range(0, len(flat), AT_ONCE):
        band = flat[start : start + AT_ONCE]
        z = _normalise(to_float32(band), mean, deviation)
        found = to_float32(band) * (1 - sum(column[start : start + AT_ONCE] for column in columns))
        for column, k, F in zip(columns, normal, keys, strict=True):
            share = column[start : start + AT_ONCE]
            if share.any():
                found += share * _look(z, k, F)
        band.copy_(found)
        squares = found.square_()
        squares = squares if seen is None else squares * seen[start : start + AT_ONCE]
        energy += squares.sum(dtype=torch.float64)
    return float(energy)


def _broadcast(share: float | Tensor, positions: int) -> Tensor:
    """Return a share of all positions, (positions, 1), of a number or of a map (H, W)."""
    if isinstance(share, Tensor):
        return share.reshape(-1, 1)
    return torch.full((positions, 1), share, dtype=torch.float64)


def _look(z: Tensor, normal_keys: Tensor, F: Tensor) -> Tensor:
    """Return the target at positions z (n, C) by one painting's keys (m, C)."""
    A = torch.softmax(z @ normal_keys.T / math.sqrt(z.shape[1]), dim=1)  # (n, m)
    M = A @ F
    S = (A @ F.square() - M.square()).clamp_(min=0).sqrt_()
    return S.mul_(z).add_(M)


def _measure_channels(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of features (n, C), in float32 at least."""
    n, exact = len(flat), torch.promote_types(flat.dtype, torch.float32)
    total = torch.zeros(flat.shape[1], dtype=torch.float64, device=flat.device)
    square = torch.zeros_like(total)
    for band in torch.split(flat, AT_ONCE):
        total += band.to(exact).sum(dim=0)
        square += band.to(exact).square().sum(dim=0)
    mean = total / n
    variance = (square / n - mean.square()).clamp(min=0)
    return mean.to(exact), variance.sqrt().to(exact)


def _normalise(flat: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return features (n, C) with mean 0 and variance 1; 0 in channels that do not vary."""
    still = deviation <= 1e-4 * mean.abs() + SMALL
    return torch.where(still, 0, (flat - mean) / deviation.clamp(min=SMALL))
