"""Clients of the web part share its decoding processes: turns, refusals, and an end."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from hashlib import sha256

import psutil
import pytest

from benchmarks.testbed.processes import wait_for
from farm.errors import Busy, InvalidInput, NotAPicture
from farm.pictures import decode, decoder_pool
from farm.pictures.decoder_pool import Pool
from farm.pictures.decoder_request import PictureFile
from tests.pictures.decoding.children import (
    AMPLE,
    SMALL,
    asked_something,
    children,
    gradient,
    one,
    save,
    started,
    stopped,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")


def test_clients_take_turns(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two processes in the middle of a picture, and one client who asks for many more
    busy, went_on = threading.Semaphore(0), threading.Semaphore(0)
    order: list[str] = []

    def check(picture: PictureFile, _key: object) -> decode.Checked:
        busy.acquire()
        order.append(picture.field)
        went_on.release()
        return decode.Checked(1, 1, b"")

    monkeypatch.setattr(pool, "_check_one", check)

    def ask(client: str, number: int) -> list[decode.Checked]:
        decoder_pool.set_client(client)
        named = [PictureFile(SMALL, f"{client}{at}") for at in range(number)]
        return list(pool.check(named))

    with ThreadPoolExecutor(2) as clients:
        many = clients.submit(ask, "many", 8)
        wait_for(lambda: len(pool._turns._waiting.get("many", ())) == 6, pause=0.01)

        # When another asks for two, then those come before most of the many
        few = clients.submit(ask, "few", 2)
        wait_for(lambda: len(pool._turns._waiting.get("few", ())) == 2, pause=0.01)
        for _ in range(10):
            busy.release()
            assert went_on.acquire(timeout=60)
        assert len(many.result(60)) == 8
        assert len(few.result(60)) == 2
    assert max(order.index("few0"), order.index("few1")) <= 6


def test_a_client_of_a_slow_picture_has_one_process_at_a_time(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(client: str, number: int) -> list[decode.Checked]:
        decoder_pool.set_client(client)
        return list(pool.check([PictureFile(SMALL, f"{client}{at}") for at in range(number)]))

    # Given a client whose picture was slow, who asks for three more
    monkeypatch.setattr(decoder_pool, "SLOW_SECONDS", -1.0)
    copy_context().run(ask, "slow", 1)
    monkeypatch.setattr(decoder_pool, "SLOW_SECONDS", 600.0)
    held, begun = threading.Event(), threading.Semaphore(0)

    def check(picture: PictureFile, _key: object) -> decode.Checked:
        if picture.field.startswith("slow"):
            begun.release()
            assert held.wait(60)
        return decode.Checked(1, 1, b"")

    monkeypatch.setattr(pool, "_check_one", check)
    with ThreadPoolExecutor(2) as clients:
        slow = clients.submit(ask, "slow", 3)
        assert begun.acquire(timeout=60)

        # When one of them is at work, another client's are checked, and two still wait
        assert len(clients.submit(ask, "other", 4).result(60)) == 4
        assert len(pool._turns._waiting["slow"]) == 2

        # And in the end all are
        held.set()
        assert len(slow.result(60)) == 3


def test_a_closed_pool_keeps_nobody_waiting(make_pool: Callable[..., Pool]) -> None:
    # Given two processes in the middle of a picture, and two more pictures
    pool = make_pool()
    pool.warm()
    wait_for(lambda: pool._idle.qsize() == len(children()) == 2, pause=0.01)
    for child in children():
        stopped(child)
    pictures = [save(gradient(160, 120 + number), "PNG") for number in range(4)]
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(one, pool, picture) for picture in pictures]
        # two are taken and two wait; without the first, two that nobody has taken yet would do
        wait_for(
            lambda: sum(pool._turns._running.values()) == pool._threads._work_queue.qsize() == 2,
            pause=0.01,
        )

        # When the pool is closed, all have an answer
        pool.close()
        for each in asked:
            with pytest.raises((InvalidInput, CancelledError)):
                each.result(60)


def test_a_file_that_was_refused_takes_no_process_again(pool: Pool) -> None:
    # Given a file that was refused, and children that answer nothing any more
    with pytest.raises(NotAPicture) as first:
        one(pool, SMALL[:600])
    stopped(children()[0])

    # Then it is refused in the same words, under the field it comes in now
    with pytest.raises(NotAPicture) as again:
        one(pool, SMALL[:600], "style")
    assert str(again.value) == str(first.value).replace("content", "style")
    children()[0].send_signal(signal.SIGCONT)
    assert one(pool, SMALL).width == 160


def test_refusals_are_forgotten_after_a_while_and_the_oldest_first(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_pool, "REFUSED_FILES", 2)
    bad = [SMALL[:600] + bytes([number]) for number in range(3)]
    for data in bad:
        with pytest.raises(NotAPicture):
            one(pool, data)
    assert [key[0] for key in pool._refusals._known] == [sha256(data).hexdigest() for data in bad[1:]]
    key = next(iter(pool._refusals._known))
    monkeypatch.setattr(decoder_pool, "monotonic", lambda: time.monotonic() + 601)
    assert pool._refusals.find(key, "content") is None


def test_a_closed_pool_leaves_neither_process_nor_thread_nor_file() -> None:
    before = (threading.active_count(), psutil.Process().num_fds())
    pool = Pool(AMPLE)
    started(pool)
    pool.close()
    assert children() == []
    assert (threading.active_count(), psutil.Process().num_fds()) == before


def test_many_threads_share_two_children(pool: Pool) -> None:
    sizes = [(100 + number, 90) for number in range(12)]
    pictures = [save(gradient(*size), "PNG") for size in sizes]
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda data: one(pool, data), pictures))
    assert [(checked.width, checked.height) for checked in found] == sizes
    assert len(children()) == 2


def test_nobody_waits_for_ever(make_pool: Callable[..., Pool]) -> None:
    # Given two children in the middle of pictures
    pool = make_pool(wait_seconds=0.2)
    list(pool.check([PictureFile(SMALL, "content")] * 2))
    both = [stopped(child) for child in children()]
    assert len(both) == 2
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(lambda: list(pool.check([PictureFile(SMALL, "content")] * 2)))
        wait_for(lambda: all(map(asked_something, both)), pause=0.01)

        # Then a third is told so
        with pytest.raises(Busy) as caught:
            one(pool, SMALL)
        assert caught.value.status == 503

        # And those that have begun are not disturbed
        for child in both:
            child.send_signal(signal.SIGCONT)
        assert [checked.width for checked in busy.result(120)] == [160, 160]
