"""The tiles of a segment: plain geometry, no pixels.

A segment is one or more blocks of VGG that are processed together, tile by tile. In each block a
tile has an inner region, its own share of the positions, and an outer region around it, which is what
is computed. Every convolution pads and so spoils one pixel more along the outer region's rim;
the outer region is as much wider as that. At the picture's edge both end with the picture, where the
repeated border is what the whole picture is padded with, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import Tensor

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Region:
    """Rows top .. bottom and columns left .. right, half open, px of one block."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def area(self) -> int:
        """Number of positions."""
        return (self.bottom - self.top) * (self.right - self.left)

    def intersect(self, other: Region) -> Region | None:
        """Return what both have in common; None: nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Region(top, left, bottom, right) if top < bottom and left < right else None

    def halve(self) -> tuple[Region, Region]:
        """Cut the longer side in two; it has two positions at least."""
        height, width = self.size
        if height >= width:
            middle = self.top + height // 2
            return replace(self, bottom=middle), replace(self, top=middle)
        middle = self.left + width // 2
        return replace(self, right=middle), replace(self, left=middle)

    def crop(self, x: Tensor) -> Tensor:
        """Return this part of x (H, W) or (H, W, C), a view."""
        return x[self.top : self.bottom, self.left : self.right]

    def relative_to(self, outer: Region) -> Region:
        """Return the same place in coordinates of `outer`, px from its corner."""
        top, left = outer.top, outer.left
        return Region(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def expand(self, halo: int, size: Size) -> Region:
        """Return the region wider by `halo` px on each side, but not beyond a picture of this size."""
        bottom, right = min(size[0], self.bottom + halo), min(size[1], self.right + halo)
        return Region(max(0, self.top - halo), max(0, self.left - halo), bottom, right)

    def unpool(self, here: Size, before: Size) -> Region:
        """Return the region that pools to this one, in a picture of size `before` that pools to `here`.

        An odd last row or column, which pooling omits, goes with the last region.
        """
        bottom = before[0] if self.bottom == here[0] else 2 * self.bottom
        right = before[1] if self.right == here[1] else 2 * self.right
        return Region(2 * self.top, 2 * self.left, bottom, right)

    def pool(self) -> Region:
        """Return the pooled region; its corners are even, or at the picture's edge."""
        height, width = (pool_side(side) for side in self.size)
        top, left = self.top // 2, self.left // 2
        return Region(top, left, top + height, left + width)


@dataclass(frozen=True)
class Patch:
    """A tile in one block."""

    # Its own share of the positions.
    inner: Region
    # What is computed for it: the inner region and as many px around it as the convolutions spoil.
    outer: Region

    @property
    def share(self) -> Region:
        """The inner region, counted within the outer one."""
        return self.inner.relative_to(self.outer)


Tile = dict[int, Patch]  # by block


def pool_side(side: int) -> int:
    """Return the length of a side after pooling; a single pixel stays."""
    return max(1, side // 2)


def compute_block_sizes(height: int, width: int, blocks: int) -> dict[int, Size]:
    """Return height and width of the first `blocks` blocks' features, for a picture of this size."""
    sizes = {}
    for block in range(1, blocks + 1):
        sizes[block] = (height, width)
        height, width = pool_side(height), pool_side(width)
    return sizes


def compute_halo(convolutions: int) -> int:
    """Return the px that the convolutions of a block spoil, rounded up so that pooling stays in step."""
    return convolutions + convolutions % 2


def cut_side(length: int, tile: int | None) -> list[tuple[int, int]]:
    """Cut a side into equal pieces of about `tile` px, which begin at even px and hold two at least."""
    count = 1 if tile is None else -(-length // tile)
    inner = {2 * round(length * i / count / 2) for i in range(1, count)}
    edges = [0, *sorted(edge for edge in inner if 0 < edge <= length - 2), length]
    return list(pairwise(edges))


def cut_tiles(
    segment: Sequence[int], sizes: dict[int, Size], convolutions: dict[int, int], side: int | None
) -> list[Tile]:
    """Cut a segment into tiles, row by row; their inner regions share out each block without overlap.

    Args:
        segment: block numbers, ascending. sizes: of each block. convolutions: how many each block has.
        side: of a tile in the segment's last block, px; None: one tile.
    """
    height, width = sizes[segment[-1]]
    cells = [(rows, columns) for rows in cut_side(height, side) for columns in cut_side(width, side)]
    return [
        _cut_tile(segment, sizes, convolutions, Region(rows[0], columns[0], rows[1], columns[1]))
        for rows, columns in cells
    ]


def _cut_tile(
    segment: Sequence[int], sizes: dict[int, Size], convolutions: dict[int, int], inner: Region
) -> Tile:
    """Follow a tile from its share of the last block back to the first."""
    tile: Tile = {}
    outer = inner.expand(compute_halo(convolutions[segment[-1]]), sizes[segment[-1]])
    for block in reversed(segment):
        if block != segment[-1]:
            here, before = sizes[block + 1], sizes[block]
            inner = inner.unpool(here, before)
            outer = outer.unpool(here, before).expand(compute_halo(convolutions[block]), before)
        tile[block] = Patch(inner, outer)
    return tile
