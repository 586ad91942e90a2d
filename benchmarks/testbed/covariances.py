"""Covariances for roots, graded as features are and awkward: pairs of a painting's and a picture's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from farm.engine.roots import cut_factor, take_root_by_eigh, take_root_by_iteration


@dataclass(frozen=True)
class Case:
    """Features of a painting and of a picture, (positions, C) float64 each."""

    painting: Tensor
    picture: Tensor


def compare_roots(case: Case) -> tuple[float, float]:
    """Return the relative errors, by iteration against eigh, of the Gaussian style distance and of its
    gradient by the picture's features."""
    (T, t), (S, m) = _compute_moments(case.painting), _compute_moments(case.picture)
    L = cut_factor(T)[None]
    M = L.mT @ S[None] @ L
    found = []
    for take in (take_root_by_eigh, take_root_by_iteration):
        trace, inverse = take(M, L)
        loss = (m - t).square().sum() + S.trace() + T.trace() - 2 * trace[0]
        gradient = (case.picture - m) - (case.picture - m) @ inverse[0] + (m - t)
        found.append((float(loss), gradient))
    (expected, slope), (reached, at_features) = found
    apart = float((at_features - slope).norm() / slope.norm().clamp(min=1e-300))
    return abs(reached - expected) / max(abs(expected), 1e-300), apart


def _compute_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the covariance and the mean of features (positions, C)."""
    mean = x.mean(dim=0)
    return (x - mean).T @ (x - mean) / len(x), mean


def _draw(seed: int, positions: int, C: int, decay: float) -> Tensor:
    """Draw rectified features whose channels' deviations fall over `decay` orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    mixing = torch.eye(C, dtype=torch.float64) + draw(C, C) / (2 * C**0.5)
    return (draw(positions, C) * torch.logspace(0, -decay, C, dtype=torch.float64) @ mixing).relu()


def _make_graded(C: int, decay: float) -> Case:
    return Case(_draw(1, 4 * C, C, decay), _draw(2, 4 * C, C, decay))


def _make_with(channels: int, positions: tuple[int, int]) -> Case:
    return Case(_draw(3, positions[0], channels, 1), _draw(4, positions[1], channels, 1))


def _make_one_channel() -> Case:
    picture = torch.zeros(400, 128, dtype=torch.float64)
    picture[:, 5] = _draw(5, 400, 1, 0)[:, 0]
    return Case(_draw(6, 400, 128, 1), picture)


def _make_half_dead() -> Case:
    picture = _draw(7, 1000, 256, 1)
    picture[:, ::2] = 0
    return Case(_draw(8, 1000, 256, 1), picture)


def _make_apart() -> Case:
    painting, picture = _draw(9, 1000, 256, 1), _draw(10, 1000, 256, 1)
    painting[:, :128] = picture[:, 128:] = 0
    return Case(painting, picture)


def _make_near() -> Case:
    painting = _draw(11, 2000, 256, 1)
    return Case(painting, painting + 1e-2 * _draw(12, 2000, 256, 0))


def _make_scaled(factor: float) -> Case:
    return Case(factor * _draw(13, 1000, 128, 1), factor * _draw(14, 1000, 128, 2))


def _make_outlier() -> Case:
    loud = 100 * _draw(15, 1, 128, 0)
    return Case(_draw(16, 1000, 128, 1), torch.cat((_draw(17, 1000, 128, 1), loud)))


def _make_equal() -> Case:
    return Case(_draw(18, 400, 64, 1), torch.ones(100, 64, dtype=torch.float64))


def _make_flat_painting() -> Case:
    return Case(torch.ones(100, 64, dtype=torch.float64), _draw(19, 400, 64, 1))


CASES: dict[str, Callable[[], Case]] = {
    **{
        f"{C} channels over {decay} orders": partial(_make_graded, C, decay)
        for C in (64, 128, 256, 512)
        for decay in (0, 1, 2.2, 3)
    },
    "rank 3 of 512": partial(_make_with, 512, (2000, 4)),
    "a painting of rank 3": partial(_make_with, 512, (4, 2000)),
    "both of rank 3": partial(_make_with, 256, (4, 4)),
    "fewer positions than channels": partial(_make_with, 512, (40, 12)),
    "as many positions as channels": partial(_make_with, 256, (256, 256)),
    "one position": partial(_make_with, 64, (400, 1)),
    "all equal": _make_equal,
    "a painting of one colour": _make_flat_painting,
    "all zero but one": _make_one_channel,
    "every second channel dead": _make_half_dead,
    "nothing in common": _make_apart,
    "near": _make_near,
    "tiny": partial(_make_scaled, 1e-4),
    "huge": partial(_make_scaled, 1e4),
    "an outlier": _make_outlier,
}
