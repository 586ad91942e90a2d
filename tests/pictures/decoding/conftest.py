"""Decoding processes for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from farm.pictures import decoder_pool
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_pool import Pool
from tests.pictures.decoding.children import AMPLE


@pytest.fixture(autouse=True)
def processes(decoders_as_processes: None) -> None:
    """Whatever is tested here is a process."""


@pytest.fixture
def make_pool() -> Iterator[Callable[..., Pool]]:
    """A pool with limits like the ample ones, but for what a test says; closed afterwards."""
    with ExitStack() as pools:

        def make(wait_seconds: float = decoder_pool.WAIT_SECONDS, **limits: float) -> Pool:
            made = Pool(replace(AMPLE, **limits), wait_seconds)  # type: ignore[arg-type]
            return pools.enter_context(closing(made))

        yield make


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool()


@pytest.fixture
def child() -> Iterator[Child]:
    """A process for a worker's pictures."""
    made = Child()
    yield made
    made.end()
