"""Networks whose features are compared: their layers, and which of them `auto` takes."""

from __future__ import annotations

from collections.abc import Sequence

CONVOLUTIONS = {  # in each block
    "vgg19": (2, 2, 4, 4, 4),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg16-bsds": (2, 2, 3, 3, 3),
}
CHANNELS = (64, 128, 256, 512, 512)  # of the convolutions in each block, VGG16 and VGG19 alike
AUTOMATIC = ("vgg19", "vgg16")  # `auto` takes the first of these that can be had
LAST_RESORT = "vgg16-bsds"  # `auto` takes it where it is cached and neither of those can be had


def list_layer_names(features: str) -> tuple[str, ...]:
    """List `relu1_1` .. of one network, shallow to deep; of `auto` those that all networks have."""
    if features == "auto":
        first, *others = (list_layer_names(name) for name in (*AUTOMATIC, LAST_RESORT))
        return tuple(layer for layer in first if all(layer in other for other in others))
    return tuple(
        f"relu{block}_{index}"
        for block, count in enumerate(CONVOLUTIONS[features], start=1)
        for index in range(1, count + 1)
    )


def parse_block(layer: str) -> int:
    """Return the block of a layer: `relu3_2` -> 3."""
    return int(layer[4])


def list_layers(network: str, segment: Sequence[int]) -> list[str]:
    """List the layers of some blocks, shallow to deep."""
    counts = CONVOLUTIONS[network]
    return [f"relu{block}_{i}" for block in segment for i in range(1, counts[block - 1] + 1)]
