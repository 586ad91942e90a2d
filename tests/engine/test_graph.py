"""When an objective records itself, and what it does where it cannot. The recording needs a card."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from farm.engine import graph
from farm.engine.graph import CALLS_BEFORE, Recorder


class Recording:
    """A recording that counts."""

    made: list[float] = []

    def __init__(self, objective: Objective, picture: torch.Tensor, scale: float) -> None:
        self.scale, self._objective = scale, objective
        self.made.append(scale)

    def replay(self, picture: torch.Tensor) -> tuple[str, torch.Tensor]:
        return "replayed", picture * self.scale


class Objective:
    """An objective on a card, which doubles."""

    vgg = SimpleNamespace(device=torch.device("cuda"))

    def __init__(self, tile: int | None = None) -> None:
        self.plan, self.tiles = SimpleNamespace(tile=tile), 0

    def on_tile(self) -> None:
        self.tiles += 1

    def compute(self, picture: torch.Tensor, scale: float) -> tuple[str, torch.Tensor]:
        return "computed", picture * scale

    def read(self, sums: str) -> str:
        return sums

    def __call__(self, picture: torch.Tensor, scale: float) -> tuple[str, torch.Tensor]:
        return self.compute(picture, scale)


PICTURE = torch.ones(1, 3, 4, 4)


@pytest.fixture(autouse=True)
def recordings(monkeypatch) -> list[float]:
    monkeypatch.setattr(graph, "_Recording", Recording)
    monkeypatch.setattr(Recording, "made", [])
    return Recording.made


def call(recorder: Recorder, scale: float = 1.0, picture: torch.Tensor = PICTURE) -> str:
    how, gradient = recorder(picture, scale)
    assert torch.equal(gradient, picture * scale)
    return str(how)


def test_it_replays_after_its_first_calls(recordings) -> None:
    objective = Objective()
    recorder = Recorder(objective)  # type: ignore[arg-type]
    told = [call(recorder) for _ in range(CALLS_BEFORE + 3)]
    assert told == ["computed"] * CALLS_BEFORE + ["replayed"] * 3
    assert recordings == [1.0]
    assert objective.tiles == 3  # whoever waits for a word between tiles has it between replays


def test_another_loss_scale_is_another_recording(recordings) -> None:
    recorder = Recorder(Objective())  # type: ignore[arg-type]
    for scale in (8.0, 8.0, 4.0, 4.0):
        call(recorder, scale)
    assert recordings == [8.0, 4.0]


@pytest.mark.parametrize("where", ["tiles", "large", "cpu"])
def test_where_it_is_of_no_use_nothing_is_recorded(where, monkeypatch, recordings) -> None:
    objective = Objective(tile=64 if where == "tiles" else None)
    if where == "cpu":
        objective.vgg = SimpleNamespace(device=torch.device("cpu"))
    if where == "large":
        monkeypatch.setattr(graph, "LARGEST_PIXELS", 15)
    recorder = Recorder(objective)  # type: ignore[arg-type]
    assert {call(recorder) for _ in range(5)} == {"computed"}
    assert recordings == []


@pytest.mark.parametrize(
    "error", [RuntimeError("not permitted"), torch.OutOfMemoryError("not permitted")]
)
def test_what_cannot_be_recorded_is_computed_and_said_once(error, monkeypatch, caplog) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(graph, "_Recording", refuse)
    recorder = Recorder(Objective())  # type: ignore[arg-type]
    assert {call(recorder) for _ in range(5)} == {"computed"}
    assert caplog.text.count("not permitted") == 1


def test_no_garbage_is_collected_while_it_records(monkeypatch) -> None:
    # An earlier graph among it, freed in the midst of a recording, ends that with an error of CUDA's.
    monkeypatch.undo()
    collects: list[bool] = []

    class Graph(Objective):
        @contextmanager
        def uninterrupted(self):
            yield

        def compute(self, picture: torch.Tensor, scale: float) -> tuple[str, torch.Tensor]:
            collects.append(gc.isenabled())
            return super().compute(picture, scale)

    @contextmanager
    def record(made: object):
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph", record)
    recorder = Recorder(Graph())  # type: ignore[arg-type]
    assert [call(recorder) for _ in range(CALLS_BEFORE + 2)] == ["computed"] * (CALLS_BEFORE + 2)
    assert collects == [True] * CALLS_BEFORE + [False]
    assert gc.isenabled()
