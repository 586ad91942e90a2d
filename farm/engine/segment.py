"""One segment of the network on one tile: upwards, leaving a tape, and back down along it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from farm.engine.bits import find_positive, keep, mask_dead, pack, unpack
from farm.engine.pooling import max_pool
from farm.engine.style.protocol import FeatureGradient
from farm.engine.tape import Tape
from farm.engine.tiles import Region, Tile
from farm.engine.vgg import VGG
from farm.recipe.memory_estimates import find_last_recomputed
from farm.recipe.networks import list_layers, parse_block

# Takes a layer, the region of its features, and the features there (h, w, C).
OnFeatures = Callable[[str, Region, Tensor], None]
# Takes the same, and the tensor to which it adds the gradient of the losses by those features. Returns
# what of it is still to be added, at all of them; None: nothing.
AddGradient = Callable[[str, Region, Tensor, Tensor], FeatureGradient | None]


class Segment:
    """Some blocks of the network, processed together.

    Args:
        blocks: their numbers, ascending.
        loss_layers: the layers that the losses compare.
        kept: whether their features stay on the tape.
        packed: whether of other layers' features only the signs do.
        top: whether no further segment follows.
    """

    def __init__(
        self,
        vgg: VGG,
        blocks: tuple[int, ...],
        loss_layers: frozenset[str],
        *,
        kept: bool,
        packed: bool,
        top: bool,
    ) -> None:
        self.vgg = vgg
        self.blocks = blocks
        self.loss_layers = loss_layers
        self.packed = packed
        self.layers = list_layers(vgg.network, blocks)
        if top:  # nothing beyond the last layer that the losses compare
            last = max(i for i, layer in enumerate(self.layers) if layer in loss_layers)
            self.layers = self.layers[: last + 1]
        self.pools_output = not top
        self.recomputed = find_last_recomputed(self.layers, loss_layers, kept)

    @property
    def needs_input(self) -> bool:
        """True if the backward pass recomputes features, and so needs the segment's input."""
        return self.recomputed is not None

    def forward(
        self, x: Tensor, tile: Tile, on_features: OnFeatures, *, taped: bool
    ) -> tuple[Tensor, Tape]:
        """Compute the segment on one tile.

        Args:
            x: the segment's input in the tile's outer region, (H, W, C).
            on_features: called with the features of each loss layer, in the inner region.
            taped: whether a backward pass will follow.

        Returns:
            The output for the tile's share, pooled unless this is the top; and the tape.
        """
        tape = Tape()
        recording = taped and self.recomputed is None
        for layer in self.layers:
            patch = tile[parse_block(layer)]
            x = self.vgg.convolve(layer, x)
            if layer in self.loss_layers:
                on_features(layer, patch.inner, patch.share.crop(x))
                if recording:
                    tape.features[layer] = x
            elif recording and not self._is_pooled(layer):
                if self.packed:
                    tape.signs[layer] = pack(find_positive(x))
                else:
                    tape.features[layer] = x
            recording = recording or (taped and layer == self.recomputed)
            if self._is_pooled(layer):
                x = self._pool_to_output(x, tile, parse_block(layer), tape if recording else None)
        return x, tape

    def backward(
        self, x: Tensor | None, tile: Tile, tape: Tape, d: Tensor | None, add_gradient: AddGradient
    ) -> Tensor:
        """Return the gradient by the segment's input in the tile's outer region, (H, W, C).

        Args:
            x: the input, if `needs_input`. tape: of `forward`; it is emptied. d: the gradient by the
            output for the tile's share, None at the top. add_gradient: adds the losses' gradients.
        """
        if self.recomputed is not None:
            assert x is not None, "this segment recomputes features"
            self._recompute(x, tile, tape)
        if d is None:  # the top ends with a loss layer
            d = torch.zeros_like(tape.features[self.layers[-1]])
        for layer in reversed(self.layers):
            block = parse_block(layer)
            patch = tile[block]
            if self._is_pooled(layer):
                d = self._unpool(d, tile, block, tape)
            features = tape.features.pop(layer, None)
            if features is not None:
                rest = None
                if layer in self.loss_layers:
                    mine, seen = patch.share.crop(d), patch.share.crop(features)
                    rest = add_gradient(layer, patch.inner, seen, mine)
                    if rest is not None and mine.shape != d.shape:
                        rest.add_to(mine, seen)
                        rest = None
                d = mask_dead(d, features) if rest is None else rest.add_masked(d, features)
            elif layer in tape.signs:
                d = keep(d, unpack(tape.signs.pop(layer), d.shape))
            d = self.vgg.convolve_back(layer, d)
        return d

    def _is_pooled(self, layer: str) -> bool:
        return self.vgg.is_last_of_block(layer) and (self.pools_output or layer != self.layers[-1])

    def _pool_to_output(self, x: Tensor, tile: Tile, block: int, tape: Tape | None) -> Tensor:
        """Pool, and crop to what the next block needs."""
        values, pooling = max_pool(x, self.vgg.way.codes_pooling)
        if tape is not None:
            tape.poolings[block] = pooling
        return self._find_output(tile, block).crop(values).contiguous()

    def _find_output(self, tile: Tile, block: int) -> Region:
        """Find the part of the pooled outer region that the next block, or the next segment, takes."""
        pooled = tile[block].outer.pool()
        output = tile[block + 1].outer if block + 1 in tile else tile[block].inner.pool()
        return output.relative_to(pooled)

    def _unpool(self, d: Tensor, tile: Tile, block: int, tape: Tape) -> Tensor:
        """Turn the gradient by the pooled output into that by the block's last layer."""
        pooling, output = tape.poolings.pop(block), self._find_output(tile, block)
        if output.size != tuple(pooling.shape[:2]):
            whole = d.new_zeros(pooling.shape)
            output.crop(whole).copy_(d)
            d = whole
        return pooling.spread(d, *tile[block].outer.size)

    def _recompute(self, x: Tensor, tile: Tile, tape: Tape) -> None:
        """Compute all layers up to the last one that the losses compare, onto the tape, unpacked."""
        for layer in self.layers:
            x = self.vgg.convolve(layer, x)
            tape.features[layer] = x
            if layer == self.recomputed:
                return
            if self._is_pooled(layer):
                x = self._pool_to_output(x, tile, parse_block(layer), tape)
