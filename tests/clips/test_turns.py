"""Turns at clips: one of each client at once, and nobody waits for all of another's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from time import sleep

import pytest

from farm.clips import turns
from farm.clips.turns import MOST_WAITING, Turn, Turns
from farm.errors import Busy


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * MOST_WAITING) as pool:
        yield pool


class Queue:
    """Clients that wait in the order in which they came, and how they were served."""

    def __init__(self, places: int, threads: ThreadPoolExecutor) -> None:
        self.turns, self.served = Turns(places), list[str]()
        self._threads = threads

    def join(self, client: str) -> Future[None]:
        """Let a client wait, behind those that wait already."""
        before = len(self.turns._waiting)
        asked = self._threads.submit(self._take, client)
        while len(self.turns._waiting) == before and not asked.done():
            sleep(0.01)
        return asked

    def _take(self, client: str) -> None:
        with self.turns.take(client):
            self.served.append(client)


def test_a_client_has_one_place_though_others_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.01)
    places = Turns(2)
    with places.take("greedy"):
        with pytest.raises(Busy), places.take("greedy"):
            pass
        with places.take("another"), pytest.raises(Busy), places.take("third"):
            pass
    with ExitStack() as stack:  # all are given back, after refusals too
        for client in ("one", "two"):
            stack.enter_context(places.take(client))


def test_a_client_that_has_had_a_turn_comes_behind_all_others(threads: ThreadPoolExecutor) -> None:
    queue = Queue(1, threads)
    with queue.turns.take("greedy"):
        asked = [queue.join(client) for client in ("greedy", "greedy", "another", "third")]
    for each in asked:
        each.result(30)
    assert queue.served == ["another", "third", "greedy", "greedy"]


def test_of_one_client_so_many_wait_and_no_more(threads: ThreadPoolExecutor) -> None:
    queue = Queue(2, threads)
    with queue.turns.take("greedy"):
        asked = [queue.join("greedy") for _ in range(MOST_WAITING)]
        with pytest.raises(Busy), queue.turns.take("greedy"):
            pass
        with queue.turns.take("another"):
            queue.served.append("another")
    for each in asked:
        each.result(30)
    assert queue.served == ["another", *["greedy"] * MOST_WAITING]


def test_who_waits_has_the_place_of_one_whose_turn_is_over(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two clients that hold both places, the second for less than a turn
    now = [1000.0]
    monkeypatch.setattr(turns, "monotonic", lambda: now[0])
    queue, ended = Queue(2, threads), dict[str, Event]()

    def hold(client: str) -> Turn:
        begun, held = Event(), list[Turn]()

        def keep() -> None:
            with queue.turns.take(client) as turn:
                ended[client] = Event()
                turn.end_by(ended[client].set)
                held.append(turn)
                begun.set()
                assert ended[client].wait(60)

        threads.submit(keep)
        assert begun.wait(60)
        return held[0]

    slow = hold("slow")
    now[0] += turns.TURN_SECONDS - 1
    quick = hold("quick")

    # When another waits, nobody is ended before a turn is over; then the one that is
    asked = queue.join("another")
    with queue.turns._changed:
        assert queue.turns._end_longest(queue.turns._waiting[0]) == 1
        assert not slow.was_ended
        now[0] += 1
        queue.turns._changed.notify_all()
    asked.result(60)
    assert queue.served == ["another"]
    assert (slow.was_ended, quick.was_ended) == (True, False)
    ended["quick"].set()


def test_what_begins_in_a_turn_that_is_over_is_ended_at_once() -> None:
    turn, ended = Turn("slow"), Event()
    turn.end()
    turn.end_by(ended.set)
    assert ended.is_set()


def test_a_turn_goes_on_as_long_as_nobody_else_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.01)
    places = Turns(2)
    with places.take("slow") as slow, places.take("another"):
        with pytest.raises(Busy), places.take("slow"):  # whose own other clip waits for it
            pass
        assert not slow.was_ended
