"""Colours of whole pictures: the paintings' at the start, and those of a draft kept while it grows.

A rendering starts from the photograph in the paintings' colours, so that its first iterations need not
find them. And a picture has many arrangements of colours with the same statistics: a large one that
grows out of a draft would wander from the draft's to another, so the mean colours of a coarse grid of
patches are kept; all that is finer is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 8  # patches along each side
FINE = 512  # smaller patches, along each side
MAX_STRETCH = 4.0  # of a colour's distance from the mean; more would show the noise of a flat picture
PIXELS_AT_ONCE = 4 << 20  # in float64
QUANTISATION = 1 / 255**2  # variance that even a flat picture of 8 bits may have


def recolour(photograph: Tensor, paintings: Iterable[Tensor], shares: Sequence[float]) -> Tensor:
    """Return the photograph in the paintings' colours, (1, 3, H, W) in [0, 1].

    The linear map of colours that carries the mean and covariance of one Gaussian to another's and moves
    colours least: T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 (Pitie and Kokaram 2007, "The linear
    Monge-Kantorovitch linear colour mapping for example-based colour transfer", equation 17).

    Args:
        photograph, paintings: (1, 3, H, W) in [0, 1], any sizes; paintings are taken one by one.
        shares: one weight for each painting, summing to 1.
    """
    mean, A = colour_moments(photograph)
    moments = [colour_moments(painting) for painting in paintings]
    target = sum(share * m for share, (m, _) in zip(shares, moments, strict=True))
    B = sum(share * c for share, (_, c) in zip(shares, moments, strict=True))
    root = matrix_power(A, 0.5)
    inverse = matrix_power(A, -0.5)
    T = inverse @ matrix_power(root @ B @ root, 0.5) @ inverse
    stretch, axes = torch.linalg.eigh(T)
    T = axes @ torch.diag(stretch.clamp(max=MAX_STRETCH)) @ axes.T  # (3, 3)
    T, shift = (each.to(photograph) for each in (T, target - T @ mean))
    colours: Tensor = T @ photograph.flatten(2) + shift[:, None]  # (1, 3, H W)
    return colours.view_as(photograph).clamp_(0, 1)


def colour_moments(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (3,) and covariance (3, 3) of the colours of (1, 3, H, W), float64 on the CPU."""
    pixels = picture.shape[2] * picture.shape[3]
    nothing = torch.zeros(3).double()
    mean = sum((part.sum(dim=1) for part in _iterate_colours(picture)), start=nothing) / pixels
    covariance = QUANTISATION * torch.eye(3).double()
    for part in _iterate_colours(picture):
        centred = part - mean[:, None]
        covariance += centred @ centred.T / pixels
    return mean, covariance


def _iterate_colours(picture: Tensor) -> Iterator[Tensor]:
    """Yield the colours of (1, 3, H, W) in parts (3, n), float64 on the CPU."""
    colours = picture[0].flatten(1)
    for start in range(0, colours.shape[1], PIXELS_AT_ONCE):
        # Without what is not finite, for which the first iteration has a message.
        yield colours[:, start : start + PIXELS_AT_ONCE].cpu().double().nan_to_num(0, 0, 0)


def matrix_power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a symmetric positive definite matrix to a power."""
    values, vectors = torch.linalg.eigh(matrix)
    powers: Tensor = values.clamp(min=1e-12) ** exponent
    power: Tensor = vectors @ torch.diag(powers) @ vectors.T
    return power


def average_colours(picture: Tensor) -> Tensor:
    """Average the colours of a picture (1, 3, H, W) over a grid of patches: (1, 3, 8, 8)."""
    H, W = picture.shape[-2:]
    fine = (min(H, FINE), min(W, FINE))  # first, as float32 cannot add up a patch of 8K at once
    return F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(picture, fine), GRID)


def keep_colours(picture: Tensor, kept: Tensor) -> None:
    """Move a picture (1, 3, H, W) in [0, 1] smoothly to these mean colours (1, 3, 8, 8), in place."""
    apart = kept - average_colours(picture)
    size = picture.shape[-2:]
    picture += F.interpolate(apart, size=size, mode="bilinear", align_corners=False)
    picture.clamp_(0, 1)
