"""Estimates before a rendering starts: memory, time, and the worker that can do it.

Arithmetic on the recipe and on the registry of workers; without torch, for the web part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from farm.database.fleet import Worker
from farm.errors import DoesNotFit
from farm.recipe import Recipe
from farm.recipe.levels import Level, compute_levels, count_work
from farm.recipe.memory_choice import choose, minimise
from farm.recipe.memory_estimates import Work, estimate_peak_bytes
from farm.recipe.memory_plan import choose_tile, list_plans
from farm.recipe.picture_sizes import PictureSizes, Size

REGION_SECONDS = 0.05  # of a rendering's time, for each region but the first: docs/quality.md
ASSUMED_FEATURES = "vgg19"  # where `auto` is not yet settled: it needs more than the others


@dataclass(frozen=True)
class Estimate:
    """Memory and time of a rendering on the worker that suits it best."""

    # Of the result, px.
    height: int
    width: int
    # Name of the worker.
    worker: str
    # Most memory held in any level; where the rendering does not fit, the smallest plan's need.
    peak_bytes: int
    # None where no speed was measured yet.
    seconds: float | None
    # Reason why it fits no worker, with the numbers; None: it fits.
    refusal: str | None = None


def estimate(
    recipe: Recipe,
    height: int,
    width: int,
    workers: Iterable[Worker],
    features: str | None = None,
    paintings: Iterable[Size] = (),
    masks: int = 0,
    keeps: bool = False,
    holds: int = 0,
) -> Estimate | None:
    """Return the estimate on the best of some workers; None: there are no workers.

    Best is the worker that is done first; where none has room, the one with the largest budget.

    Args:
        height, width: of the photograph, px.
        features: the network that `auto` became, if that is known.
        paintings: height and width of each, px.
        masks: how many were sent. keeps, holds: see `PictureSizes`.

    Raises:
        InvalidInput: the result would be too narrow.
    """
    recipe.compute_result_size(height, width)
    sizes = PictureSizes((height, width), tuple(paintings), masks, keeps, holds)
    schedule = compute_levels(recipe, height, width)
    found = [
        (_estimate_on(worker, recipe, schedule, features, sizes), worker.budget_bytes)
        for worker in workers
    ]
    return min(found, key=lambda pair: (*_rank(pair[0]), -pair[1]))[0] if found else None


@dataclass(frozen=True)
class SharedEstimate:
    """Time of several renderings of one size and schedule over all workers that have room."""

    # Of each result, px.
    height: int
    width: int
    # Names of those that share the work; empty where none has room.
    workers: tuple[str, ...]
    # Until the last is done, if nothing else waits; None where no speed was measured yet.
    seconds: float | None
    # Reason why they fit no worker, with the numbers; None: they fit.
    refusal: str | None = None


def estimate_together(
    recipe: Recipe,
    height: int,
    width: int,
    workers: Iterable[Worker],
    pieces: Sequence[float],
    paintings: Iterable[Size] = (),
    masks: int = 0,
    keeps: bool = False,
) -> SharedEstimate | None:
    """Estimate how long several renderings take when workers share them; None: there are no workers.

    Args:
        recipe: of one of them.
        height, width: of the photograph, px.
        pieces: for each rendering, the share of it that is still to do, 0..1.
        paintings: height and width of each, px.
        masks: how many were sent. keeps: whether some of the photograph stays, see `PictureSizes`.

    Raises:
        InvalidInput: a result would be too narrow.
    """
    found = estimate_each(recipe, PictureSizes((height, width), tuple(paintings), masks, keeps), workers)
    if not found:
        return None
    fitting = [each for each in found if each.refusal is None]
    first = found[0]
    if not fitting:
        return SharedEstimate(first.height, first.width, (), None, first.refusal)
    measured = [each for each in fitting if each.seconds is not None]
    names = tuple(each.worker for each in (measured or fitting)[: len(pieces)])
    speeds = [each.seconds for each in measured if each.seconds is not None]
    seconds = estimate_makespan(speeds, pieces) if speeds else None
    return SharedEstimate(first.height, first.width, names, seconds)


def estimate_each(recipe: Recipe, sizes: PictureSizes, workers: Iterable[Worker]) -> list[Estimate]:
    """Return the estimate on each of some workers.

    Raises:
        InvalidInput: the result would be too narrow.
    """
    recipe.compute_result_size(*sizes.photograph)
    schedule = compute_levels(recipe, *sizes.photograph)
    return [_estimate_on(worker, recipe, schedule, None, sizes) for worker in workers]


def estimate_makespan(speeds: Sequence[float], pieces: Sequence[float]) -> float:
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


def _rank(found: Estimate) -> tuple[bool, bool, float]:
    return found.refusal is not None, found.seconds is None, found.seconds or 0.0


def _estimate_on(
    worker: Worker, recipe: Recipe, schedule: list[Level], features: str | None, sizes: PictureSizes
) -> Estimate:
    """Estimate a rendering on one worker.

    Each level has a plan of its own, so the peak need not be the last one's.
    """
    work = compute_work(worker, recipe, features, sizes)
    tile = choose_tile(work.device, work.itemsize)
    last = schedule[-1]
    try:
        peak = max(
            _compute_peak_bytes(work, level, worker.budget_bytes, tile) for level in reversed(schedule)
        )
    except DoesNotFit as refusal:
        smallest = minimise(list_plans(tile, gpu=work.device != "cpu")[-1])
        needed = estimate_peak_bytes(smallest, work, last.height, last.width)
        return Estimate(last.height, last.width, worker.name, needed, None, str(refusal))
    speed = worker.seconds_per_megapixel
    relative = 1 + REGION_SECONDS * max(0, sizes.masks - 1)
    seconds = None if speed is None else speed * relative * count_work(recipe, schedule) / 1e6
    return Estimate(last.height, last.width, worker.name, peak, seconds)


def _compute_peak_bytes(work: Work, level: Level, budget: int, tile: int) -> int:
    plan = choose(work, level.height, level.width, budget, tile)
    return estimate_peak_bytes(plan, work, level.height, level.width)


def compute_least_bytes(recipe: Recipe, sizes: PictureSizes, device_kind: str) -> int:
    """Return what the smallest plan of a rendering holds on a kind of device, `cpu` or `cuda`.

    Where recipe and device leave it open, as on the kind's best device: a worker with less cannot take
    the job, whatever it is.
    """
    itemsize, winograd = {
        "auto": (2, False) if device_kind == "cuda" else (4, True),
        "float32": (4, False),
        "winograd": (4, True),
        "mixed": (2, False),
    }[recipe.precision]
    network = ASSUMED_FEATURES if recipe.features == "auto" else recipe.features
    work = Work.from_recipe(recipe, network, itemsize, winograd, device_kind, sizes)
    smallest = minimise(list_plans(choose_tile(device_kind, itemsize), gpu=device_kind != "cpu")[-1])
    schedule = compute_levels(recipe, *sizes.photograph)
    return max(estimate_peak_bytes(smallest, work, level.height, level.width) for level in schedule)


def compute_work(
    worker: Worker, recipe: Recipe, features: str | None = None, sizes: PictureSizes | None = None
) -> Work:
    """Return the planner's input for a rendering, equal to what the engine on that worker computes.

    Args:
        sizes: of photograph and paintings; None: these are not counted.
    """
    itemsize, winograd = {
        "auto": (worker.itemsize, worker.winograd),
        "float32": (4, False),
        "winograd": (4, True),
        "mixed": (2, False),
    }[recipe.precision]
    network = (features or ASSUMED_FEATURES) if recipe.features == "auto" else recipe.features
    return Work.from_recipe(recipe, network, itemsize, winograd, worker.device_kind, sizes)
