"""The plan of a rendering: how much of the picture is processed at once, and what is kept of it.

Plain arithmetic on sizes, without torch, so that the web part knows beforehand what a picture will
need. `farm.engine.gradient` carries a plan out; its docstring explains segments and tapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from farm.recipe.networks import CHANNELS

BLOCKS = (1, 2, 3, 4, 5)
EACH_ALONE = tuple((block,) for block in BLOCKS)
FIRST_TWO_TOGETHER = ((1, 2), (3,), (4,), (5,))
FIRST_THREE_TOGETHER = ((1, 2, 3), (4,), (5,))  # these two for paintings, which are passed forward only
ALL_TOGETHER = (BLOCKS,)

TILE_BYTES = {"cpu": 32 << 20, "cuda": 1 << 30}  # of a tile's widest activation
SMALLEST_TILE = 64  # px; below it the halos cost more than the tiles


class Plan(BaseModel):
    """The way one gradient is computed. Another plan gives the same gradient but for rounding."""

    model_config = ConfigDict(frozen=True)

    # Side of a tile in block 1, px; deeper blocks take as many pixels as hold the same number of values.
    # None: the whole picture is one tile.
    tile: int | None
    # Blocks that are processed together.
    segments: tuple[tuple[int, ...], ...]
    # For each segment, whether the features that the losses compare are kept for the backward pass; else
    # they are recomputed there.
    kept: tuple[bool, ...]
    # Whether of the other layers' features only the signs are kept, eight to a byte; else all is kept,
    # which takes sixteen times the memory in half precision and saves the packing.
    packed: bool = True
    # Whether the optimiser's state lies in the CPU's memory.
    offload: bool = False
    # The way in which a painting is passed through the network, forward only; None: this plan's.
    for_paintings: Plan | None = None

    def compute_tile_side(self, segment: Sequence[int]) -> int | None:
        """Return the side of a tile in the segment's last block, px of that block, even."""
        if self.tile is None:
            return None
        sides = [
            self.tile * math.sqrt(CHANNELS[0] / CHANNELS[block - 1]) / 2.0 ** (segment[-1] - block)
            for block in segment
        ]
        return max(2, 2 * round(min(sides) / 2))

    def describe(self) -> str:
        """Return one line for the log."""
        size = "the whole picture at once" if self.tile is None else f"tiles of {self.tile} px"
        kept = [str(b) for seg, keep in zip(self.segments, self.kept, strict=True) if keep for b in seg]
        features = f"features of blocks {', '.join(kept)} kept" if kept else "nothing kept"
        if not self.packed:
            features = "all features kept" if all(self.kept) else f"all {features}"
        state = ", state on the CPU" if self.offload else ""
        aside = self.for_paintings
        paintings = f"; paintings in tiles of {aside.tile} px, {aside.joined} joined" if aside else ""
        return f"{size}, {features}{state}{paintings}"

    @property
    def joined(self) -> str:
        """The blocks of the first segment, for the log."""
        return f"blocks {self.segments[0][0]} to {self.segments[0][-1]}"


WHOLE = Plan(tile=None, segments=EACH_ALONE, kept=(True,) * 5)
EVERYTHING = WHOLE.model_copy(update={"packed": False})  # a GPU's first choice


def choose_tile(device: str, itemsize: int) -> int:
    """Return the side of the tiles that a kind of device is fastest with, px.

    On a CPU larger buffers come fresh from the system each time, which costs as much as computing with
    them.
    """
    return 32 * math.isqrt(TILE_BYTES[device] // (CHANNELS[0] * itemsize * 32 * 32))


def list_plans(tile: int | None, gpu: bool = False) -> list[Plan]:
    """List the plans from the fastest to the smallest.

    On a GPU first the whole picture with all its features, then tiles with all of theirs and with all
    but the first block's. Then tiles, of which fewer and fewer are kept, then the two shallow
    blocks are processed together, so that the largest block input is never held, then the tiles
    shrink, and last a GPU's state of the optimiser goes to the CPU's memory.

    Args:
        tile: side of the first tiles in block 1, px; None: one plan, the whole picture at once.
        gpu: whether the gradient's memory is a GPU's.
    """
    if tile is None:
        return [EVERYTHING if gpu else WHOLE]
    kept = [(False,) * recomputed + (True,) * (5 - recomputed) for recomputed in range(1, 5)]
    plans = [EVERYTHING] if gpu else []
    for keeps in (EVERYTHING.kept, kept[0]) if gpu else ():
        for side in (tile, tile // 2):
            plans.append(Plan(tile=side, segments=EACH_ALONE, kept=keeps, packed=False))
    plans += [Plan(tile=tile, segments=EACH_ALONE, kept=k) for k in kept]
    while tile >= SMALLEST_TILE:
        small = (False, False, False, True)
        plans.append(Plan(tile=tile, segments=FIRST_TWO_TOGETHER, kept=small))
        tile //= 2
    if gpu:
        plans.append(plans[-1].model_copy(update={"offload": True}))
    return plans


def list_painting_plans(plan: Plan, tile: int | None) -> list[Plan]:
    """List the ways to pass paintings through, from a plan's own to the smallest.

    More and more blocks are processed together, so that less is held between them; as the halos of all
    blocks are wide, the tiles shrink last.

    Args:
        tile: side of the first tiles where the plan has none, px.
    """
    found = [plan]
    untiled, tile = plan.tile is None, plan.tile or tile
    if tile is None:
        return found
    for segments in (EACH_ALONE, FIRST_TWO_TOGETHER, FIRST_THREE_TOGETHER, ALL_TOGETHER):
        if untiled or len(segments) < len(plan.segments):
            found.append(Plan(tile=tile, segments=segments, kept=(False,) * len(segments)))
    while tile // 2 >= SMALLEST_TILE:
        tile //= 2
        found.append(Plan(tile=tile, segments=ALL_TOGETHER, kept=(False,)))
    return found
