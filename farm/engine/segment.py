"""One segment of the network on one tile: upwards, leaving a tape, and back down along it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from farm.engine.tape import Pooling, Tape, pack, unpack
from farm.engine.tiles import Region, Tile
from farm.engine.vgg import VGG, pool, pool_back
from farm.recipe.memory_plan import again_until, block_of, layers_of

# Told a layer, the region of its features, and the features there (h, w, C).
Look = Callable[[str, Region, Tensor], None]
# The same, and where to add the gradient of the losses by those features.
Push = Callable[[str, Region, Tensor, Tensor], None]


class Segment:
    """Some blocks of the network, worked through together.

    blocks: their numbers, ascending. looked_at: the layers that the losses see. kept: whether their
    features stay on the tape. top: whether no further segment follows.
    """

    def __init__(
        self, vgg: VGG, blocks: tuple[int, ...], looked_at: frozenset[str], kept: bool, top: bool
    ) -> None:
        self.vgg = vgg
        self.blocks = blocks
        self.looked_at = looked_at
        self.layers = layers_of(vgg.features, blocks)
        if top:  # nothing beyond the last layer that is looked at
            seen = max(i for i, layer in enumerate(self.layers) if layer in looked_at)
            self.layers = self.layers[: seen + 1]
        self.pools_out = not top
        self.again = again_until(self.layers, looked_at, kept)

    @property
    def needs_input(self) -> bool:
        """Whether the backward pass computes features again, and so needs the segment's input."""
        return self.again is not None

    def forward(self, x: Tensor, tile: Tile, look: Look, *, taped: bool) -> tuple[Tensor, Tape]:
        """Through the segment.

        Args:
            x: the segment's input in the tile's outer region, (H, W, C).
            look: shown the features of the layers looked at, in the inner region.
            taped: whether a backward pass will follow.

        Returns:
            The output for the tile's share, pooled unless this is the top; and the tape.
        """
        tape = Tape()
        recording = taped and self.again is None
        for layer in self.layers:
            patch = tile[block_of(layer)]
            x = self.vgg.convolve(layer, x)
            if layer in self.looked_at:
                look(layer, patch.inner, patch.share.of(x))
                if recording:
                    tape.features[layer] = x
            elif recording and not self._pools(layer):
                tape.signs[layer] = pack(x > 0)
            recording = recording or (taped and layer == self.again)
            if self._pools(layer):
                x = self._pool(x, tile, block_of(layer), tape if recording else None)
        return x, tape

    def backward(self, x: Tensor | None, tile: Tile, tape: Tape, d: Tensor | None, push: Push) -> Tensor:
        """The gradient by the segment's input in the tile's outer region, from that by its output.

        Args:
            x: the input, if `needs_input`. tape: what `forward` left; it is used up. d: the gradient
            by the output for the tile's share, None at the top. push: adds the losses' gradients.
        """
        if self.again is not None:
            assert x is not None, "this segment computes features again"
            self._compute_again(x, tile, tape)
        if d is None:  # the top ends with a layer that is looked at
            d = torch.zeros_like(tape.features[self.layers[-1]])
        for layer in reversed(self.layers):
            block = block_of(layer)
            patch = tile[block]
            if self._pools(layer):
                d = self._unpool(d, tile, block, tape.poolings.pop(block))
            features = tape.features.pop(layer, None)
            if features is not None:
                if layer in self.looked_at:
                    push(layer, patch.inner, patch.share.of(features), patch.share.of(d))
                d = torch.ops.aten.threshold_backward(d, features, 0)
            elif layer in tape.signs:
                d.mul_(unpack(tape.signs.pop(layer), d.shape))
            d = self.vgg.convolve_back(layer, d)
        return d

    def _pools(self, layer: str) -> bool:
        return self.vgg.is_last_of_block(layer) and (self.pools_out or layer != self.layers[-1])

    def _pool(self, x: Tensor, tile: Tile, block: int, tape: Tape | None) -> Tensor:
        """Pooled, and cut to what the next block needs."""
        values, places = pool(x)
        if tape is not None:
            tape.poolings[block] = Pooling.of(values, places, x.shape[1])
        return self._passed_on(tile, block).of(values).contiguous()

    def _passed_on(self, tile: Tile, block: int) -> Region:
        """The part of the pooled outer region that goes on: to the next block, or out."""
        pooled = tile[block].outer.pooled()
        goes_on = tile[block + 1].outer if block + 1 in tile else tile[block].inner.pooled()
        return goes_on.within(pooled)

    def _unpool(self, d: Tensor, tile: Tile, block: int, pooling: Pooling) -> Tensor:
        """From the gradient by what was passed on to that by the block's last layer."""
        corners, alive = pooling.open()
        whole = d.new_zeros(corners.shape)
        self._passed_on(tile, block).of(whole).copy_(d)
        return pool_back(whole.mul_(alive), corners, *tile[block].outer.size)

    def _compute_again(self, x: Tensor, tile: Tile, tape: Tape) -> None:
        """Everything up to the last layer that is looked at, onto the tape as it is."""
        for layer in self.layers:
            x = self.vgg.convolve(layer, x)
            tape.features[layer] = x
            if layer == self.again:
                return
            if self._pools(layer):
                x = self._pool(x, tile, block_of(layer), tape)
