"""Directions: strokes that run along the photograph's edges, or along arrows.

Each painting is turned `DIRECTIONS` ways, and each position of the photograph goes to the copies whose
strokes run as its edges do: to the two nearest directions, by how near they are. The directions are
those of the structure tensor (Bigun and Granlund 1987, "Optimal orientation detection of linear
symmetry"), the products of derivatives averaged over a neighbourhood, as painterly filters use it
(Kyprianidis and Doellner 2008, doi 10.2312/LocalChapterEvents/TPCG/TPCG08/051-058).

- A direction is an angle from the x axis towards the y axis, which points down: pi / 4 runs to the lower
  right. Strokes have no beginning, so it counts modulo pi; the numbers here have twice its angle.
- Where the photograph has no direction of its own, that of its surroundings counts, however far they
  are; one of a single colour has none at all, and its strokes lie level.
- A copy is turned by its direction less the painting's own, to which strong strokes contribute more. It
  has the painting's area, and where it would show what is beyond it, the painting is mirrored, so that
  no colour is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.arrows import draw_arrows, lay_over
from farm.engine.pyramid import resize
from farm.recipe import Recipe
from farm.recipe.picture_sizes import DIRECTIONS, Size, compute_turned_size

STEP = math.pi / DIRECTIONS  # between two directions
LONGEST = 512  # px, of the pictures whose directions are found
BEFORE = 1.0  # px, the blur before derivatives are taken
NEIGHBOURHOOD = 1 / 40  # of the longest side, the averages' standard deviation
WIDER = 4  # neighbourhoods, each twice as wide as the one before
FADING = 0.01  # weight of each over the one before; it decides only where that has next to nothing
ROWS = 64  # of a copy that are turned at once


class Directed(NamedTuple):
    """Recipe and paintings as a rendering compares them, and where they paint."""

    # With blend and scale for each copy.
    recipe: Recipe
    # (1, 3, H, W) on the CPU: `DIRECTIONS` copies of the first painting, then of the second ..; or the
    # paintings as they are, if strokes are free.
    paintings: list[Tensor]
    # How near each position is to each direction, (H, W) uint8 adding up to 255. None: strokes are free.
    bins: tuple[Tensor, ...] = ()


def direct(recipe: Recipe, photograph: Tensor, paintings: list[Tensor]) -> Directed:
    """Turn the paintings so that their strokes follow photograph or arrows, if the recipe asks for that.

    Args:
        photograph, paintings: (1, 3, H, W) on the CPU, floats in [0, 1] or bytes.
    """
    if not recipe.directs_strokes:
        return Directed(recipe, paintings)
    size = (photograph.shape[2], photograph.shape[3])
    scales = recipe.list_style_scales(len(paintings))
    copies: list[Tensor] = []
    for painting, scale in zip(paintings, scales, strict=True):
        held = compute_turned_size(recipe, size, (painting.shape[2], painting.shape[3]), scale)
        copies += turn_all(painting, held)
    blend = recipe.normalise_blend(len(paintings))
    for_copies = {"blend": _repeat(blend), "style_scale": _repeat(scales)}
    bins = make_bins(find_strokes(recipe, photograph))
    return Directed(recipe.model_copy(update=for_copies), copies, bins)


def _repeat(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(value for value in values for _ in range(DIRECTIONS))


def find_strokes(recipe: Recipe, photograph: Tensor) -> Tensor:
    """Find the directions that strokes are to have: those of the recipe's arrows, of the photograph
    (1, 3, H, W), or beyond the arrows the photograph's; (H', W') complex, at most `LONGEST` px."""
    if not recipe.stroke_arrows:
        return find_directions(photograph)
    drawn = draw_arrows(recipe.stroke_arrows, *_fit(photograph))
    if recipe.stroke_direction != "photograph":
        return drawn.directions
    return lay_over(drawn, find_directions(photograph))


def find_directions(picture: Tensor) -> Tensor:
    """Find the directions of a picture (1, 3, H, W): (H', W') complex, at most `LONGEST` px.

    A number's angle is twice the direction, its magnitude the coherence: 1 where all edges around run
    alike, 0 where they run everywhere or there are none at all.
    """
    products = _multiply_derivatives(picture)
    sigma, tensor = NEIGHBOURHOOD * max(products.shape[-2:]), torch.zeros_like(products)
    for wider in range(WIDER):
        tensor += FADING**wider * blur(products, sigma * 2**wider)
    tensor += FADING**WIDER * products.mean(dim=(2, 3), keepdim=True)
    real, imaginary, energy = tensor[:, 0]
    directions: Tensor = torch.complex(real, imaginary) / energy.clamp(min=1e-20)
    return directions


def find_own_direction(painting: Tensor) -> float:
    """Find the direction that most of a painting's (1, 3, H, W) strokes have, from -pi / 2 to pi / 2."""
    real, imaginary, _ = _multiply_derivatives(painting).double().mean(dim=(1, 2, 3)).tolist()
    return math.atan2(imaginary, real) / 2


def _multiply_derivatives(picture: Tensor) -> Tensor:
    """Return what structure tensors are averages of: (3, 1, H', W'), real and imaginary part of numbers
    with twice the angle along edges, and their sum of squares."""
    small = resize(picture, *_fit(picture))
    small = blur(small.float().clamp(0, 1), BEFORE)
    x, y = _differentiate(small), _differentiate(small.mT).mT  # (1, 3, H', W') each
    products = torch.cat((y * y - x * x, -2 * x * y, x * x + y * y))
    return products.sum(dim=1, keepdim=True)  # over colours


def _fit(picture: Tensor) -> Size:
    """Return the size of a picture (1, 3, H, W), at most `LONGEST` px."""
    H, W = picture.shape[-2:]
    shrink = min(1.0, LONGEST / max(H, W))
    return max(1, round(H * shrink)), max(1, round(W * shrink))


def _differentiate(picture: Tensor) -> Tensor:
    """Return the central differences of (N, C, H, W) from left to right, half of them at the border."""
    padded = F.pad(picture, (1, 1, 0, 0), mode="replicate")
    return (padded[..., 2:] - padded[..., :-2]) / 2


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Blur (N, C, H, W) by a Gaussian of `sigma` px, beyond whose border it goes on as it ends."""
    N, C, H, W = picture.shape
    radius = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-radius, radius + 1).square() / (2 * sigma**2))
    kernel /= kernel.sum()
    planes = picture.reshape(N * C, 1, H, W)
    for shape, margin in (((1, -1), (radius, radius, 0, 0)), ((-1, 1), (0, 0, radius, radius))):
        planes = F.conv2d(F.pad(planes, margin, mode="replicate"), kernel.view(1, 1, *shape))
    return planes.view(N, C, H, W)


def make_bins(directions: Tensor) -> tuple[Tensor, ...]:
    """Share positions (H, W) complex out among the directions 0, `STEP` ..: (H, W) uint8 each, which add
    up to 255."""
    places = directions.angle() / 2 / STEP % DIRECTIONS
    below = places.floor()
    above = ((places - below) * 255).round()
    first, second = below.long() % DIRECTIONS, (below.long() + 1) % DIRECTIONS
    return tuple(
        (torch.where(first == k, 255 - above, 0) + torch.where(second == k, above, 0)).to(torch.uint8)
        for k in range(DIRECTIONS)
    )


def turn_all(painting: Tensor, size: Size) -> list[Tensor]:
    """Return copies of a painting (1, 3, H, W) whose strokes run in the directions 0, `STEP` ..; bytes.

    size: to which the painting is resized before it is turned.
    """
    own = find_own_direction(painting)
    angles = [_shorten(number * STEP - own) for number in range(DIRECTIONS)]
    copies = [torch.empty(1, 3, *_fit_turned(size, angle), dtype=torch.uint8) for angle in angles]
    for channel in range(3):  # one by one, so that little is held in floats
        plane = resize(painting[:, channel : channel + 1], *size).float()
        for copy, angle in zip(copies, angles, strict=True):
            _turn_into(copy[:, channel : channel + 1], plane, angle)
    return copies


def _shorten(angle: float) -> float:
    """Return the smaller of the two turns to the same direction, from -pi / 2 to pi / 2."""
    return (angle + math.pi / 2) % math.pi - math.pi / 2


def _fit_turned(size: Size, angle: float) -> Size:
    """Return the size of the rectangle around a turned picture, made smaller to the picture's area."""
    (H, W), c, s = size, abs(math.cos(angle)), abs(math.sin(angle))
    around = H * c + W * s, H * s + W * c
    factor = math.sqrt(H * W / (around[0] * around[1]))
    return max(1, round(around[0] * factor)), max(1, round(around[1] * factor))


def _turn_into(turned: Tensor, plane: Tensor, angle: float) -> None:
    """Fill (1, 1, H', W') bytes with a plane (1, 1, H, W) in [0, 1], turned about its middle."""
    (H, W), (rows, columns) = plane.shape[-2:], turned.shape[-2:]
    c, s = math.cos(angle), math.sin(angle)
    x = torch.arange(columns) - (columns - 1) / 2
    for top in range(0, rows, ROWS):
        y = (torch.arange(top, min(rows, top + ROWS)) - (rows - 1) / 2)[:, None]
        grid = torch.stack(((c * x + s * y) * 2 / W, (c * y - s * x) * 2 / H), dim=-1)[None]
        found = F.grid_sample(plane, grid, "bicubic", "reflection", align_corners=False)
        turned[:, :, top : top + ROWS] = (found * 255).round_().clamp_(0, 255)
