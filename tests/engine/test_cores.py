"""Computations side by side on a CPU's cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from farm.engine.cores import map_on_cores


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_all_are_computed_two_at_once_on_one_thread_each() -> None:
    both = threading.Barrier(2, timeout=30)

    def compute(number: int) -> tuple[int, int]:
        both.wait()
        return number, torch.get_num_threads()

    assert map_on_cores(compute, range(4)) == [(number, 1) for number in range(4)]


def test_torch_keeps_its_threads_here_and_in_threads_to_come() -> None:
    map_on_cores(lambda number: torch.ones(1 << 16).sum() * number, range(4))
    found = [torch.get_num_threads()]
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2, 2]


def test_what_one_raises_is_raised_and_torch_keeps_its_threads() -> None:
    with pytest.raises(RuntimeError, match="cholesky"):
        map_on_cores(torch.linalg.cholesky, [torch.eye(3), -torch.eye(3)])
    assert torch.get_num_threads() == 2


def test_one_alone_and_one_core_need_no_other_thread() -> None:
    def name(_: int) -> str:
        return threading.current_thread().name

    here = threading.current_thread().name
    assert map_on_cores(name, [0]) == [here]
    torch.set_num_threads(1)
    assert map_on_cores(name, [0, 1]) == [here, here]
