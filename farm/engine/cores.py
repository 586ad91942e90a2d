"""Small computations side by side on a CPU's cores, one core each.

LAPACK hardly takes less time on several cores for an eigendecomposition of a few hundred rows, and a
style loss has one for each layer and region.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

T = TypeVar("T")
U = TypeVar("U")


def map_on_cores(function: Callable[[T], U], given: Sequence[T]) -> list[U]:
    """Return what a function makes of each, on as many cores as torch has threads here. The last ones
    begin first: deep layers' roots take longest."""
    cores = torch.get_num_threads()
    if min(cores, len(given)) < 2:
        return [function(each) for each in given]
    try:
        return [*_make_pool(cores).map(function, reversed(given))][::-1]
    finally:
        torch.set_num_threads(cores)  # for threads to come, for which those of the pool set it, too


@lru_cache(maxsize=1)
def _make_pool(cores: int) -> ThreadPoolExecutor:
    """Make a pool of threads in each of which torch has one thread."""
    return ThreadPoolExecutor(cores, "core", _begin)


def _begin() -> None:
    torch.get_num_threads()  # or the first operation of torch in this thread would set it anew
    torch.set_num_threads(1)
