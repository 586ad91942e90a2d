"""What a rendering will need, told before it starts: memory, time, and the worker that can do it.

Arithmetic on the recipe and on what the workers tell of themselves; without torch, for the web part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from farm.database.models import Worker
from farm.errors import DoesNotFit
from farm.recipe import Recipe
from farm.recipe.levels import Level, levels, pixel_iterations
from farm.recipe.memory_plan import Work, choose, default_tile, ladder, peak_bytes

ASSUMED_FEATURES = "vgg19"  # where `auto` is not yet settled: it needs more than the others


@dataclass(frozen=True)
class Estimate:
    """What a rendering will need on the worker that suits it best.

    height, width: of the result, px. worker: its name. peak_bytes: the most memory held in any level;
    where it does not fit, what the smallest plan would need. seconds: None where no speed was measured
    yet. refusal: why it fits no worker, with the numbers; None: it fits.
    """

    height: int
    width: int
    worker: str
    peak_bytes: int
    seconds: float | None
    refusal: str | None = None


def estimate(
    recipe: Recipe, height: int, width: int, workers: Iterable[Worker], features: str | None = None
) -> Estimate | None:
    """The best of some workers for a photograph of `height` x `width` px; None: there are no workers.

    Best is the one that is done first; where none has room, the one with the most.

    Args:
        features: the network that `auto` became, if that is known.

    Raises:
        InvalidInput: the result would be too narrow.
    """
    recipe.result_size(height, width)
    course = levels(recipe, height, width)
    found = [(_on(worker, recipe, course, features), worker.budget_bytes) for worker in workers]
    return min(found, key=lambda pair: (*_order(pair[0]), -pair[1]))[0] if found else None


@dataclass(frozen=True)
class Together:
    """Estimate several renderings of one size and schedule over all workers that have room."""

    # Of each result, px.
    height: int
    width: int
    # Names of those that share the work; empty where none has room.
    workers: tuple[str, ...]
    # Until the last is done, if nothing else waits; None where no speed was measured yet.
    seconds: float | None
    # Why they fit no worker, with the numbers; None: they fit.
    refusal: str | None = None


def estimate_together(
    recipe: Recipe, height: int, width: int, workers: Iterable[Worker], pieces: Sequence[float]
) -> Together | None:
    """Estimate how long several renderings take when workers share them; None: there are no workers.

    Args:
        recipe: of one of them. height, width: of the photograph, px. pieces: for each rendering, the
            share of it that is still to do, 0..1.

    Raises:
        InvalidInput: a result would be too narrow.
    """
    recipe.result_size(height, width)
    course = levels(recipe, height, width)
    found = [_on(worker, recipe, course, None) for worker in workers]
    if not found:
        return None
    fitting = [each for each in found if each.refusal is None]
    last = course[-1]
    if not fitting:
        return Together(last.height, last.width, (), None, found[0].refusal)
    measured = [each for each in fitting if each.seconds is not None]
    names = tuple(each.worker for each in (measured or fitting)[: len(pieces)])
    speeds = [each.seconds for each in measured if each.seconds is not None]
    seconds = share_out(speeds, pieces) if speeds else None
    return Together(last.height, last.width, names, seconds)


def share_out(speeds: Sequence[float], pieces: Sequence[float]) -> float:
    """Return the seconds until all pieces are done, each by the worker that is done with it first.

    Args:
        speeds: for each worker, the seconds that it needs for a whole rendering; at least one.
        pieces: shares of a rendering, 0..1.
    """
    busy = [0.0] * len(speeds)
    for piece in sorted(pieces, reverse=True):
        ends = [until + piece * speed for until, speed in zip(busy, speeds, strict=True)]
        first = min(range(len(ends)), key=ends.__getitem__)
        busy[first] = ends[first]
    return max(busy)


def _order(found: Estimate) -> tuple[bool, bool, float]:
    return found.refusal is not None, found.seconds is None, found.seconds or 0.0


def _on(worker: Worker, recipe: Recipe, course: list[Level], features: str | None) -> Estimate:
    """On one worker. Each level has a plan of its own, so the peak need not be the last one's."""
    work = work_on(worker, recipe, features)
    tile = default_tile(work.device, work.itemsize)
    last = course[-1]
    try:
        peak = max(_peak(work, level, worker.budget_bytes, tile) for level in reversed(course))
    except DoesNotFit as refusal:
        smallest = ladder(tile, offload=work.device != "cpu")[-1]
        needed = peak_bytes(smallest, work, last.height, last.width)
        return Estimate(last.height, last.width, worker.name, needed, None, str(refusal))
    speed = worker.seconds_per_megapixel
    seconds = None if speed is None else speed * pixel_iterations(course) / 1e6
    return Estimate(last.height, last.width, worker.name, peak, seconds)


def _peak(work: Work, level: Level, budget: int, tile: int) -> int:
    plan = choose(work, level.height, level.width, budget, tile)
    return peak_bytes(plan, work, level.height, level.width)


def work_on(worker: Worker, recipe: Recipe, features: str | None = None) -> Work:
    """What the planner asks, as the engine on that worker will answer it."""
    itemsize, winograd = {
        "auto": (worker.itemsize, worker.winograd),
        "float32": (4, False),
        "winograd": (4, True),
        "mixed": (2, False),
    }[recipe.precision]
    network = (features or ASSUMED_FEATURES) if recipe.features == "auto" else recipe.features
    return Work.of(recipe, network, itemsize, winograd, worker.device_kind)
