"""Turns at clips: a few at once for all clients, one of each; nobody waits for all of another's, nor for
longer than a turn's seconds for one that does not end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock
from time import monotonic

from farm.errors import Busy

PLACES = 2
TURN_SECONDS = 45.0  # after which a place is another's, if one waits; 4K takes 0.12 s a frame at most
WAIT_SECONDS = TURN_SECONDS + 15.0  # for a place: a turn, and the end of a process
MOST_WAITING = 3  # of one client; each holds a thread, and a clip in memory


class Turn:
    """A client's turn, waited for or held."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.began = 0.0  # of the clock that `monotonic` reads
        self.was_ended = False  # as it was over, and others waited
        self._end: Callable[[], None] = lambda: None
        self._lock = Lock()

    def end_by(self, end: Callable[[], None]) -> None:
        """Let what this turn is used for be ended so once it is over; at once, if it is already.

        Args:
            end: called in any thread; whoever holds the turn then leaves its block soon.
        """
        with self._lock:
            self._end = end
        if self.was_ended:
            end()

    def end(self) -> None:
        """End what this turn is used for."""
        with self._lock:
            self.was_ended = True
        self._end()


class Turns:
    """Places for what takes a process for long; threads may share it."""

    def __init__(self, places: int = PLACES, most_waiting: int = MOST_WAITING) -> None:
        """
        Args:
            most_waiting: of one client.
        """
        self._free, self._most_waiting = places, most_waiting
        self._held: list[Turn] = []  # the longest first; one of each client
        self._waiting: list[Turn] = []  # whose turn is next comes first
        self._changed = Condition()

    @contextmanager
    def take(self, client: str) -> Iterator[Turn]:
        """Hold a place for the block. After `TURN_SECONDS` it is ended as soon as another client waits.

        Raises:
            Busy: none was free in time, or too many wait for this client already.
        """
        turn = Turn(client)
        self._await_place(turn)
        try:
            yield turn
        finally:
            self._release(turn)

    def _await_place(self, turn: Turn) -> None:
        with self._changed:
            if sum(each.client == turn.client for each in self._waiting) >= self._most_waiting:
                raise Busy()
            self._waiting.append(turn)
            give_up = monotonic() + WAIT_SECONDS
            try:
                while self._find_next() is not turn or not self._free:
                    left = give_up - monotonic()
                    if left <= 0:
                        raise Busy()
                    self._changed.wait(min(left, self._end_longest(turn)))
                self._free -= 1
                turn.began = monotonic()
                self._held.append(turn)
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()

    def _find_next(self) -> Turn | None:
        served = {each.client for each in self._held}
        return next((each for each in self._waiting if each.client not in served), None)

    def _end_longest(self, turn: Turn) -> float:
        """End the turn that was held for longest, if it is over and this one comes next.

        Returns:
            after how many seconds it may be, if nothing changes.
        """
        if self._find_next() is not turn or any(each.was_ended for each in self._held):
            return WAIT_SECONDS
        left = self._held[0].began + TURN_SECONDS - monotonic()
        if left <= 0:
            self._held[0].end()
        return left if left > 0 else WAIT_SECONDS

    def _release(self, turn: Turn) -> None:
        """Free a client's place; what else it waits for comes behind all others' then."""
        with self._changed:
            self._free += 1
            self._held.remove(turn)
            self._waiting.sort(key=lambda each: each.client == turn.client)
            self._changed.notify_all()
