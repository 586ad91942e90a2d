"""VGG16 of fewer channels, for what holds whatever their number: equations, tiles, equal bits.

Each layer has the first of its channels, with their real weights. Those are multiplied by what the sums
over channels lose, so that features are about as large as with all of them, and few channels are dead.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from torch import Tensor

from farm.engine import weights
from farm.engine.loaded import Engine
from farm.engine.vgg import VGG

DIVISOR = 4  # of the channels, of which a network so narrow takes a sixteenth of the multiplications


@cache
def load_tensors(folder: Path, divisor: int = DIVISOR) -> dict[str, Tensor]:
    """Load the weights of one in `divisor` channels; 1: all."""
    found = {}
    for name, tensor in weights.load("vgg16", folder).items():
        tensor = tensor[: len(tensor) // divisor]
        if tensor.dim() == 4 and tensor.shape[1] > 3:
            tensor = tensor[:, : tensor.shape[1] // divisor] * divisor
        found[name] = tensor
    return found


def load_engine(setting: str, folder: Path) -> Engine:
    """Load an engine of that network, with a setting of the precision."""
    whole = Engine.load("vgg16", setting, folder, print)
    of = whole.number_format
    narrow = VGG("vgg16", load_tensors(folder), whole.device, of.dtype, of.winograd)
    return replace(whole, vgg=narrow)
