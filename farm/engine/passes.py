"""A picture passed through the network and back down, tile by tile.

Between two poolings VGG sees only 2 to 4 pixels far. So the network is cut into segments of one or two
blocks, and each is computed in tiles (`tiles.py`): upwards the tile's pooled output is written into the
next segment's input, and a tape kept (`tape.py`); downwards the gradient by the output becomes the
gradient by the input, added up where tiles overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from farm.engine.device import trim
from farm.engine.segment import AddGradient, OnFeatures, Segment
from farm.engine.statistics import Moments
from farm.engine.tape import Tape
from farm.engine.tiles import Region, compute_block_sizes, cut_tiles
from farm.engine.vgg import VGG
from farm.recipe.memory_plan import Plan
from farm.recipe.networks import parse_block

LARGE_PIXELS = 1 << 20  # from here on, memory freed in between is returned
TILES_AT_ONCE = 8  # after so many
OnTile = Callable[[], None]
T = TypeVar("T")


class Pass:
    """A forward pass over a picture and its backward pass.

    Args:
        layers: those that the losses compare. picture: (1, 3, H, W) RGB in [0, 1].
        on_tile: called before each tile.
    """

    def __init__(
        self,
        vgg: VGG,
        layers: frozenset[str],
        plan: Plan,
        picture: Tensor,
        on_tile: OnTile = lambda: None,
    ) -> None:
        self._on_tile = on_tile
        self.vgg = vgg
        self.picture = picture
        deepest = max(parse_block(layer) for layer in layers)
        self.sizes = compute_block_sizes(picture.shape[2], picture.shape[3], deepest + 1)
        used = [s for s in plan.segments if s[0] <= deepest]
        self.segments = [
            Segment(
                vgg,
                tuple(b for b in blocks if b <= deepest),
                layers,
                kept=kept,
                packed=plan.packed,
                top=blocks is used[-1],
            )
            for blocks, kept in zip(used, plan.kept, strict=False)
        ]
        self.tiles = [
            cut_tiles(s.blocks, self.sizes, vgg.convolutions, plan.compute_tile_side(s.blocks))
            for s in self.segments
        ]
        self._inputs: list[Tensor | None] = [None] * len(self.segments)
        self._tapes: list[list[Tape]] = [[] for _ in self.segments]

    @torch.no_grad()
    def forward(self, on_features: OnFeatures, *, taped: bool = False) -> None:
        """Call `on_features` with every layer's features, tile by tile; keep what `backward` needs."""
        x: Tensor | None = None
        for number, segment in enumerate(self.segments):
            out: Tensor | None = None
            for tile in self._iterate(self.tiles[number]):
                part, tape = segment.forward(
                    self._crop_input(x, tile[segment.blocks[0]].outer), tile, on_features, taped=taped
                )
                if taped:
                    self._tapes[number].append(tape)
                if segment.pools_output and len(self.tiles[number]) == 1:
                    out = part
                elif segment.pools_output:
                    if out is None:
                        out = part.new_empty(*self.sizes[segment.blocks[-1] + 1], part.shape[2])
                    tile[segment.blocks[-1]].inner.pool().crop(out).copy_(part)
            if taped and segment.needs_input:
                self._inputs[number] = x
            x = out

    @torch.no_grad()
    def backward(self, add_gradient: AddGradient) -> Tensor:
        """Return the gradient by the picture of all that `add_gradient` adds: (1, 3, H, W), float32 at
        least.

        Frees what `forward` kept on the way, so that memory falls.
        """
        d: Tensor | None = None
        for number in reversed(range(len(self.segments))):
            segment, x = self.segments[number], self._inputs[number]
            self._inputs[number] = None
            gradient: Tensor | None = None
            taped = list(zip(self.tiles[number], self._tapes[number], strict=True))
            self._tapes[number] = []
            for tile, tape in self._iterate(taped):
                first, last = tile[segment.blocks[0]], tile[segment.blocks[-1]]
                cut = self._crop_input(x, first.outer) if segment.needs_input else None
                above = last.inner.pool().crop(d) if d is not None else None
                part = segment.backward(cut, tile, tape, above, add_gradient)
                if len(taped) == 1:
                    gradient = part
                else:
                    gradient = self._allocate_gradient(number, part) if gradient is None else gradient
                    first.outer.crop(gradient).add_(part)
            d = gradient
        assert d is not None
        return d.permute(2, 0, 1)[None].to(self.picture.dtype)

    def _iterate(self, tiles: Sequence[T]) -> Iterator[T]:
        """Yield tile by tile; in a large picture return the holes between lasting buffers to the system
        now and then, or they would add up to gigabytes."""
        large = self.picture.shape[2] * self.picture.shape[3] >= LARGE_PIXELS
        for number, tile in enumerate(tiles, start=1):
            self._on_tile()
            yield tile
            if large and (number % TILES_AT_ONCE == 0 or number == len(tiles)):
                trim(self.picture.device)

    def _crop_input(self, x: Tensor | None, region: Region) -> Tensor:
        """Crop a segment's input to a region, (h, w, C) contiguous, in the network's number format."""
        if x is None:
            return self.vgg.take_picture(region.crop(self.picture[0].permute(1, 2, 0)))
        return region.crop(x).contiguous()

    def _allocate_gradient(self, number: int, part: Tensor) -> Tensor:
        """Allocate zeros for the gradient by a segment's input, of which `part` is a tile's."""
        size = self.sizes[self.segments[number].blocks[0]]
        dtype = self.picture.dtype if number == 0 else self.vgg.dtype
        return torch.zeros(*size, part.shape[2], dtype=dtype, device=self.picture.device)


def compute_moments(
    vgg: VGG,
    picture: Tensor,
    layers: frozenset[str],
    plan: Plan,
    on_tile: OnTile = lambda: None,
) -> dict[str, Moments]:
    """Compute the moments of a picture (1, 3, H, W) in these layers."""

    def sum_moments(layer: str, where: Region, features: Tensor) -> Moments:
        return Moments.from_features(features)

    return sum_picture(vgg, picture, layers, plan, sum_moments, on_tile)


def sum_picture(
    vgg: VGG,
    picture: Tensor,
    layers: frozenset[str],
    plan: Plan,
    sum_features: Callable[[str, Region, Tensor], T],
    on_tile: OnTile = lambda: None,
) -> dict[str, T]:
    """Sum a picture (1, 3, H, W) in these layers, tile by tile."""
    sums: dict[str, Any] = {}

    def on_features(layer: str, where: Region, features: Tensor) -> None:
        part = sum_features(layer, where, features)
        sums[layer] = sums[layer] + part if layer in sums else part

    Pass(vgg, layers, plan, picture, on_tile).forward(on_features)
    return sums
