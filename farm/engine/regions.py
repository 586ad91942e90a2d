"""Regions: where each painting paints, as weights of positions in the layers of the style loss.

A region's statistics are sums over weighted positions, n = sum w, m = sum w F / n, G = sum w F'F / n,
and their gradient at a position is w times what it is without weights (Gatys et al. 2017, arXiv
1611.07865, section 4). They add up over tiles, so regions are exact in tiles.

- Masks are averaged down with each pooling; where they add up to more than 1, the blend decides.
- In a layer that sees further than a position a region ends sooner than its mask, by `ERODED` of the
  layer's reach, so that its statistics hold little of what lies beyond; less, if less than `LEFT` of its
  weight would be left.
- A region that has less weight than `LEAST` positions in a layer is left out there.
- A region's loss counts by its share of the picture, so the pull on a position is alike in all regions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from farm.engine.maps import (
    FULL,
    LevelMaps,
    compute_reach,
    count_positions,
    erode,
    list_block_maps,
    share_among,
)
from farm.engine.tiles import Region, Size
from farm.engine.vgg import VGG
from farm.recipe.networks import CHANNELS, parse_block

ERODED = 0.5  # of a layer's reach
LEFT = 0.5  # of a region's weight
LEAST = 4.0  # positions
CELLS = 128  # along the longer side, of the grid in which parts of a region are found


@dataclass(frozen=True)
class Target:
    """Target of a region in one layer."""

    layer: str
    # Numbers of the paintings whose blend it is; None: of all.
    paintings: tuple[int, ...] | None
    # The region's share of the picture, by which its loss counts.
    share: float


@dataclass(frozen=True)
class Part:
    """A rectangle of a tile in which a region has weight."""

    # Name of the region's target.
    target: str
    # Within the tile's share of the layer.
    where: Region
    # (h, w) uint8. None: 255 everywhere.
    map: Tensor | None

    def is_all_of(self, where: Region) -> bool:
        """Check whether it is all of a tile's share, which lies at `where`, with weight 1."""
        return self.map is None and self.where.size == where.size

    def get_weights(self, dtype: torch.dtype) -> Tensor | None:
        """Return the weights, 0..1, in float32 at least. None: 1 everywhere."""
        return None if self.map is None else _convert(self.map, dtype)

    def crop(self, features: Tensor, where: Region, step: int = 1) -> tuple[Tensor, Tensor | None]:
        """Crop a tile's features (h, w, C), which lie at `where` in the layer, to the part; of the
        layer's rows and columns one in `step`. And its weights, as above."""
        top, left = (
            -(a + b) % step for a, b in ((where.top, self.where.top), (where.left, self.where.left))
        )
        seen = self.where.crop(features)[top::step, left::step]
        if self.map is None:
            return seen, None
        return seen, _convert(self.map[top::step, left::step], features.dtype)


def _convert(map_: Tensor, dtype: torch.dtype) -> Tensor:
    return map_.to(torch.promote_types(dtype, torch.float32)).div_(FULL)


class Regions(Protocol):
    """The regions of a picture, each with a target in each layer."""

    @property
    def targets(self) -> Mapping[str, Target]:
        """All targets, by name."""

    def find_parts(self, layer: str, where: Region) -> list[Part]:
        """Find the parts of a tile's share of a layer in which regions have weight."""

    def count(self, target: str, size: Size, step: int = 1) -> float:
        """Count a target's positions, by their weight, in one of `step` rows and columns of its layer,
        which has this size."""


def choose_step(regions: Regions, target: str, size: Size, enough: float) -> int:
    """Choose of how many rows and columns to look at one, a power of 2, so that enough positions of a
    target are left. They are counted, since a mask may have its weight between the rows."""
    step = 1
    while enough < math.inf and regions.count(target, size, 2 * step) >= enough:
        step *= 2
    return step


class Everywhere:
    """The one region of a picture without masks: all of it, of all paintings."""

    def __init__(self, layers: Iterable[str]) -> None:
        self.targets = {layer: Target(layer, None, 1.0) for layer in layers}

    def find_parts(self, layer: str, where: Region) -> list[Part]:
        """Return the whole tile."""
        return [Part(layer, Region(0, 0, *where.size), None)]

    def count(self, target: str, size: Size, step: int = 1) -> float:
        """Count the positions in one of `step` rows and columns."""
        return float(math.prod(-(-side // step) for side in size))


class Masked:
    """Regions by masks.

    Args:
        maps: at the size of the picture.
        layers: that the style loss compares.
        convolutions: how many each block of the network has.
        device: where the features are.
        spare_values: of features without weight, in a rectangle, rather than that it is cut in two.

    Attributes:
        maps: each target's, (H, W) uint8, on the CPU.
    """

    def __init__(
        self,
        maps: LevelMaps,
        layers: Iterable[str],
        convolutions: Mapping[int, int],
        device: torch.device,
        spare_values: int,
    ) -> None:
        self.targets: dict[str, Target] = {}
        self.maps: dict[str, Tensor] = {}
        self._boxes: dict[str, list[Region]] = {}
        self._parts: dict[tuple[str, Region], list[Part]] = {}  # known again at each iteration
        layers = list(layers)
        whole = maps.opaque_positions
        for number, weights in enumerate(maps.regions):
            blocks = list_block_maps(weights, max(parse_block(layer) for layer in layers))
            share, paintings = count_positions(weights) / whole, maps.paintings[number]
            for layer in layers:
                reach = ERODED * compute_reach(layer, convolutions)
                found = _erode_within(blocks[parse_block(layer) - 1], round(reach))
                if count_positions(found) < LEAST:
                    continue
                name = layer if paintings is None else f"{layer}/{number}"
                self.targets[name] = Target(layer, paintings, share)
                spare = spare_values / CHANNELS[parse_block(layer) - 1]
                self.maps[name], self._boxes[name] = found, cover(found, spare)
        self._on_device = {name: weights.to(device) for name, weights in self.maps.items()}

    def find_parts(self, layer: str, where: Region) -> list[Part]:
        """Find the parts of a tile's share of a layer in which regions have weight."""
        key = (layer, where)
        if key not in self._parts:
            self._parts[key] = [
                part
                for name, target in self.targets.items()
                if target.layer == layer
                for box in self._boxes[name]
                if (part := self._cut(name, box, where))
            ]
        return self._parts[key]

    def count(self, target: str, size: Size, step: int = 1) -> float:
        """Count a target's positions in one of `step` rows and columns, by their weight."""
        return count_positions(self.maps[target][::step, ::step])

    def _cut(self, name: str, box: Region, where: Region) -> Part | None:
        """Return what a rectangle and a tile's share have in common; None: nothing that has weight."""
        both = box.intersect(where)
        if both is None or not (known := both.crop(self.maps[name])).any():
            return None
        full = int(known.min()) == FULL
        return Part(name, both.relative_to(where), None if full else both.crop(self._on_device[name]))


def _erode_within(weights: Tensor, radius: int) -> Tensor:
    """Erode a map by as much of the radius as leaves `LEFT` of it."""
    enough = LEFT * count_positions(weights)
    for smaller in range(radius, 0, -1):
        eroded = erode(weights, smaller)
        if count_positions(eroded) >= enough:
            return eroded
    return weights


def cover(weights: Tensor, spare: float) -> list[Region]:
    """Cover what has weight in a map (H, W) by rectangles that do not overlap.

    Args:
        spare: positions without weight that one may hold, rather than be cut in two.
    """
    H, W = weights.shape
    cell = -(-max(H, W) // CELLS)
    grid = F.max_pool2d(weights[None, None].float(), cell, ceil_mode=True)[0, 0] > 0
    boxes = _cover_cells(grid.numpy(), Region(0, 0, *grid.shape), spare / cell**2)
    return [
        Region(cell * b.top, cell * b.left, min(H, cell * b.bottom), min(W, cell * b.right))
        for b in boxes
    ]


def _cover_cells(grid: NDArray[np.bool_], within: Region, spare: float) -> list[Region]:
    """Cover the marked cells within a region: by the rectangle around them, or by those of its halves
    where these leave out enough."""
    marked = grid[within.top : within.bottom, within.left : within.right]
    rows, columns = (np.flatnonzero(marked.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    top, left = within.top + int(rows[0]), within.left + int(columns[0])
    box = Region(top, left, within.top + int(rows[-1]) + 1, within.left + int(columns[-1]) + 1)
    if box.area - int(marked.sum()) <= spare:
        return [box]
    halves = [part for half in box.halve() for part in _cover_cells(grid, half, spare)]
    left_out = box.area - sum(part.area for part in halves)
    return halves if left_out > spare * (len(halves) - 1) else [box]


def make_regions(maps: LevelMaps | None, layers: Sequence[str], vgg: VGG) -> Regions:
    """Make the regions that maps describe, in these layers."""
    if maps is None:
        return Everywhere(layers)
    return Masked(maps, layers, vgg.convolutions, vgg.device, vgg.way.spare_values)


def blend(
    sums: Sequence[Mapping[str, Any]],
    shares: Sequence[float],
    paintings: Sequence[int] | None,
    name: str,
) -> Any:
    """Blend what paintings with these numbers have under a name, a layer or a target; None: of all. One
    that is alone in its region is as it is."""
    if paintings is None:
        paintings = range(len(sums))
    elif len(paintings) == 1:
        return sums[paintings[0]][name]
    else:
        shares = share_among(shares, paintings)
    pairs = zip(paintings, shares, strict=True)
    first, *others = (sums[number][name].scale_to(share) for number, share in pairs)
    return sum(others, start=first)
