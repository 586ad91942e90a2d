"""Checkpoints written now and then, by a thread beside the rendering."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from farm.engine.checkpoint import Checkpoint


class CheckpointThread:
    """Thread that stores a rendering's checkpoints, one at a time, every so many seconds.

    As a context it ends with the block, when what it stores is stored.

    Args:
        every_seconds: between the beginnings of two, and before the first. One that takes longer to
            store delays the next.
        store: called in the thread. Whatever it raises, the next call of `is_due` or `finish` raises.
    """

    def __init__(self, every_seconds: float, store: Callable[[Checkpoint], None]) -> None:
        self._every_seconds, self._store = every_seconds, store
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._began = time.monotonic()

    def is_due(self) -> bool:
        """Return True if it is time for the next checkpoint, and the last one is stored."""
        if self._pending is not None and self._pending.done():
            self.finish()
        return self._pending is None and time.monotonic() - self._began >= self._every_seconds

    def start(self, make: Callable[[], Checkpoint]) -> None:
        """Make a checkpoint here, and store it in the thread; if one is due, or after `finish`.

        What is lent is waited for.
        """
        self._began = time.monotonic()
        saved = make()
        self._pending = self._pool.submit(self._store, saved)
        if saved.lent:
            self.finish()

    def finish(self) -> None:
        """Wait until the last checkpoint is stored."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._pool.shutdown()
