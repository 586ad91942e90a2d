"""Where the tiles of a segment lie: plain geometry, no pixels.

A segment is one or more blocks of VGG that are worked through together, tile by tile. In each block a
tile has an inner region, its own share of the positions, and an outer region around it, which is what
is computed. Every convolution pads and so spoils one pixel more along the outer region's rim;
the outer region is as much wider as that. At the picture's edge both end with the picture, where the
repeated border is what the whole picture is padded with, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

    def of(self, x: Tensor) -> Tensor:
        """This part of x (H, W, C), a view."""
        return x[self.top : self.bottom, self.left : self.right]

    def within(self, outer: Region) -> Region:
        """The same place, counted from the corner of `outer`."""
        top, left = outer.top, outer.left
        return Region(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def grown(self, halo: int, size: Size) -> Region:
        """Wider by `halo` on each side, but not beyond a picture of this size."""
        bottom, right = min(size[0], self.bottom + halo), min(size[1], self.right + halo)
        return Region(max(0, self.top - halo), max(0, self.left - halo), bottom, right)

    def unpooled(self, here: Size, before: Size) -> Region:
        """What pools to this region: in a picture of size `before`, which pools to size `here`.

        An odd last row or column, which pooling leaves out, goes with the last region.
        """
        bottom = before[0] if self.bottom == here[0] else 2 * self.bottom
        right = before[1] if self.right == here[1] else 2 * self.right
        return Region(2 * self.top, 2 * self.left, bottom, right)

    def pooled(self) -> Region:
        """What this region, with even corners or at the picture's edge, pools to."""
        height, width = (pooled(side) for side in self.size)
        top, left = self.top // 2, self.left // 2
        return Region(top, left, top + height, left + width)


@dataclass(frozen=True)
class Patch:
    """A tile in one block: its own share of the positions, and what is computed for it."""

    inner: Region
    outer: Region

    @property
    def share(self) -> Region:
        """The inner region, counted within the outer one."""
        return self.inner.within(self.outer)


Tile = dict[int, Patch]  # by block


def pooled(side: int) -> int:
    """Length of a side after pooling; a single pixel stays."""
    return max(1, side // 2)


def block_sizes(height: int, width: int, blocks: int) -> dict[int, Size]:
    """Height and width of the first `blocks` blocks' features, for a picture of this size."""
    sizes = {}
    for block in range(1, blocks + 1):
        sizes[block] = (height, width)
        height, width = pooled(height), pooled(width)
    return sizes


def halo(convolutions: int) -> int:
    """How many pixels the convolutions of a block spoil, rounded up so that pooling stays in step."""
    return convolutions + convolutions % 2


def cut(length: int, tile: int | None) -> list[tuple[int, int]]:
    """A side in equal pieces of about `tile`, which begin at even places and hold two px at least."""
    count = 1 if tile is None else -(-length // tile)
    inner = {2 * round(length * i / count / 2) for i in range(1, count)}
    edges = [0, *sorted(edge for edge in inner if 0 < edge <= length - 2), length]
    return list(pairwise(edges))


def tiles(
    segment: Sequence[int], sizes: dict[int, Size], convolutions: dict[int, int], side: int | None
) -> list[Tile]:
    """The tiles of a segment, row by row; their inner regions share out each block without overlap.

    Args:
        segment: block numbers, ascending. sizes: of each block. convolutions: how many each block has.
        side: of a tile in the segment's last block, px; None: one tile.
    """
    height, width = sizes[segment[-1]]
    cells = [(rows, columns) for rows in cut(height, side) for columns in cut(width, side)]
    return [
        _tile(segment, sizes, convolutions, Region(rows[0], columns[0], rows[1], columns[1]))
        for rows, columns in cells
    ]


def _tile(
    segment: Sequence[int], sizes: dict[int, Size], convolutions: dict[int, int], inner: Region
) -> Tile:
    """From its share of the last block back to the first."""
    tile: Tile = {}
    outer = inner.grown(halo(convolutions[segment[-1]]), sizes[segment[-1]])
    for block in reversed(segment):
        if block != segment[-1]:
            here, before = sizes[block + 1], sizes[block]
            inner = inner.unpooled(here, before)
            outer = outer.unpooled(here, before).grown(halo(convolutions[block]), before)
        tile[block] = Patch(inner, outer)
    return tile
