"""Time and storage of films, before and while they are painted."""

from __future__ import annotations

import pytest

from farm.database.fleet import Worker
from farm.films.estimates import compute_makespan, estimate_film
from farm.recipe import Recipe
from farm.recipe.film import HELD_SHARE, plan_parts
from farm.recipe.picture_sizes import PictureSizes

PARTS = plan_parts([0], range(9), spacing=4)  # anchors 0, 4, 8; stretches 1 to 3, 5 to 7


def test_one_worker_paints_all_one_after_the_other() -> None:
    assert compute_makespan(PARTS, [10.0]) == pytest.approx(10 * (3 + 6 * HELD_SHARE))


def test_many_workers_wait_for_anchors_alone() -> None:
    # the chain of anchors, then the stretch before the last one
    assert compute_makespan(PARTS, [10.0] * 9) == pytest.approx(10 * (3 + 3 * HELD_SHARE))


def test_two_workers_share_and_the_faster_one_has_more() -> None:
    both = compute_makespan(PARTS, [10.0, 20.0])
    assert 10 * (3 + 3 * HELD_SHARE) <= both < compute_makespan(PARTS, [10.0])


def test_shots_do_not_wait_for_each_other() -> None:
    parts = plan_parts([0, 4], range(8), spacing=4)
    assert compute_makespan(parts, [10.0] * 2) == pytest.approx(10 * (1 + 3 * HELD_SHARE))


def test_what_is_painted_takes_no_time() -> None:
    assert compute_makespan(PARTS, [10.0], painted=range(8)) == pytest.approx(10.0)
    assert compute_makespan(PARTS, [10.0], painted=range(9)) == 0


def test_a_film_says_its_storage_and_who_can_paint_it() -> None:
    worker = Worker(
        name="gpu0",
        device="a card",
        device_kind="cuda",
        budget_bytes=8 * 10**9,
        itemsize=2,
        winograd=False,
        seconds_per_megapixel=0.5,
    )
    sizes = PictureSizes((270, 480), ((100, 100),))
    found = estimate_film(Recipe(size=480), sizes, PARTS, [worker], painted=[0])
    assert found is not None
    assert (found.frames, found.workers) == (8, ("gpu0",))
    assert found.stored_bytes == 8 * 480 * 270 * 3
    assert found.seconds is not None
    assert found.seconds > 0
    assert estimate_film(Recipe(size=480), sizes, PARTS, []) is None
    worker.budget_bytes = 1000
    small = estimate_film(Recipe(size=480), sizes, PARTS, [worker])
    assert small is not None
    assert small.refusal
