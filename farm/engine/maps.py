"""Guides at a level: maps of weights over the picture, a byte a position, and the same in deeper blocks.

A byte suffices, since masks are bytes; it keeps eight maps of an 8K picture at a third of a gigabyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from farm.engine.guides import Guides, Mask
from farm.engine.pyramid import Level
from farm.recipe.networks import parse_block

FULL = 255  # a weight of 1
KEPT_CONTENT = 4.0  # weight of the content where the photograph stays, over that elsewhere
ROWS = 256  # whose weights are numbers at once


@dataclass(frozen=True)
class LevelMaps:
    """Guides at the size of a level, (H, W) uint8 on the CPU."""

    # Where each region is painted, (K, H, W): one for each mask and each direction of strokes, or one
    # where there is none. Together they are 1 at most.
    regions: Tensor
    # For each region the numbers of its paintings, or of their turned copies. None: all.
    paintings: tuple[tuple[int, ...] | None, ...]
    # Where the photograph stays, and where there is any. None: nowhere; everywhere.
    keep: Tensor | None
    opaque: Tensor | None

    @classmethod
    def from_guides(
        cls, guides: Guides, level: Level, shares: Sequence[float], bins: Sequence[Tensor] = ()
    ) -> LevelMaps | None:
        """Resize the guides to a level; None: there is no map among them.

        Args:
            shares: of the paintings, or their turned copies, by which they mix where masks overlap.
            bins: how near each position is to each direction of strokes, see `directions.Directed`.
        """
        if not guides.masks and guides.keep is None and guides.opaque is None and not bins:
            return None
        H, W = level.height, level.width
        keep, opaque = (None if m is None else resize_map(m, H, W) for m in (guides.keep, guides.opaque))
        masks = [resize_map(mask, H, W) for mask in guides.masks]
        ways = [resize_map(each, H, W) for each in bins]
        paintings = _assign_paintings(len(masks), len(ways), len(shares))
        if masks and ways:
            masks = [_multiply(mask, way) for mask in masks for way in ways]
        regions = torch.stack(masks or ways or [torch.full((H, W), FULL, dtype=torch.uint8)])
        blend = [1.0 if each is None else sum(shares[number] for number in each) for each in paintings]
        _share_out(regions, blend, keep, opaque)
        return cls(regions, paintings, keep, opaque)

    @property
    def masked(self) -> bool:
        """Return whether regions are of some paintings; else the one region is of all."""
        return self.paintings[0] is not None

    @property
    def stays(self) -> Tensor | None:
        """The share of each pixel that nobody paints, (H, W) uint8; None: everything is painted."""
        if self.keep is None or self.opaque is None:
            return self.keep if self.opaque is None else FULL - self.opaque
        free = (FULL - self.keep.int()) * self.opaque
        return quantise(1 - free / FULL**2)

    def compute_content_weights(self, block: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights (H, W) float32 of a block's positions in the content loss, and in its
        target's energy; None: 1 everywhere."""
        keep, opaque = (
            None if m is None else list_block_maps(m, block)[-1] / FULL for m in (self.keep, self.opaque)
        )
        if keep is None:
            return opaque, opaque
        weights = 1 + (KEPT_CONTENT - 1) * keep
        return weights if opaque is None else weights * opaque, opaque

    def share_out(self, shares: Sequence[float], block: int) -> list[float | Tensor]:
        """Return each painting's share of a block's positions: its own, or (H, W) where there are
        regions, which it has together with the other paintings of each.

        shares: of the paintings, or their turned copies.
        """
        if not self.masked:
            return [*shares]
        found: list[float | Tensor] = [0.0] * len(shares)
        for region, paintings in zip(self.regions, self.paintings, strict=True):
            weights = list_block_maps(region, block)[-1].float() / FULL
            numbers = paintings or range(len(shares))
            for number, share in zip(numbers, share_among(shares, numbers), strict=True):
                found[number] = found[number] + share * weights
        return found

    @property
    def opaque_positions(self) -> float:
        """The sum of what is opaque, positions."""
        if self.opaque is None:
            return float(self.regions[0].numel())
        return count_positions(self.opaque)


def share_among(shares: Sequence[float], paintings: Sequence[int]) -> list[float]:
    """Return the shares that some of the paintings have of what is theirs alone, which sum to 1."""
    whole = sum(shares[number] for number in paintings)
    return [shares[number] / whole if whole else 1 / len(paintings) for number in paintings]


def _assign_paintings(masks: int, ways: int, paintings: int) -> tuple[tuple[int, ...] | None, ...]:
    """Return the numbers of each region's paintings, where masks and directions are given or not: each
    mask is of one painting, each direction of a copy of each."""
    if masks:
        return tuple((number,) for number in range(masks * max(1, ways)))
    return tuple(tuple(range(way, paintings, ways)) for way in range(ways)) or (None,)


def _multiply(mask: Tensor, way: Tensor) -> Tensor:
    return quantise(mask.float() * way / FULL**2)


def _share_out(
    regions: Tensor, shares: Sequence[float], keep: Tensor | None, opaque: Tensor | None
) -> None:
    """Scale masks (K, H, W) in place, so that they add up to 1 at most, and to what may be painted."""
    blend = torch.tensor(shares)[:, None, None]
    for top in range(0, regions.shape[1], ROWS):
        rows = slice(top, top + ROWS)
        strip = regions[:, rows] / FULL  # (K, rows, W)
        whole = strip.sum(dim=0).clamp_(max=1)
        mixed = strip * blend
        mixed *= whole / mixed.sum(dim=0).clamp_(min=1e-9)
        if keep is not None:
            mixed *= 1 - keep[rows] / FULL
        if opaque is not None:
            mixed *= opaque[rows] / FULL
        regions[:, rows] = quantise(mixed)


def resize_map(mask: Mask | Tensor, height: int, width: int) -> Tensor:
    """Resize a map to (height, width) uint8, averaged where it shrinks."""
    whole = torch.as_tensor(mask)
    if whole.shape == (height, width):
        return whole
    numbers, size = whole[None, None].float() / FULL, (height, width)
    resized = F.interpolate(numbers, size, mode="bilinear", align_corners=False, antialias=True)
    return quantise(resized[0, 0])


def pool_map(weights: Tensor) -> Tensor:
    """Average a map (H, W) uint8 as the network pools: (H // 2, W // 2), a side of one pixel stays."""
    H, W = weights.shape
    windows = (min(2, H), min(2, W))
    return quantise(F.avg_pool2d(weights[None, None].float() / FULL, windows)[0, 0])


def list_block_maps(weights: Tensor, blocks: int) -> list[Tensor]:
    """Return a map (H, W) uint8 in the first `blocks` blocks of the network."""
    maps = [weights]
    while len(maps) < blocks:
        maps.append(pool_map(maps[-1]))
    return maps


def erode(weights: Tensor, radius: int) -> Tensor:
    """Return the smallest weight within `radius` positions; beyond the border there is none smaller."""
    flipped = (FULL - weights)[None, None].float()
    for kernel, padding in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        flipped = F.max_pool2d(flipped, kernel, stride=1, padding=padding)
    return (FULL - flipped[0, 0]).to(torch.uint8)


def count_positions(weights: Tensor) -> float:
    """Return the sum of weights (H, W) uint8, positions."""
    return int(weights.sum(dtype=torch.int64)) / FULL


def quantise(weights: Tensor) -> Tensor:
    """Round weights 0..1 to bytes."""
    return (weights * FULL + 0.5).clamp_(0, FULL).to(torch.uint8)


def compute_reach(layer: str, convolutions: Mapping[int, int]) -> float:
    """Return how far from its position a layer's feature sees, in positions of that layer.

    convolutions: how many each block has.
    """
    block, position, seen = parse_block(layer), 1, 1  # px of the picture
    for before in range(1, block):
        seen += 2 * position * convolutions[before] + position
        position *= 2
    seen += 2 * position * int(layer[6:])
    return (seen - 1) / 2 / position
