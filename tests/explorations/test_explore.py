"""Explorations: what varies along an axis, and the cells that come of it."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from farm.database import sessions
from farm.database.models import Exploration, Job, State, WorkClass
from farm.errors import InvalidInput, NotFound, WrongState
from farm.explorations import axes, grids
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.fleet import registry
from farm.jobs import attempts, claims, states
from farm.jobs.claims import Taker
from farm.jobs.idempotency import Key
from farm.people.visitors import ANYBODY
from farm.recipe import Recipe
from farm.recipe.levels import compute_levels, count_pixel_iterations
from farm.storage import storage

pytestmark = pytest.mark.usefixtures("database")

SAMPLES = Path(__file__).parents[2] / "samples"
LAKE, BRUSH, INK = (
    (SAMPLES / f"{name}.jpg").read_bytes() for name in ("mountain_lake", "brushwork", "ink_wash")
)

MACHINE = registry.Machine("CPU", 16 * 10**9, "cpu", 4, True, 12 * 10**9)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    from tests.conftest import fresh_settings, use_broker_in_memory

    use_broker_in_memory(monkeypatch)
    fresh_settings()


def grid(recipe: Recipe, across: str = "balance", down: str = "style_scale") -> Exploration:
    sides = axis("across", across, recipe), axis("down", down, recipe)
    return explore(LAKE, [BRUSH], recipe, *sides, name="Lake")


def test_an_exploration_is_a_grid_of_small_drafts() -> None:
    made = grid(Recipe(size=4096, preset="fine", iterations=(9,) * 11))

    assert [job.cell for job in made.cells] == list(range(9))
    assert {max(job.width, job.height) for job in made.cells} == {grids.SIZE}
    assert {job.work_class for job in made.cells} == {WorkClass.PREVIEW}
    assert {job.recipe["preset"] for job in made.cells} == {"draft"}
    weights = [job.recipe["content_weight"] for job in made.cells]
    middle = Recipe().content_weight
    assert weights == pytest.approx([4 * middle, middle, middle / 4] * 3)
    assert [job.recipe["style_scale"] for job in made.cells] == [0.5] * 3 + [1.0] * 3 + [2.0] * 3


def test_a_cell_stands_for_the_large_picture_with_its_settings() -> None:
    recipe = Recipe(size=2048, preset="fine", tv_weight=3.0)
    made = grid(recipe)

    chosen = grids.enlarge_cell(made, made.cells[5])

    settings = {"content_weight": recipe.content_weight / 4, "style_scale": 1.0, "grown_from": 256}
    assert chosen == recipe.model_copy(update=settings)


def test_a_chosen_cell_brings_its_network_and_its_version_along() -> None:
    # Given an exploration that 0.1 wrote, one cell painted by a network that auto took then
    made = grid(Recipe(size=512, version="0.1", iterations=(9, 8, 7, 6, 5)))
    older = {k: v for k, v in made.recipe.items() if k not in ("version", "grown_from")}
    with sessions.write_session() as session:
        session.get_one(Exploration, made.id).recipe = older
        session.get_one(Job, made.cells[4].id).features = "vgg16-bsds"
    made = grids.get(made.id)

    chosen = grids.enlarge_cell(made, made.cells[4])

    assert (chosen.version, chosen.features) == ("0.1", "vgg16-bsds")
    assert (chosen.grown_from, chosen.iterations) == (256, None)
    assert chosen.level_iterations[:3] == (45, 20, 9)


@pytest.mark.parametrize("name", axes.KINDS)
def test_each_axis_makes_recipes_that_differ(name: str) -> None:
    recipe = Recipe()
    varied = axis("across", name, recipe)

    recipes = [Recipe.parse(recipe.model_dump(mode="json") | each) for each in varied.settings]

    assert len({each.model_dump_json() for each in recipes}) == len(varied.labels) > 1
    assert len(set(varied.labels)) == len(varied.labels)


def test_seeds_begin_from_noise_or_they_would_all_be_alike() -> None:
    varied = axis("down", "seed", Recipe(seed=7))
    assert varied.settings == tuple({"seed": seed, "init": "noise"} for seed in (7, 8, 9))


def test_values_with_the_same_words_are_told_apart() -> None:
    varied = axis("across", "balance", Recipe(), [0.5, 1, 3])
    assert varied.labels == ("more painting (0.5)", "more painting (1)", "much more painting")


def test_a_factor_multiplies_the_size_of_strokes_of_each_painting() -> None:
    recipe = Recipe(style_scale=(1.0, 0.5))
    assert axis("down", "style_scale", recipe, [0.5, 2]).settings == (
        {"style_scale": [0.5, 0.25]},
        {"style_scale": [2.0, 1.0]},
    )


def test_two_paintings_are_blended() -> None:
    recipe = Recipe()
    sides = axis("across", "blend", recipe), axis("down", "style_loss", recipe)
    made = explore(LAKE, [BRUSH, INK], recipe, *sides)
    assert [job.recipe["blend"] for job in made.cells] == [[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]] * 2


@pytest.mark.parametrize(
    ("across", "values", "message"),
    [
        ("colour", None, "across: must be one of balance, style_scale"),
        ("balance", [1, 1], "across: has the same value twice"),
        ("balance", list(range(7)), "across: has 7 values; the limit is 6"),
        ("balance", ["much"], "across: takes numbers"),
        ("balance", [None], "across: takes numbers"),
        ("balance", [-5000], "across: takes numbers"),
        ("balance", [-40], "across: cannot have -40 among its values: Content weight should be less"),
        ("style_loss", ["cubism"], "across: cannot have cubism among its values: Style loss should"),
        ("style_scale", [1], "down: varies style_scale, as across does"),
        ("blend", None, "across: blend takes two paintings; there are 1"),
    ],
)
def test_what_makes_no_grid_is_refused_and_leaves_nothing(
    across: str, values: list[float | str] | None, message: str
) -> None:
    recipe = Recipe()
    with pytest.raises(InvalidInput, match=message):
        explore(
            LAKE,
            [BRUSH],
            recipe,
            axis("across", across, recipe, values),
            axis("down", "style_scale", recipe),
        )
    assert storage().list_keys() == []


def test_the_same_grid_with_the_same_key_is_the_same_exploration_even_at_once() -> None:
    recipe = Recipe()
    sides = axis("across", "balance", recipe), axis("down", "tv", recipe)
    found: list[str] = []

    def one() -> None:
        found.append(explore(LAKE, [BRUSH], recipe, *sides, key=Key.from_client("mine", ANYBODY)).id)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_a_cell_has_the_size_of_a_preview() -> None:
    sides = [axis("", name, Recipe()) for name in ("balance", "tv")]
    with pytest.raises(InvalidInput, match="cell_size: must be 64 to 384 px"):
        explore(LAKE, [BRUSH], Recipe(), *sides, size=385)


def test_the_time_left_is_measured_by_the_cells_that_are_finished() -> None:
    # Given a grid, and nobody who would paint it
    made = grid(Recipe())

    def left() -> float | None:
        with sessions.read_session() as session:
            return grids.estimate_left(session, grids.get(made.id))

    assert left() is None

    # When there are workers, their speed tells
    with sessions.write_session() as session:
        for name in ("worker-1", "worker-2"):
            registry.record_heartbeat(session, name, MACHINE)
            registry.record_speed(session, name, 4.0)
    cell = Recipe.model_validate(made.cells[0].recipe)
    photograph = made.cells[0].content
    work = count_pixel_iterations(compute_levels(cell, photograph.height, photograph.width)) / 1e6
    assert left() == pytest.approx(5 * 4.0 * work)  # nine cells, two workers

    # When one took 20 s, so will the others; what is stopped takes none
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({WorkClass.PREVIEW})))
        assert claim
        states.succeed(session, claim.attempt, {})
        began = sessions.read_clock(session) - timedelta(seconds=20)
        session.execute(update(Job).where(Job.id == claim.job.id).values(started_at=began))
    assert left() == pytest.approx(4 * 20, abs=2)
    grids.cancel(made.id)
    assert left() is None


def test_stopping_an_exploration_stops_all_its_cells() -> None:
    made = grid(Recipe())
    with sessions.write_session() as session:
        claims.claim(session, Taker("worker-1", frozenset({WorkClass.PREVIEW})))

    stopped = [job.state for job in grids.cancel(made.id).cells]

    assert stopped == [State.CANCELLING] + [State.CANCELLED] * 8
    assert [job.state for job in grids.cancel(made.id).cells] == stopped


def test_stopping_an_exploration_removes_the_checkpoints_of_cells_that_wait() -> None:
    # Given a cell that waits again after its worker stopped, and its checkpoint
    made = grid(Recipe())
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({WorkClass.PREVIEW})))
        assert claim
        attempts.record_checkpoint(session, claim.attempt)
        states.requeue(session, claim.attempt, "its worker stopped")
    checkpoint = f"jobs/{claim.job.id}/{claim.attempt.number}/checkpoint.safetensors"
    storage().put(checkpoint, b"state")

    grids.cancel(made.id)

    assert not storage().exists(checkpoint)


def test_an_exploration_is_deleted_with_its_cells_once_they_ended() -> None:
    made = grid(Recipe())
    with pytest.raises(WrongState, match="cancel it first"):
        grids.forget(made.id)
    grids.cancel(made.id)

    grids.forget(made.id)

    with pytest.raises(NotFound):
        grids.get(made.id)
    with sessions.read_session() as session:
        assert session.query(Job).count() == 0
