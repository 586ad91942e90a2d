"""The tape: what a tile's forward pass keeps for its backward pass, as small as it can be.

The gradient of a ReLU network at a picture needs no activations: one bit for each ReLU records whether
it passes, half a byte for each pooled value its origin. Only where a loss compares features does the
backward pass need the numbers. Where memory is plenty they are kept everywhere, which saves the packing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from farm.engine.pooling import Pooling


@dataclass
class Tape:
    """The record of one tile's forward pass."""

    # By layer, (H, W, C).
    features: dict[str, Tensor] = field(default_factory=dict)
    # By layer, packed: whether each feature is above zero.
    signs: dict[str, Tensor] = field(default_factory=dict)
    # By block.
    poolings: dict[int, Pooling] = field(default_factory=dict)
