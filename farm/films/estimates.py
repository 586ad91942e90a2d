"""What a film will need: its time over all workers that have room, and the storage of its frames.

Parts begin as they would: anchors one after the other, a stretch once both its anchors are painted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from sqlalchemy.orm import Session

from farm.database.films import Film
from farm.database.fleet import Worker
from farm.films.parts import read_plan
from farm.fleet import registry
from farm.fleet.estimates import estimate_each
from farm.recipe import Recipe
from farm.recipe.film import Part, count_whole_frames
from farm.recipe.film_formats import FRAME_BYTES_PER_PIXEL
from farm.recipe.picture_sizes import PictureSizes


@dataclass(frozen=True)
class FilmEstimate:
    """Time and storage of a film."""

    # Of a frame, px.
    height: int
    width: int
    # That are still to be painted.
    frames: int
    # That these take in storage, at most.
    stored_bytes: int
    # Names of the workers that can paint them.
    workers: tuple[str, ...]
    # Until all are painted, if nothing else waits; None where no speed was measured yet.
    seconds: float | None
    # Reason why they fit no worker, with the numbers; None: they fit.
    refusal: str | None = None


def estimate_film(
    recipe: Recipe,
    pictures: PictureSizes,
    parts: Sequence[Part],
    workers: Iterable[Worker],
    painted: Collection[int] = (),
) -> FilmEstimate | None:
    """Return what a film will need; None: there are no workers.

    Args:
        recipe: of a frame. pictures: sizes of the clip's frames and of the paintings.
        parts: of the film; the last one joins them. painted: numbers of the frames that are finished.

    Raises:
        InvalidInput: a frame would be too narrow.
    """
    found = estimate_each(recipe, pictures, workers)
    if not found:
        return None
    height, width = found[0].height, found[0].width
    frames = len(set(parts[-1].frames).difference(painted))
    stored = frames * height * width * FRAME_BYTES_PER_PIXEL
    fitting = [each for each in found if each.refusal is None]
    if not fitting:
        return FilmEstimate(height, width, frames, stored, (), None, found[0].refusal)
    speeds = {each.worker: each.seconds for each in fitting if each.seconds is not None}
    seconds = compute_makespan(parts, list(speeds.values()), painted) if speeds else None
    names = tuple(speeds or [each.worker for each in fitting])
    return FilmEstimate(height, width, frames, stored, names, seconds)


def estimate_left(session: Session, film: Film, painted: Collection[int]) -> float | None:
    """Return the seconds until all frames of a film, which has its parts with it, are painted; None: it
    has ended, or nobody can tell.

    Args:
        painted: numbers of the frames that are finished.
    """
    if film.outcome is not None:
        return None
    recipe, sizes = Recipe.model_validate(film.recipe), film.parts[0].picture_sizes
    found = estimate_film(recipe, sizes, read_plan(film), list_painters(session), painted)
    return found.seconds if found else None


def list_painters(session: Session) -> list[Worker]:
    """Return the workers that are alive and have what films need."""
    return [worker for worker in registry.list_alive(session) if worker.films]


def compute_makespan(
    parts: Sequence[Part], speeds: Sequence[float], painted: Collection[int] = ()
) -> float:
    """Return the seconds until all frames are painted, each part by whoever is done with it first.

    Args:
        speeds: for each worker, the seconds that it needs for a whole frame; at least one.
    """
    needed_by = defaultdict(list)
    for part in parts:
        for need in part.needs:
            needed_by[need].append(part)
    left = {part.number: len(part.needs) for part in parts}
    ends: dict[int, float] = {}
    ready = [(0.0, part.number) for part in parts if not part.needs]
    heapify(ready)
    free = [0.0] * len(speeds)
    while ready:
        earliest, number = heappop(ready)
        work = count_whole_frames(parts[number], painted)
        done = [max(earliest, since) + work * speed for since, speed in zip(free, speeds, strict=True)]
        ends[number] = earliest if not work else min(done)
        if work:
            free[done.index(ends[number])] = ends[number]
        for part in needed_by[number]:
            left[part.number] -= 1
            if not left[part.number]:
                heappush(ready, (max(ends[need] for need in part.needs), part.number))
    return max(ends.values())
