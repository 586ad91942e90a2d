"""`python -m benchmarks.gradients [SIZE ...]`: what a gradient takes on a CPU, beside the default's.

The default, `light`, `gram`, and the default with eight regions, of the lake, in turns. Of each its
processor's seconds on one thread, then its seconds on as many threads as torch has: within which the
fastest tenth and the faster half of its turns were, and these over the default's. A machine's speed
wavers with what else it does, so a ratio counts only where both are near each other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from benchmarks.regions import load, make_grid
from farm.counts import format_count
from farm.engine.gradient import Objective
from farm.engine.guides import Guides, Mask
from farm.engine.loaded import Engine
from farm.engine.maps import LevelMaps
from farm.engine.pyramid import Level, resize, to_tensor
from farm.recipe import Recipe
from farm.settings import settings

CPU = torch.device("cpu")
DEFAULT = "default"
PAINTINGS = ("brushwork", "mosaic", "ink_wash", "street") * 2
SECONDS = 20.0  # of turns, and no fewer than
TURNS = 12


def make_objectives(engine: Engine, level: Level) -> tuple[dict[str, Objective], Tensor]:
    """Make the objectives by name, and a picture half-way between lake and brushwork."""
    lake, *paintings = (to_tensor(load(name), CPU) for name in ("mountain_lake", *PAINTINGS))
    size = max(level.height, level.width)

    def make(style_loss: str, shown: int, masks: tuple[Mask, ...] = ()) -> Objective:
        recipe = Recipe.parse({"size": size, "style_loss": style_loss})
        guides = Guides(masks=masks)
        maps = LevelMaps.from_guides(guides, level, recipe.normalise_blend(shown))
        plan = engine.choose_plan(recipe, level.height, level.width)
        return Objective(engine.vgg, recipe, lake, paintings[:shown], level, plan, maps=maps)

    default = Recipe().style_loss
    objectives = {name: make(kind, 1) for name, kind in ((DEFAULT, default), ("light", "light"))}
    objectives["gram"] = make("gram", 1)
    masks = make_grid(level.height, level.width)
    objectives["eight regions"] = make(default, len(masks), masks)
    pictures = (resize(each, level.height, level.width) for each in (lake, paintings[0]))
    return objectives, sum(pictures, start=torch.zeros(1)) / 2


def take_turns(
    objectives: Mapping[str, Objective], picture: Tensor, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return each one's seconds by a clock, in turns, ascending."""
    seconds: dict[str, list[float]] = {name: [] for name in objectives}
    ends = None
    while ends is None or time.perf_counter() < ends or len(seconds[DEFAULT]) < TURNS:
        for name, objective in objectives.items():
            began = clock()
            objective(picture)
            seconds[name].append(clock() - began)
        if ends is None:  # the first turn warms up
            seconds = {name: [] for name in objectives}
            ends = time.perf_counter() + SECONDS
    return {name: sorted(each) for name, each in seconds.items()}


def main() -> None:
    engine = Engine.load("auto", "auto", settings().weights_dir, print, CPU)
    threads = torch.get_num_threads()
    for size in map(int, sys.argv[1:] or ("256", "512", "1024")):
        objectives, picture = make_objectives(engine, Level(size * 2 // 3, size, 1))
        for count, clock in ((1, time.process_time), (threads, time.perf_counter)):
            torch.set_num_threads(count)
            found = take_turns(objectives, picture, clock)
            print(f"{size} px, {format_count(count, 'thread')}, {len(found[DEFAULT])} turns:")
            for name, seconds in found.items():
                ratios = [
                    f"{seconds[at]:.3f} s, {seconds[at] / found[DEFAULT][at]:.2f} times"
                    for at in (len(seconds) // 10, len(seconds) // 2)
                ]
                print(f"  {name:14} {'; '.join(ratios)}")


if __name__ == "__main__":
    main()
