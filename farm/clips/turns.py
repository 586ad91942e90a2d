"""Turns at clips: a few at once for all clients, one of each; nobody waits for all of another's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from farm.errors import Busy

PLACES = 2
WAIT_SECONDS = 30.0  # for one of them
MOST_WAITING = 3  # of one client; each holds a thread, and a clip in memory


class _Asked:
    """Somebody who waits."""

    def __init__(self, client: str) -> None:
        self.client = client


class Turns:
    """Places for what takes a process for long; threads may share it."""

    def __init__(self, places: int = PLACES, most_waiting: float = MOST_WAITING) -> None:
        """
        Args:
            most_waiting: of one client.
        """
        self._free, self._most_waiting = places, most_waiting
        self._served: set[str] = set()  # clients that have a place
        self._waiting: list[_Asked] = []  # whose turn is next comes first
        self._changed = Condition()

    @contextmanager
    def take(self, client: str) -> Iterator[None]:
        """Hold a place for the block.

        Raises:
            Busy: none was free in time, or too many wait for this client already.
        """
        self._await_place(_Asked(client))
        try:
            yield
        finally:
            self._give_back(client)

    def _await_place(self, asked: _Asked) -> None:
        with self._changed:
            if sum(each.client == asked.client for each in self._waiting) >= self._most_waiting:
                raise Busy()
            self._waiting.append(asked)
            try:
                if not self._changed.wait_for(lambda: self._is_next(asked), WAIT_SECONDS):
                    raise Busy()
                self._free -= 1
                self._served.add(asked.client)
            finally:
                self._waiting.remove(asked)
                self._changed.notify_all()

    def _is_next(self, asked: _Asked) -> bool:
        others = (each for each in self._waiting if each.client not in self._served)
        return self._free > 0 and next(others, None) is asked

    def _give_back(self, client: str) -> None:
        """Free a client's place; what else it waits for comes behind all others' then."""
        with self._changed:
            self._free += 1
            self._served.discard(client)
            self._waiting.sort(key=lambda each: each.client == client)
            self._changed.notify_all()
