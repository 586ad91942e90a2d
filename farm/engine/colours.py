"""Colours of whole pictures: the paintings' at the start, the photograph's kept, a draft's kept.

A rendering starts from the photograph in the paintings' colours, so that its first iterations need not
find them. Where the photograph's colours are to stay (recipe: `colour`), either the paintings' colours
are moved to the photograph's before anything is computed from them, and the finished picture's once
more, exactly; or the finished picture keeps its lightness and takes the photograph's a and b of Lab
(Gatys et al. 2016, arXiv 1606.05897). Differs from Gatys et al.: the first map is the
one that moves colours least, and the second paints with the paintings in colours.

And a picture has many arrangements of colours with the same statistics: a large one that grows out of a
draft would wander from the draft's to another, so the mean colours of a coarse grid of patches are
kept; all that is finer is free.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.lab import convert_from_lab, convert_to_lab
from farm.engine.pyramid import resize

GRID = 8  # patches along each side
DRAFT_BLUR = (
    1.0  # px of a draft, standard deviation: what is finer is free where it grows from its pixels
)
FINE = 512  # smaller patches, along each side
MAX_STRETCH = 4.0  # of a colour's distance from the mean; more would show the noise of a flat picture
PIXELS_AT_ONCE = 1 << 18  # mapped or measured: some 20 MB, which no plan need count
MATCHES = 4  # of colours to a mean and covariance
INSIDE = 128  # from this weight on, the colours of a pixel are a region's
QUANTISATION = 1 / 255**2  # variance that even a flat picture of 8 bits may have


class Gaussian(NamedTuple):
    """The Gaussian of a picture's colours, float64 on the CPU."""

    # (3,)
    mean: Tensor
    # (3, 3)
    covariance: Tensor


@dataclass(frozen=True)
class ColourMap:
    """A linear map of colours, c -> matrix c + shift, float64 on the CPU."""

    # (3, 3), symmetric and positive.
    matrix: Tensor
    # (3,)
    shift: Tensor

    @classmethod
    def from_gaussians(
        cls, source: Gaussian, target: Gaussian, max_stretch: float = MAX_STRETCH
    ) -> ColourMap:
        """Return the map that carries one Gaussian to another's and moves colours least, the Monge map.

        T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 (Pitie and Kokaram 2007, "The linear Monge-Kantorovitch
        linear colour mapping for example-based colour transfer", equation 17).

        Args:
            max_stretch: of a colour's distance from the mean, at most.
        """
        A, B = source.covariance, target.covariance
        root, inverse = matrix_power(A, 0.5), matrix_power(A, -0.5)
        T = inverse @ matrix_power(root @ B @ root, 0.5) @ inverse
        stretch, axes = torch.linalg.eigh(T)
        T = axes @ torch.diag(stretch.clamp(max=max_stretch)) @ axes.T
        return cls(T, target.mean - T @ source.mean)

    def weaken(self, strength: float) -> ColourMap:
        """Return the map that moves each colour a share of the way, 0..1, that this one does."""
        matrix = torch.lerp(torch.eye(3, dtype=torch.float64), self.matrix, strength)
        return ColourMap(matrix, strength * self.shift)

    def carry(self, source: Gaussian) -> Gaussian:
        """Return the Gaussian of colours that were mapped."""
        matrix = self.matrix
        return Gaussian(matrix @ source.mean + self.shift, matrix @ source.covariance @ matrix.T)

    def apply_(self, picture: Tensor) -> Tensor:
        """Map the colours of a contiguous (1, 3, H, W) in place, limited to [0, 1]; return it."""
        matrix, shift = self.matrix.to(picture), self.shift.to(picture)
        colours = picture.view(3, -1)
        for start in range(0, colours.shape[1], PIXELS_AT_ONCE):
            part = colours[:, start : start + PIXELS_AT_ONCE]
            part.copy_((matrix @ part).add_(shift[:, None]).clamp_(0, 1))
        return picture


def recolour(photograph: Tensor, paintings: Iterable[Tensor], shares: Sequence[float]) -> Tensor:
    """Return the photograph in the paintings' colours, (1, 3, H, W) in [0, 1].

    Args:
        photograph, paintings: (1, 3, H, W) in [0, 1], any sizes; paintings are taken one by one.
        shares: one weight for each painting, summing to 1.
    """
    target = blend_colours(map(measure_colours, paintings), shares)
    mapping = ColourMap.from_gaussians(measure_colours(photograph), target)
    return mapping.apply_(photograph.clone(memory_format=torch.contiguous_format))


def recolour_regions(photograph: Tensor, paintings: Iterable[Tensor], regions: Tensor) -> Tensor:
    """Return the photograph with each region in its painting's colours, (1, 3, H, W) in [0, 1].

    Args:
        photograph, paintings: see `recolour`. regions: (paintings, H, W) uint8, together 255 at most;
            what is in none stays as it is.
    """
    found = photograph.clone(memory_format=torch.contiguous_format)
    for painting, weights in zip(paintings, regions, strict=True):
        inside = weights >= INSIDE
        if not inside.any():
            continue
        colours = measure_colours(photograph[:, :, inside][:, :, None])
        mapping = ColourMap.from_gaussians(colours, measure_colours(painting))
        recoloured = mapping.apply_(photograph.clone(memory_format=torch.contiguous_format))
        found += (recoloured - photograph) * (weights / 255)
    return found.clamp_(0, 1)


def take_colours(painting: Tensor, photograph: Gaussian, strength: float) -> None:
    """Move a painting's colours, (1, 3, H, W) in [0, 1], to the photograph's, in place; strength: the
    share of the way, 0..1."""
    mapping = ColourMap.from_gaussians(measure_colours(painting), photograph)
    mapping.weaken(strength).apply_(painting)


def match_colours(picture: Tensor, target: Gaussian) -> None:
    """Move a picture's colours (1, 3, H, W) in [0, 1] to a mean and covariance, in place.

    What a map carries beyond [0, 1] is cut off, which moves both again; so it is done several times.
    """
    for _ in range(MATCHES):
        ColourMap.from_gaussians(measure_colours(picture), target).apply_(picture)


def interpolate_colours(painting: Gaussian, photograph: Gaussian, strength: float) -> Gaussian:
    """Return the Gaussian on the way from a painting's to the photograph's, at a share of it, 0..1."""
    whole = ColourMap.from_gaussians(painting, photograph, max_stretch=math.inf)
    return whole.weaken(strength).carry(painting)


def paint_lightness(picture: Tensor, photograph: Tensor, strength: float) -> None:
    """Give a picture (1, 3, H, W) in [0, 1] the photograph's a and b of Lab, in place.

    Args:
        photograph: (1, 3, H, W) in [0, 1], of the same size, on any device.
        strength: 0..1; below 1 the picture's own a and b have the rest.
    """
    ours, theirs = (each.view(3, -1) for each in (picture, photograph))
    for start in range(0, ours.shape[1], PIXELS_AT_ONCE):
        where = slice(start, start + PIXELS_AT_ONCE)
        lab = convert_to_lab(ours[:, where])
        wanted = convert_to_lab(theirs[:, where].to(picture))
        lab[1:].lerp_(wanted[1:], strength)
        ours[:, where] = convert_from_lab(lab).clamp_(0, 1)


def blend_colours(paintings: Iterable[Gaussian], shares: Sequence[float]) -> Gaussian:
    """Return the mean of Gaussians, each with its share, summing to 1."""
    mean, covariance = torch.zeros(3).double(), torch.zeros(3, 3).double()
    for share, each in zip(shares, paintings, strict=True):
        mean += share * each.mean
        covariance += share * each.covariance
    return Gaussian(mean, covariance)


def measure_colours(picture: Tensor) -> Gaussian:
    """Measure the colours of (1, 3, H, W), floats in [0, 1] or bytes."""
    pixels = picture.shape[2] * picture.shape[3]
    mean, covariance = torch.zeros(3).double(), QUANTISATION * torch.eye(3).double()
    for part in _iterate_colours(picture):
        mean += part.sum(dim=1).cpu() / pixels
    for part in _iterate_colours(picture):
        centred = part - mean.to(part)[:, None]
        covariance += (centred @ centred.T).cpu() / pixels
    return Gaussian(mean, covariance)


def _iterate_colours(picture: Tensor) -> Iterator[Tensor]:
    """Yield the colours of (1, 3, H, W) in parts (3, n), float64."""
    colours = picture[0].flatten(1)
    white = 255 if picture.dtype == torch.uint8 else 1
    for start in range(0, colours.shape[1], PIXELS_AT_ONCE):
        part = colours[:, start : start + PIXELS_AT_ONCE].double() / white
        # Without what is not finite, for which the first iteration has a message.
        yield part.nan_to_num_(0, 0, 0)


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
    """Move a picture (1, 3, H, W) in [0, 1] smoothly to what is kept, in place.

    Args:
        kept: mean colours of patches, (1, 3, 8, 8), or a draft, (1, 3, h, w), of which all but the
            finest detail is kept: compared at its size, and the difference blurred.
    """
    size, grid = picture.shape[-2:], kept.shape[-2:]
    if grid == (GRID, GRID):
        apart, mode = kept - average_colours(picture), "bilinear"
    else:
        apart, mode = _blur(kept - resize(picture, *grid)), "bicubic"
    picture += F.interpolate(apart, size=size, mode=mode, align_corners=False)
    picture.clamp_(0, 1)


def _blur(picture: Tensor) -> Tensor:
    """Blur (1, 3, h, w) by a Gaussian, the border repeated."""
    reach = math.ceil(3 * DRAFT_BLUR)
    steps = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    kernel = torch.softmax(-(steps**2) / (2 * DRAFT_BLUR**2), dim=0).expand(3, 1, 1, -1)
    wide = F.pad(picture, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel, groups=3), kernel.mT, groups=3)
