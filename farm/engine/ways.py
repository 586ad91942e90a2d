"""The ways of computing that depend on the kind of device.

What is fast on a CPU is slow on a GPU and the other way round: a CPU minds memory traffic, a GPU minds
how often it is called and whether anyone waits for it. The gradient is the same but for rounding. Each
way works on any device, so that a GPU's can be tested without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Way:
    """Choices of one kind of device."""

    # The repeated border: a convolution's input of at most so many positions is padded by it; of a
    # larger one the outermost lines of the output are computed anew.
    padded_positions: int
    # Channels of the picture as the first convolution takes it; beyond the third they are zero. Tensor
    # cores want eight.
    picture_channels: int
    # Pooling: one byte a value, from four views, or torch's places, packed into half a byte.
    codes_pooling: bool
    # Roots of covariances: Newton-Schulz iterations, which are products alone, or eigh.
    iterates_roots: bool
    # In which number format an inverse root is multiplied out, once eigenvalues are known.
    inverses: torch.dtype
    # Style layers of at most so many channels are computed as one batch of this width; none: each alone.
    batch_widths: tuple[int, ...]
    # A region's features are taken in rectangles: values without weight that one may hold, rather than
    # be cut in two.
    spare_values: int


CPU = Way(
    padded_positions=2048,
    picture_channels=3,
    codes_pooling=False,
    iterates_roots=False,
    inverses=torch.float64,
    batch_widths=(),
    spare_values=1 << 17,
)
GPU = Way(
    padded_positions=1 << 22,
    picture_channels=8,
    codes_pooling=True,
    iterates_roots=True,
    inverses=torch.float64,
    batch_widths=(256, 512),
    spare_values=1 << 24,
)


# Whoever computes in float64 wants no approximation; for others float32 is more than gradients keep.
FAST_CPU = replace(CPU, inverses=torch.float32)
EXACT_GPU = replace(GPU, iterates_roots=False, batch_widths=())


def choose_way(device: torch.device, dtype: torch.dtype) -> Way:
    """Choose the way that suits a device and a number format."""
    if device.type == "cpu":
        return CPU if dtype == torch.float64 else FAST_CPU
    return EXACT_GPU if dtype == torch.float64 else GPU
