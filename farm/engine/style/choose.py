"""Style losses by the name that a recipe gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farm.engine.statistics import Moments
from farm.engine.style.gram import GramLoss
from farm.engine.style.protocol import MomentsLoss, StyleLoss
from farm.engine.style.wasserstein import WassersteinLoss
from farm.engine.ways import CPU, Way

LOSSES: dict[str, type[MomentsLoss]] = {"gram": GramLoss, "wasserstein": WassersteinLoss}


def make_style_losses(kind: str, targets: Mapping[str, Moments], way: Way = CPU) -> list[StyleLoss[Any]]:
    """Make the style losses of a kind, in batches of layers as `way` wants them."""
    return [LOSSES[kind](batch, width, way) for width, batch in batch_layers(targets, way)]


def batch_layers(targets: Mapping[str, Moments], way: Way) -> list[tuple[int, dict[str, Moments]]]:
    """Return batches of layers, each with its width, channels."""
    batches: dict[tuple[int, str], dict[str, Moments]] = {}
    for layer, target in targets.items():
        C = len(target.total)
        wide = [width for width in way.batch_widths if width >= C]
        key = (min(wide), "") if wide else (C, layer)
        batches.setdefault(key, {})[layer] = target
    return [(width, batch) for (width, _), batch in batches.items()]
