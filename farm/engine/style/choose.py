"""Style losses by the name that a recipe gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from farm.engine.statistics import Moments
from farm.engine.style import kernel
from farm.engine.style.central_moments import CentralMomentsLoss
from farm.engine.style.gram import GramLoss
from farm.engine.style.gram_and_mean import GramAndMeanLoss
from farm.engine.style.light import LightLoss
from farm.engine.style.protocol import MomentsLoss, StyleLoss
from farm.engine.style.wasserstein import WassersteinLoss
from farm.engine.ways import CPU, Way

Targets = Mapping[str, Moments]
OF_MOMENTS: dict[str, type[MomentsLoss]] = {
    "gram": GramLoss,
    "gram+mean": GramAndMeanLoss,
    "wasserstein": WassersteinLoss,
}


def make_style_losses(kind: str, targets: Targets, way: Way = CPU) -> list[StyleLoss[Any]]:
    """Make the style losses of a kind, in batches of layers as `way` wants them.

    Those that `needs_sums` lack their target yet.

    Args:
        targets: the paintings' moments, by layer.
    """
    return [*_make(kind, targets, way)]


def _make(kind: str, targets: Targets, way: Way) -> Iterator[StyleLoss[Any]]:
    if kind in OF_MOMENTS:
        for width, batch in batch_layers(targets, way):
            yield OF_MOMENTS[kind](batch, width, way)
    elif kind == "moments":
        yield from map(CentralMomentsLoss, targets)
    elif kind == "kernel":
        deep = {k: each for k, each in targets.items() if len(each.total) >= kernel.NARROWEST}
        yield from (kernel.KernelLoss(layer, target) for layer, target in deep.items())
        yield from _make("wasserstein", _leave_out(targets, deep), way)
    elif kind == "light":
        batches = [[*targets]] if way.batch_widths else [[layer] for layer in targets]
        yield from (LightLoss({layer: targets[layer] for layer in batch}, way) for batch in batches)
    else:
        raise ValueError(f"there is no style loss {kind}")


def _leave_out(targets: Targets, others: Mapping[str, object]) -> Targets:
    return {layer: target for layer, target in targets.items() if layer not in others}


def batch_layers(targets: Targets, way: Way) -> list[tuple[int, dict[str, Moments]]]:
    """Return batches of layers, each with its width, channels."""
    batches: dict[tuple[int, str], dict[str, Moments]] = {}
    for layer, target in targets.items():
        C = len(target.total)
        wide = [width for width in way.batch_widths if width >= C]
        key = (min(wide), "") if wide else (C, layer)
        batches.setdefault(key, {})[layer] = target
    return [(width, batch) for (width, _), batch in batches.items()]
