"""A gradient as a CUDA graph: its calls recorded once, and replayed by one.

An iteration is some 350 calls, and a host needs 5 to 15 ms for them where a card computes 2 at 512 px.
A replay computes the very same numbers. Whatever the calls depend on beside the picture is fixed by the
recording: the level, the plan, a loss scale.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from farm.engine.gradient import Objective
from farm.engine.losses import Losses

log = logging.getLogger(__name__)

LARGEST_PIXELS = (
    6 << 20
)  # beyond, a card computes for longer than a host calls, and a graph holds memory
CALLS_BEFORE = 1  # that makes what is made once: targets, kernels, libraries' handles


class Recorder:
    """An objective that records itself after its first calls, where that is of use."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._calls = 0
        self._recording: _Recording | None = None
        self._records = objective.vgg.device.type == "cuda" and objective.plan.tile is None

    def __call__(self, picture: Tensor, scale: float = 1.0) -> tuple[Losses, Tensor]:
        """Return losses and gradient, see `Objective`."""
        recording = self._get_recording(picture, scale)
        if recording is None:
            return self._objective(picture, scale)
        self._objective.on_tile()
        sums, gradient = recording.replay(picture)
        return self._objective.read(sums), gradient

    def _get_recording(self, picture: Tensor, scale: float) -> _Recording | None:
        """Return the recording for this loss scale, made if need be; None: the calls have to be made."""
        self._calls += 1
        pixels = picture.shape[2] * picture.shape[3]
        if not self._records or pixels > LARGEST_PIXELS or self._calls <= CALLS_BEFORE:
            return None
        if self._recording is None or self._recording.scale != scale:
            self._recording = None  # frees its memory first
            try:
                self._recording = _Recording(self._objective, picture, scale)
            except RuntimeError as error:  # memory that ran out, too: without a graph there was enough
                self._records = False
                log.warning("No CUDA graph of the gradient: %s", error)
        return self._recording


class _Recording:
    """The calls of one gradient, and the memory that they read and write."""

    def __init__(self, objective: Objective, picture: Tensor, scale: float) -> None:
        self.scale = scale
        self._picture = picture.clone()
        self._graph = torch.cuda.CUDAGraph()
        with objective.uninterrupted(), keep_garbage(), torch.cuda.graph(self._graph):
            self._sums, self._gradient = objective.compute(self._picture, scale)

    def replay(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        self._picture.copy_(picture)
        self._graph.replay()
        return self._sums, self._gradient.clone()


@contextmanager
def keep_garbage() -> Iterator[None]:
    """Keep Python from collecting garbage: an earlier recording in it, freed meanwhile, would spoil this
    one."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
