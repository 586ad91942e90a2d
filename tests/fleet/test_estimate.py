"""What a rendering will need, told beforehand: arithmetic at known numbers, and who is named."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from farm.database import sessions
from farm.database.fleet import Worker
from farm.database.models import Job, Upload
from farm.errors import InvalidInput
from farm.fleet import registry
from farm.fleet.estimates import compute_work, estimate, estimate_makespan, estimate_together
from farm.jobs import attempts, claims, details, states
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from farm.jobs.submit import submit
from farm.recipe import Recipe, memory_estimates
from farm.recipe.levels import DIRECTED_TIME, Level, compute_levels, count_pixel_iterations
from farm.recipe.memory_choice import choose
from farm.recipe.memory_estimates import estimate_peak_bytes
from farm.recipe.memory_plan import choose_tile
from farm.recipe.picture_sizes import PictureSizes
from farm.settings import settings
from farm.storage import storage
from tests.jobs.test_submit import picture

UHD = (4320, 7680)
MACHINE = registry.Machine("CPU", 16 * 10**9, "cpu", 4, True, 12 * 10**9)


def worker(name: str = "a", **values: Any) -> Worker:
    """With 12 GB to use and no speed, but for what a test says."""
    known = {"device_kind": "cpu", "itemsize": 4, "winograd": True, "budget_bytes": 12 * 10**9}
    return Worker(name=name, **known | {"seconds_per_megapixel": None} | values)


def seen(name: str, seconds: float | None = None, **values: Any) -> None:
    """A worker that is alive."""
    with sessions.write_session() as session:
        registry.record_heartbeat(session, name, replace(MACHINE, **values))
        if seconds:
            registry.record_speed(session, name, seconds)


# Arithmetic


def test_the_work_is_iterations_times_megapixels_over_all_levels() -> None:
    recipe = Recipe(size=2000, start_size=1000, preset="standard", iterations=(100, 50, 10))
    course = compute_levels(recipe, 500, 1000)
    assert course == [Level(500, 1000, 100), Level(707, 1414, 50), Level(1000, 2000, 10)]
    assert count_pixel_iterations(course) / 1e6 == pytest.approx(50 + 50 * 0.999698 + 20)


def test_the_time_is_the_work_at_the_workers_speed() -> None:
    recipe = Recipe(size=1000, start_size=1000, iterations=(30,))
    found = estimate(recipe, 500, 1000, [worker(seconds_per_megapixel=4.0)])
    assert found is not None
    assert (found.height, found.width, found.worker, found.refusal) == (500, 1000, "a", None)
    assert found.seconds == 30 * 0.5 * 4
    masked = estimate(recipe, 500, 1000, [worker(seconds_per_megapixel=4.0)], masks=8)
    assert masked is not None
    assert masked.seconds == pytest.approx(1.35 * 30 * 0.5 * 4)  # 5 % for each region but the first


def test_strokes_that_follow_the_photograph_take_longer_and_more_memory() -> None:
    free, directed = (
        estimate(
            Recipe(size=1000, stroke_direction=way),
            500,
            1000,
            [worker(seconds_per_megapixel=4.0)],
            paintings=[(800, 800)],
        )
        for way in ("free", "photograph")
    )
    assert free is not None
    assert directed is not None
    assert directed.seconds == pytest.approx(DIRECTED_TIME * (free.seconds or 0))
    assert directed.peak_bytes > free.peak_bytes + 100e6


def test_without_a_measured_speed_only_memory_is_told() -> None:
    found = estimate(Recipe(), 300, 400, [worker()])
    assert found is not None
    assert found.seconds is None
    assert found.peak_bytes > 0


@pytest.mark.parametrize(
    ("speeds", "pieces", "seconds"),
    [
        ([10.0], [1.0] * 9, 90),
        ([10.0, 10.0], [1.0] * 9, 50),
        ([10.0, 30.0], [1.0] * 4, 30),  # the quick one takes three of four
        ([10.0, 10.0], [1.0, 0.5, 0.25], 10),
        ([10.0] * 5, [1.0], 10),
    ],
)
def test_pieces_go_to_whoever_is_done_first(
    speeds: list[float], pieces: list[float], seconds: float
) -> None:
    assert estimate_makespan(speeds, pieces) == pytest.approx(seconds)


def test_workers_share_several_renderings() -> None:
    recipe = Recipe(size=1000, start_size=1000, iterations=(30,))
    quick, slow = worker("a", seconds_per_megapixel=4.0), worker("b", seconds_per_megapixel=8.0)
    unknown, small = worker("c"), worker("d", seconds_per_megapixel=1.0, budget_bytes=10**6)
    found = estimate_together(recipe, 500, 1000, [quick, slow, unknown, small], [1.0] * 3)
    assert found is not None
    assert (found.height, found.width, found.workers) == (500, 1000, ("a", "b"))
    assert found.seconds == 30 * 0.5 * 8  # two for the quick one, one for the slow one


def test_several_renderings_are_unknown_refused_or_nobodys() -> None:
    recipe = Recipe(size=1000)
    unknown, small = worker("c"), worker("d", budget_bytes=10**6)
    assert estimate_together(recipe, 500, 1000, [], [1.0]) is None
    found = estimate_together(recipe, 500, 1000, [unknown], [1.0])
    assert found is not None
    assert (found.workers, found.seconds, found.refusal) == (("c",), None, None)
    refused = estimate_together(recipe, 500, 1000, [small], [1.0])
    assert refused is not None
    assert (refused.workers, refused.seconds) == ((), None)
    assert "needs" in str(refused.refusal)


def test_paintings_are_part_of_the_peak() -> None:
    recipe = Recipe(size=2048)
    bare, painted = (
        estimate(recipe, 1000, 2000, [worker()], paintings=paintings)
        for paintings in ((), [(5000, 5000)] * 8)
    )
    assert bare is not None
    assert painted is not None
    held = 8 * 3 * 4 * 1024 * 2048
    assert painted.peak_bytes - bare.peak_bytes == pytest.approx(held, rel=1e-2)


def test_the_peak_is_that_of_the_hungriest_level() -> None:
    recipe, small = Recipe(size=7680), worker(budget_bytes=8 * 10**9)
    work, tile = compute_work(small, recipe, sizes=PictureSizes(UHD)), choose_tile("cpu", 4)
    each = [
        estimate_peak_bytes(
            choose(work, at.height, at.width, 8 * 10**9, tile), work, at.height, at.width
        )
        for at in compute_levels(recipe, *UHD)
    ]
    found = estimate(recipe, *UHD, [small])
    assert found is not None
    assert max(each) == found.peak_bytes <= 8 * 10**9


def test_a_network_that_is_not_yet_chosen_is_taken_for_the_larger_one() -> None:
    assert compute_work(worker(), Recipe()).network == "vgg19"
    assert compute_work(worker(), Recipe(), "vgg16").network == "vgg16"
    assert compute_work(worker(), Recipe(features="vgg16"), "vgg19").network == "vgg16"


@pytest.mark.parametrize(
    ("precision", "itemsize", "winograd"),
    [("auto", 2, False), ("float32", 4, False), ("winograd", 4, True), ("mixed", 2, False)],
)
def test_a_recipe_that_asks_for_a_number_format_gets_it(
    precision: str, itemsize: int, winograd: bool
) -> None:
    half = worker(itemsize=2, winograd=False, device_kind="cuda")
    work = compute_work(half, Recipe.parse({"precision": precision}))
    assert (work.itemsize, work.winograd, work.device) == (itemsize, winograd, "cuda")


def test_lbfgs_holds_its_history() -> None:
    adam, lbfgs = (compute_work(worker(), Recipe.parse({"optimizer": o})) for o in ("adam", "lbfgs"))
    assert (adam.state_floats, lbfgs.state_floats) == (12, 57)


# Which worker


def test_of_two_workers_the_one_with_room_is_named() -> None:
    small, large = worker("small", budget_bytes=3 * 10**9, seconds_per_megapixel=0.1), worker("large")
    for workers in ([small, large], [large, small]):
        found = estimate(Recipe(size=7680), *UHD, workers)
        assert found is not None
        assert (found.worker, found.refusal) == ("large", None)


def test_of_workers_with_room_the_fastest_is_named_and_an_unknown_speed_comes_last() -> None:
    workers = [
        worker("new"),
        worker("slow", seconds_per_megapixel=9),
        worker("fast", seconds_per_megapixel=3),
    ]
    found = estimate(Recipe(), 300, 400, workers)
    assert found is not None
    assert found.worker == "fast"


def test_what_fits_nowhere_is_refused_with_the_numbers_of_the_largest_worker() -> None:
    workers = [worker("tiny", budget_bytes=10**9), worker("small", budget_bytes=3 * 10**9)]
    found = estimate(Recipe(size=7680), *UHD, workers)
    assert found is not None
    assert (found.worker, found.seconds) == ("small", None)
    assert found.refusal is not None
    assert found.refusal.startswith("7680 x 4320 needs")
    assert "3.0 GB may be used. The largest size that fits here is about" in found.refusal
    assert found.peak_bytes > 3 * 10**9


def test_without_workers_there_is_nothing_to_tell() -> None:
    assert estimate(Recipe(), 300, 400, []) is None


def test_a_result_that_is_too_narrow_is_named() -> None:
    with pytest.raises(InvalidInput, match="each side needs 16"):
        estimate(Recipe(size=64), 10, 1000, [worker()])


# On both databases


@pytest.mark.usefixtures("database")
def test_a_submission_that_fits_no_worker_is_refused_and_leaves_nothing() -> None:
    seen("small", budget_bytes=10**9)
    with pytest.raises(InvalidInput) as caught:
        submit(picture(0), [picture(1)], Recipe(size=7680))
    (problem,) = caught.value.problems
    assert problem.field == "size"
    assert "7680 x 7680 needs" in problem.message
    assert "1.0 GB may be used" in problem.message
    with sessions.read_session() as session:
        assert session.scalar(select(func.count()).select_from(Upload)) == 0
    assert storage().list_keys() == []


@pytest.mark.usefixtures("database")
def test_paintings_that_fit_no_worker_are_refused_by_their_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a worker with room for a photograph of few pixels and for none of many
    monkeypatch.setattr(memory_estimates, "DECODING_BYTES", 100_000)
    seen("small", budget_bytes=3 * 10**9)
    with pytest.raises(InvalidInput) as caught:
        submit(picture(0), [picture(1), picture(2, 300)], Recipe(size=256))
    (problem,) = caught.value.problems
    assert problem.field == "style"
    assert "It is the paintings that need so much" in problem.message
    assert storage().list_keys() == []
    assert submit(picture(0), [picture(1)], Recipe(size=256)).width == 256


@pytest.mark.usefixtures("database")
def test_a_submission_is_accepted_where_one_of_two_workers_has_room_or_nobody_is_there() -> None:
    assert submit(picture(0), [picture(1)], Recipe(size=7680)).width == 7680
    seen("small", budget_bytes=10**9)
    seen("large", budget_bytes=60 * 10**9)
    assert submit(picture(0), [picture(1)], Recipe(size=7680)).width == 7680


@pytest.mark.usefixtures("database")
def test_a_job_is_expected_of_the_best_worker_then_of_its_own_then_of_itself() -> None:
    # Given a fast worker and a slow one
    seen("fast", seconds=1.0)
    seen("slow", seconds=10.0)
    job_id = submit(picture(0), [picture(1)], Recipe(size=256)).id

    def expected() -> str | None:
        with sessions.read_session() as session:
            found = details.estimate_job(session, states.get(session, job_id))
        return found.worker if found else None

    # When it waits
    assert expected() == "fast"

    # When the slow one has taken it
    with sessions.write_session() as session:
        assert claims.claim(session, Taker("slow", frozenset({states.get(session, job_id).work_class})))
    assert expected() == "slow"

    # When it tells its own time left
    with sessions.write_session() as session:
        attempts.report(
            session, AttemptRef(job_id, 1), attempts.Progress(0.5, 2, 3, 40, 100, 12.5, 0.5, 0.1, 0.01)
        )
    assert expected() is None


# The worker's side


def test_the_engine_asks_the_planner_what_the_estimate_asks(
    weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from farm.engine.loaded import Engine
    from workers import render

    monkeypatch.setenv("FARM_MEMORY_GB", "5.5")
    settings.cache_clear()
    told = render.describe_machine()
    engine = Engine.load("vgg16", "auto", weights_dir, logging.info, memory_gb=5.5)
    alike = worker(device_kind=told.device_kind, itemsize=told.itemsize, winograd=told.winograd)
    recipe = Recipe(content_weight=0, optimizer="lbfgs")
    assert compute_work(alike, recipe, "vgg16") == engine.work(recipe)
    assert told.budget_bytes == engine.budget_bytes == 5_500_000_000
    assert choose_tile(told.device_kind, told.itemsize) == engine.tile


def test_a_heartbeat_tells_the_farm_what_its_worker_can_do(farm_with_tables: Path) -> None:
    from workers import render
    from workers.heartbeat import Heartbeat

    storage().mark()
    told = render.describe_machine()
    Heartbeat("worker@test", told)._beat()
    with sessions.read_session() as session:
        (found,) = registry.list_alive(session)
    assert {name: getattr(found, name) for name in asdict(told)} == asdict(told)
    assert 0 < told.budget_bytes <= told.memory_bytes * 3 / 4


def test_a_heartbeat_tells_what_is_free_on_a_card_while_there_is_no_job(farm_with_tables: Path) -> None:
    from workers import render
    from workers.heartbeat import Heartbeat

    def read_budget() -> int:
        with sessions.read_session() as session:
            return registry.list_alive(session)[0].budget_bytes

    def fail() -> int:
        raise RuntimeError("CUDA error: unspecified launch failure")

    # Given a worker whose card others use more and more
    storage().mark()
    free = iter([30 * 10**9, 20 * 10**9])
    heartbeat = Heartbeat("worker@test", render.describe_machine(), lambda: next(free))
    heartbeat._beat()
    assert read_budget() == 30 * 10**9
    # When it has a job, then it keeps what that began with
    with heartbeat.renew_lease_of(states.Claim(Job(width=64, height=64), AttemptRef("x", 1))):
        heartbeat._beat()
    assert read_budget() == 30 * 10**9
    # And without one, what is free is told, unless the card does not say
    heartbeat._beat()
    assert read_budget() == 20 * 10**9
    heartbeat._measure_budget = fail
    heartbeat._beat()
    assert read_budget() == 20 * 10**9


def test_a_worker_measures_its_speed_at_the_end_of_levels_that_are_large_enough(
    farm_with_tables: Path,
) -> None:
    from workers.reporter import Reporter

    # Given a worker that has taken a job
    storage().mark()
    name = settings().worker_name
    seen(name)
    job_id = submit(picture(0), [picture(1)], Recipe(size=256)).id
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker(name, frozenset({states.get(session, job_id).work_class})))
    assert claim is not None
    reporter = Reporter(claim, Taker(name), storage())

    def speed() -> float | None:
        with sessions.read_session() as session:
            return session.get_one(Worker, name).seconds_per_megapixel

    # When a small level ends, nothing is told by it
    for iteration in (1, 2):
        reporter.update(step(1, iteration, 2, side=100, seconds=iteration))
    assert speed() is None

    # When a larger one ends, its pace after its first iteration is
    for iteration, seconds in ((1, 10.0), (2, 12.0), (3, 14.0)):
        reporter.update(step(2, iteration, 3, side=500, seconds=seconds))
    assert speed() == pytest.approx(2.0 / 0.25)


def test_a_small_picture_gives_the_first_speed_and_no_later_one(farm_with_tables: Path) -> None:
    storage().mark()
    seen("worker-1")

    def measure(value: float, *, first: bool) -> float | None:
        with sessions.write_session() as session:
            registry.record_speed(session, "worker-1", value, first=first)
        with sessions.read_session() as session:
            return session.get_one(Worker, "worker-1").seconds_per_megapixel

    assert measure(9.0, first=True) == 9.0
    assert measure(30.0, first=True) == 9.0
    assert measure(3.0, first=False) == 6.0


def step(level: int, iteration: int, iterations: int, side: int, seconds: float) -> Any:
    """One iteration, as the engine would tell it."""
    import torch

    from farm.engine.checkpoint import Checkpoint, Facts
    from farm.engine.losses import Losses
    from farm.engine.optimise import Step
    from farm.recipe.memory_plan import WHOLE

    facts = Facts(
        recipe={"features": "vgg16"},
        inputs="",
        level=level,
        iteration=iteration,
        seconds=seconds,
        budget_bytes=0,
        tile=None,
        lowered=0,
        scalars={},
        scale=1,
        good=0,
        plateau=[],
    )
    return Step(
        level=level,
        levels=2,
        iteration=iteration,
        iterations=iterations,
        ends_level=iteration == iterations,
        done=iteration,
        total=5,
        progress=0.1,
        height=side,
        width=side,
        losses=Losses(0.5, 0.1, 0.01, 0.7),
        seconds=seconds,
        peak_memory_bytes=0,
        plan=WHOLE,
        picture=lambda: np.zeros((side, side, 3), dtype=np.float32),
        preview=lambda _: np.zeros((side, side, 3), dtype=np.float32),
        checkpoint=lambda: Checkpoint(facts, {"image": torch.zeros(side)}),
    )
