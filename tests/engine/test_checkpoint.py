"""Checkpoints: bit for bit, whole or not there, and refused by name when they do not fit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from farm.engine import checkpoint, optimise
from farm.engine.checkpoint import KEY, VERSION, Checkpoint, Facts, read
from farm.engine.loaded import Engine
from farm.engine.optimise import Step, stylize
from farm.errors import InvalidInput, RenderFailed
from farm.pictures.pixels import Picture
from farm.recipe import Recipe
from farm.recipe.schedules import PRESETS, Schedule
from tests.conftest import load_sample
from tests.engine.narrow import load_engine

SETTINGS = {"size": 64, "start_size": 32, "iterations": (7, 5, 4)}


Pictures = tuple[Picture, list[Picture]]


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return load_engine("winograd", weights_dir)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return load_sample("mountain_lake", 96), [load_sample("brushwork", 96)]


def run(
    engine: Engine, pictures: Pictures, resume: Checkpoint | None = None, **settings: Any
) -> list[Step]:
    recipe = Recipe.parse(SETTINGS | settings)
    return list(stylize(*pictures, recipe, engine, resume=resume))


@pytest.fixture(scope="module")
def run_whole(engine: Engine, pictures: Pictures) -> Callable[[str], list[Step]]:
    """All steps of the rendering by an optimiser without a break, made once."""
    return cache(lambda optimizer: run(engine, pictures, optimizer=optimizer))


def run_and_save(engine: Engine, pictures: Pictures, folder: Path, **settings: Any) -> list[Step]:
    """All steps of a rendering; after each there is a checkpoint in the folder, named by its number."""
    steps = []
    for step in stylize(*pictures, Recipe.parse(SETTINGS | settings), engine):
        step.checkpoint().write(folder / str(step.done))
        steps.append(step)
    return steps


def stopped_after(
    engine: Engine, pictures: Pictures, done: int, path: Path, **settings: object
) -> Checkpoint:
    """Rendered for some iterations, put into a file, and read back."""
    for step in stylize(*pictures, Recipe.parse(SETTINGS | settings), engine):
        if step.done == done:
            step.checkpoint().write(path)
            return read(path)
    raise AssertionError("it ended before")


@pytest.fixture(scope="module")
def whole_file(engine: Engine, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint after three iterations."""
    path = tmp_path_factory.mktemp("checkpoint") / "c"
    stopped_after(engine, pictures, 3, path)
    return path.read_bytes()


@pytest.fixture
def path(whole_file: bytes, tmp_path: Path) -> Path:
    """A file of this test's own that holds it."""
    (tmp_path / "c").write_bytes(whole_file)
    return tmp_path / "c"


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_resumed_rendering_is_the_uninterrupted_one_bit_for_bit(
    engine: Engine, pictures: Pictures, tmp_path: Path, optimizer: str
) -> None:
    whole = run_and_save(engine, pictures, tmp_path, optimizer=optimizer)
    for done in (1, 7, 9, 12, 15):  # at a level's beginning, in the middle and at its end
        rest = run(engine, pictures, read(tmp_path / str(done)), optimizer=optimizer)
        assert [step.done for step in rest] == list(range(done + 1, 17))
        assert [step.losses for step in rest] == [step.losses for step in whole[done:]]
        assert np.array_equal(rest[-1].picture(), whole[-1].picture())


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_checkpoint_is_of_its_iteration_whenever_it_is_written(
    engine: Engine,
    pictures: Pictures,
    tmp_path: Path,
    optimizer: str,
    run_whole: Callable[[str], list[Step]],
) -> None:
    # Given checkpoints that were made after the 5th and the 9th step, and written after the last
    steps = stylize(*pictures, Recipe.parse(SETTINGS | {"optimizer": optimizer}), engine)
    made = {step.done: step.checkpoint() for step in steps if step.done in (5, 9)}
    whole = run_whole(optimizer)
    for done, saved in made.items():
        saved.write(tmp_path / "c")
        rest = run(engine, pictures, read(tmp_path / "c"), optimizer=optimizer)
        assert [step.losses for step in rest] == [step.losses for step in whole[done:]]


def test_a_large_state_is_lent_and_a_small_one_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LARGEST_COPY", 4 * 24)
    facts = Facts(recipe={}, inputs="", level=1, iteration=1, seconds=0, budget_bytes=0, tile=None,
                  lowered=0, scalars={}, scale=1, good=0, plateau=[])  # fmt: skip
    for side, lent in ((4, False), (5, True)):
        state = torch.zeros(1, 3, side, 2)
        saved = Checkpoint.from_state(facts, {"image": state})
        state += 1
        assert saved.lent == lent
        assert bool(saved.tensors["image"].any()) == lent


def test_what_a_resumed_rendering_replaces_is_not_made(
    engine: Engine, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = stopped_after(engine, pictures, 3, tmp_path / "c")
    monkeypatch.delattr(optimise, "make_initial_picture")
    assert len(run(engine, pictures, saved)) == 13


def test_a_level_that_was_left_early_stays_left(
    engine: Engine, pictures: Pictures, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"tolerance": 0.1, "iterations": (60, 5, 4)}
    whole = run(engine, pictures, **settings)
    left = next(step for step in whole if step.ends_level)
    assert left.iteration < 60
    saved = stopped_after(engine, pictures, 60, tmp_path / "c", **settings)  # a left level counts whole
    assert (saved.facts.level, saved.facts.iteration) == (1, left.iteration)
    assert np.array_equal(run(engine, pictures, saved, **settings)[-1].picture(), whole[-1].picture())


def test_a_resumed_rendering_keeps_its_tile_and_budget(
    engine: Engine, pictures: Pictures, tmp_path: Path
) -> None:
    small = replace(engine, budget_bytes=1_500_000_000)
    recipe = Recipe.parse(SETTINGS)
    first = next(stylize(*pictures, recipe, small, tile=64))
    first.checkpoint().write(tmp_path / "c")
    step = next(stylize(*pictures, recipe, engine, resume=read(tmp_path / "c")))
    assert step.plan == first.plan
    assert step.checkpoint().facts.budget_bytes == small.budget_bytes


def test_seconds_count_over_all_runs(engine: Engine, pictures: Pictures, tmp_path: Path) -> None:
    saved = stopped_after(engine, pictures, 9, tmp_path / "c")
    assert run(engine, pictures, saved)[0].seconds > saved.facts.seconds > 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"style_weight": 3.0}, "another recipe: style_weight was 1.0 and is 3.0"),
        (
            {"seed": 9, "size": 72, "iterations": 5},
            "another recipe: iterations was .* size was 64 and is 72",
        ),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(
    engine: Engine, pictures: Pictures, path: Path, settings: dict[str, object], told: str
) -> None:
    with pytest.raises(InvalidInput, match=f"checkpoint: is of {told}"):
        run(engine, pictures, read(path), **settings)


def test_a_checkpoint_of_other_pictures_is_refused(
    engine: Engine, pictures: Pictures, path: Path
) -> None:
    other = (pictures[0][:, ::-1].copy(), pictures[1])
    with pytest.raises(InvalidInput, match="checkpoint: is of other pictures"):
        run(engine, other, read(path))


def test_a_truncated_checkpoint_is_refused(path: Path, whole_file: bytes) -> None:
    for length in (0, 5, 100, len(whole_file) - 1):
        path.write_bytes(whole_file[:length])
        with pytest.raises(InvalidInput, match=r"checkpoint: .*damaged or not whole"):
            read(path)


@pytest.mark.parametrize("instead", [b"\x00", b"\xff"])  # zeros, and numbers that are none
def test_a_checkpoint_with_other_numbers_is_refused(
    path: Path, whole_file: bytes, instead: bytes
) -> None:
    path.write_bytes(whole_file[:-4000] + 4000 * instead)
    with pytest.raises(InvalidInput, match=r"checkpoint: .*damaged: its numbers are not those"):
        read(path)


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_again(
    engine: Engine, pictures: Pictures, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, hash_tensors = (
        stopped_after(engine, pictures, 5, tmp_path / "later"),
        checkpoint._hash_tensors,
    )

    def replace_and_hash(tensors: dict[str, torch.Tensor]) -> str:
        if not (tmp_path / "later").exists():
            return hash_tensors(tensors)
        (tmp_path / "later").replace(path)
        return "of other numbers"

    monkeypatch.setattr(checkpoint, "_hash_tensors", replace_and_hash)
    assert read(path).facts == later.facts


def test_a_file_of_another_kind_is_no_checkpoint(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "c")
    with pytest.raises(InvalidInput, match="not a checkpoint of this farm"):
        read(tmp_path / "c")


@pytest.mark.parametrize(
    "forged",
    [
        {"level": 99},
        {"level": -1},
        {"iteration": 999},
        {"tile": 0},
        {"seconds": -1e300},
        {"scalars": {}},
        {"plateau": [1, 2, 3]},
        {"level": 2},  # whose pictures have another size
        [],
        None,
    ],
)
def test_a_forged_checkpoint_is_refused(
    engine: Engine, pictures: Pictures, path: Path, forged: object
) -> None:
    whole = json.loads(read(path).facts.model_dump_json())
    facts = whole | forged if isinstance(forged, dict) else forged
    save_file(load_file(path), path, metadata={KEY: json.dumps(facts)})
    with pytest.raises(InvalidInput, match="checkpoint: "):
        run(engine, pictures, read(path))


def test_a_checkpoint_of_a_newer_version_is_refused(path: Path) -> None:
    facts = json.loads(read(path).facts.model_dump_json()) | {"version": VERSION + 1, "something_new": 1}
    save_file(load_file(path), path, metadata={KEY: json.dumps(facts)})
    with pytest.raises(
        InvalidInput, match=f"has layout {VERSION + 1}; this version of the farm reads {VERSION}"
    ):
        read(path)


def test_when_the_disk_is_full_the_old_checkpoint_stays_whole(
    path: Path, whole_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a whole checkpoint, and a disk that is full after half of the next one
    saved = read(path)

    def full(tensors, file, metadata):
        Path(file).write_bytes(whole_file[: len(whole_file) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(RenderFailed, match=r"checkpoint .* could not be written: .*No space left"):
        saved.write(path)
    assert path.read_bytes() == whole_file
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


def test_a_checkpoint_that_0_1_wrote_goes_on(engine: Engine, pictures: Pictures, tmp_path: Path) -> None:
    # Given a rendering by the settings of 0.1, put down as 0.1 did: its recipe says nothing of versions
    saved = stopped_after(engine, pictures, 7, tmp_path / "c", version="0.1")
    older = {k: v for k, v in saved.facts.recipe.items() if k not in ("version", "grown_from")}
    facts = saved.facts.model_copy(update={"recipe": older})
    whole = run(engine, pictures, version="0.1")
    # When it goes on
    rest = run(engine, pictures, Checkpoint(facts, saved.tensors), version="0.1")
    # Then it ends as if nothing had been
    assert np.array_equal(rest[-1].picture(), whole[-1].picture())


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_picture_that_grows_out_of_a_draft_resumes_bit_for_bit(
    engine: Engine,
    pictures: Pictures,
    tmp_path: Path,
    optimizer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(PRESETS, "draft", Schedule(first=4, last=3, growth=math.sqrt(2)))
    grown: dict[str, Any] = {
        "size": 96,
        "start_size": 32,
        "grown_from": 64,
        "iterations": 3,
        "optimizer": optimizer,
    }
    whole = run_and_save(engine, pictures, tmp_path, **grown)
    draft = next(i for i, step in enumerate(whole, 1) if step.ends_level and step.width == 64)
    for done in (draft, draft + 1):
        saved = read(tmp_path / str(done))
        assert (saved.facts.colours is not None) == (done > draft)
        rest = run(engine, pictures, saved, **grown)
        assert [step.losses for step in rest] == [step.losses for step in whole[done:]]
        assert np.array_equal(rest[-1].picture(), whole[-1].picture())


class Called(Exception):
    """Raised between two tiles."""


@pytest.mark.parametrize("tiles", [3, 40, 95, 160])
def test_a_run_that_is_left_between_two_tiles_goes_on_to_the_same_bits(
    tiles: int,
    engine: Engine,
    pictures: Pictures,
    tmp_path: Path,
    run_whole: Callable[[str], list[Step]],
) -> None:
    recipe = Recipe.parse(SETTINGS)
    whole = run_whole("adam")[-1].picture()
    left = tiles
    steps: list[Step] = []

    def call() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Called

    with suppress(Called):
        steps.extend(stylize(*pictures, recipe, engine, on_tile=call))  # those before it stay
    if left > 0:
        assert engine.device.type == "cuda", "a CPU has more tiles than that"
        pytest.skip("a card that takes whole pictures at once has fewer tiles")
    resume = None
    if steps:
        steps[-1].checkpoint().write(tmp_path / "c")
        resume = read(tmp_path / "c")
    resumed = list(stylize(*pictures, recipe, engine, resume=resume))
    assert np.array_equal(resumed[-1].picture(), whole)
