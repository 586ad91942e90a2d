"""The plan of a rendering: how much of the picture is worked on at once, and what is kept of it.

Plain arithmetic on sizes, without torch, so that the web part can say beforehand what a picture will
need. `farm.engine.gradient` carries a plan out; its docstring explains segments and tapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from farm.errors import DoesNotFit, OutOfMemory
from farm.recipe import Recipe
from farm.recipe.recipe import CONVOLUTIONS

CHANNELS = (64, 128, 256, 512, 512)  # of the convolutions in each block, VGG16 and VGG19 alike
BLOCKS = (1, 2, 3, 4, 5)
EACH_ALONE = tuple((block,) for block in BLOCKS)
FIRST_TWO_TOGETHER = ((1, 2), (3,), (4,), (5,))

TILE_BYTES = {"cpu": 32 << 20, "cuda": 1 << 30}  # of a tile's widest activation
SMALLEST_TILE = 64  # px; below it the halos cost more than the tiles

GRADIENT_FLOATS = 3
LBFGS_PAIRS = 8  # of its history
# A pixel's floats of the optimiser's state between two steps, by name.
STATE_FLOATS = {"adam": 4 * 3, "lbfgs": (3 + 2 * LBFGS_PAIRS) * 3}
STEP_FLOATS = 6  # what a step of the optimiser holds for a moment
TILE_COPIES = 8  # buffers of a tile's widest layer alive at once, measured
CPU_BASE_BYTES = 450_000_000  # Python, torch and its libraries, measured
WINOGRAD_WORKSPACE_BYTES = 120_000_000


class Plan(BaseModel):
    """How one gradient is computed. Another plan gives the same gradient but for rounding.

    tile: side of a tile in block 1, px; deeper blocks take as many pixels as hold the same number of
    values. None: the whole picture is one tile. segments: blocks that are worked through together.
    kept: for each segment, whether the features that the losses look at are kept for the backward
    pass; else they are computed again there. offload: the optimiser's state lies in the CPU's memory.
    """

    model_config = ConfigDict(frozen=True)

    tile: int | None
    segments: tuple[tuple[int, ...], ...]
    kept: tuple[bool, ...]
    offload: bool = False

    def tile_of(self, segment: Sequence[int]) -> int | None:
        """Side of a tile in the segment's last block, px of that block, even."""
        if self.tile is None:
            return None
        sides = [
            self.tile * math.sqrt(CHANNELS[0] / CHANNELS[block - 1]) / 2.0 ** (segment[-1] - block)
            for block in segment
        ]
        return max(2, 2 * round(min(sides) / 2))

    def describe(self) -> str:
        """For the log."""
        size = "the whole picture at once" if self.tile is None else f"tiles of {self.tile} px"
        kept = [str(b) for seg, keep in zip(self.segments, self.kept, strict=True) if keep for b in seg]
        features = f"features of blocks {', '.join(kept)} kept" if kept else "nothing kept"
        return f"{size}, {features}{', state on the CPU' if self.offload else ''}"


WHOLE = Plan(tile=None, segments=EACH_ALONE, kept=(True,) * 5)


def default_tile(device: str, itemsize: int) -> int:
    """Side of the tiles a kind of device is fastest with, px. On a CPU larger buffers come fresh from
    the system each time, which costs as much as computing with them."""
    return 32 * math.isqrt(TILE_BYTES[device] // (CHANNELS[0] * itemsize * 32 * 32))


def ladder(tile: int | None, offload: bool = False) -> list[Plan]:
    """Plans from the fastest to the smallest.

    First fewer features are kept, then the two shallow blocks are worked through together, so that
    the largest block input is never held, and last the tiles shrink. offload: whether the optimiser's
    state can lie elsewhere than the gradient's memory.
    """
    if tile is None:
        return [WHOLE]
    kept = [(False,) * recomputed + (True,) * (5 - recomputed) for recomputed in range(1, 5)]
    plans = [Plan(tile=tile, segments=EACH_ALONE, kept=k) for k in kept]
    while tile >= SMALLEST_TILE:
        small = (False, False, False, True)
        plans.append(Plan(tile=tile, segments=FIRST_TWO_TOGETHER, kept=small))
        tile //= 2
    if offload:
        plans.append(plans[-1].model_copy(update={"offload": True}))
    return plans


@dataclass(frozen=True)
class Work:
    """What decides how much memory a recipe takes, but for size and plan.

    features: the network's name. content, style: the layers that the losses look at. itemsize: bytes of
    an activation. winograd: whether convolutions carry kernels of that kind. state_floats: of the
    optimiser, a pixel. device: `cpu` or `cuda`.
    """

    features: str
    content: frozenset[str]
    style: frozenset[str]
    itemsize: int
    winograd: bool
    state_floats: int
    device: str

    @classmethod
    def of(cls, recipe: Recipe, features: str, itemsize: int, winograd: bool, device: str) -> Work:
        """A recipe's, once the network and the number format are known."""
        return cls(
            features=features,
            content=frozenset(name for name, weight in recipe.content_layers.items() if weight),
            style=frozenset(name for name, weight in recipe.style_layers.items() if weight),
            itemsize=itemsize,
            winograd=winograd,
            state_floats=STATE_FLOATS[recipe.optimizer],
            device=device,
        )

    @property
    def looked_at(self) -> frozenset[str]:
        """The layers of either loss."""
        return self.content | self.style

    @property
    def deepest(self) -> int:
        """The last block that the losses look at."""
        return max(block_of(layer) for layer in self.looked_at)

    @property
    def fixed_bytes(self) -> int:
        """Weights, and the kernels made of them for both directions."""
        values = 0
        for block in range(1, self.deepest + 1):
            before, channels = CHANNELS[max(0, block - 2)], CHANNELS[block - 1]
            values += channels * (before + (CONVOLUTIONS[self.features][block - 1] - 1) * channels)
        kernels = 36 if self.winograd else 9
        return values * self.itemsize * (9 + 2 * kernels)


def block_of(layer: str) -> int:
    """`relu3_2` -> 3."""
    return int(layer[4])


def layers_of(features: str, segment: Sequence[int]) -> list[str]:
    """The layers of some blocks, shallow to deep."""
    counts = CONVOLUTIONS[features]
    return [f"relu{block}_{i}" for block in segment for i in range(1, counts[block - 1] + 1)]


def again_until(layers: Sequence[str], looked: frozenset[str], kept: bool) -> str | None:
    """The last of a segment's layers that the backward pass computes again; None: it computes none."""
    found = [layer for layer in layers if layer in looked]
    return None if kept or not found else found[-1]


def _tape_bytes(work: Work, segment: tuple[int, ...], kept: bool) -> float:
    """What the forward pass leaves of a segment for the backward pass, bytes a pixel."""
    layers = layers_of(work.features, segment)
    again = again_until(layers, work.looked_at, kept)
    size = 0.0
    if again is not None and segment[0] > 1:
        size += _values(segment[0] - 1) / 4 * work.itemsize
    for layer in layers[layers.index(again) + 1 if again else 0 :]:
        block = block_of(layer)
        last_of_block = layer == layers_of(work.features, (block,))[-1]
        if layer in work.looked_at:
            size += _values(block) * work.itemsize
        elif not last_of_block:
            size += _values(block) / 8
        if last_of_block:
            size += _values(block) / 4 * 3 / 8
    return size


def _values(block: int) -> float:
    """Activations of one layer of a block, for one pixel of the picture."""
    return float(CHANNELS[block - 1] / 4 ** (block - 1))


def gradient_bytes(plan: Plan, work: Work, height: int, width: int) -> int:
    """The most that one gradient holds at once, beside state, targets and weights."""
    held = 0.0
    peaks = []
    segments = [s for s in plan.segments if s[0] <= work.deepest]
    for segment, kept in zip(segments, plan.kept, strict=False):
        enter = _values(segment[0] - 1) / 4 * work.itemsize if segment[0] > 1 else 0.0
        leave = _values(segment[-1]) / 4 * work.itemsize if segment is not segments[-1] else 0.0
        held += _tape_bytes(work, segment, kept)
        peaks.append(held + enter + leave)  # forward and backward alike: two boundaries at once
    return int(max(peaks) * height * width + _workspace_bytes(plan, work, height, width))


def _workspace_bytes(plan: Plan, work: Work, height: int, width: int) -> float:
    """Of the tile at hand."""
    whole = height * width
    tile = whole if plan.tile is None else min(whole, (plan.tile + 16) ** 2)
    winograd = WINOGRAD_WORKSPACE_BYTES if work.winograd else 0
    return CHANNELS[0] * tile * work.itemsize * TILE_COPIES + winograd


def peak_bytes(plan: Plan, work: Work, height: int, width: int) -> int:
    """The most memory a rendering of this size holds where its gradient is computed. On a CPU that is
    the whole process."""
    pixels = height * width
    state = 3 if plan.offload else work.state_floats
    target = sum(_values(block_of(layer)) for layer in work.content) * work.itemsize
    lasting = pixels * (4 * state + target)
    gradient = gradient_bytes(plan, work, height, width) + pixels * 4 * GRADIENT_FLOATS
    step = pixels * 4 * STEP_FLOATS
    base = CPU_BASE_BYTES if work.device == "cpu" else 0
    return int(lasting + max(gradient, step) + work.fixed_bytes + base)


def choose(work: Work, height: int, width: int, budget: int, tile: int | None, lowered: int = 0) -> Plan:
    """The fastest plan for a picture of this size that holds at most `budget` bytes.

    lowered: how many plans further down to go, because memory ran out in spite of the arithmetic.

    Raises:
        DoesNotFit: not even the smallest does; with the numbers. OutOfMemory: it had seemed to.
    """
    plans = ladder(tile, offload=work.device != "cpu")
    fitting = [plan for plan in plans if peak_bytes(plan, work, height, width) <= budget]
    if len(fitting) > lowered:
        return fitting[lowered]
    if fitting:
        raise OutOfMemory(f"Memory ran out at {width} x {height}, even with the smallest plan.")
    needed = peak_bytes(plans[-1], work, height, width)
    fixed = peak_bytes(plans[-1], work, 1, 1)
    shrink = math.sqrt(max(0, budget - fixed) / (needed - fixed))
    largest = int(max(height, width) * shrink) // 16 * 16
    hint = f"The largest size that fits here is about {largest}." if largest >= 64 else ""
    raise DoesNotFit(
        f"{width} x {height} needs {needed / 1e9:.1f} GB even with the smallest plan; "
        f"{budget / 1e9:.1f} GB may be used. {hint}".strip()
    )
