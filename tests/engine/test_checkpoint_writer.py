"""The thread that stores checkpoints while a rendering goes on."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from farm.engine.checkpoint_writer import CheckpointThread

PATIENCE = 60  # s


class SlowStore:
    """Place that a checkpoint reaches only when it is let."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.may = threading.Event()

    def __call__(self, saved: Any) -> None:
        assert self.may.wait(PATIENCE)
        self.stored.append(saved.name)


def make(name: str, lent: bool = False) -> Any:
    return lambda: SimpleNamespace(name=name, lent=lent)


def test_there_is_one_at_a_time() -> None:
    store = SlowStore()
    with CheckpointThread(0, store) as thread:
        assert thread.is_due()
        thread.start(make("one"))
        assert not thread.is_due()
        store.may.set()
        thread.finish()
        assert thread.is_due()
        thread.start(make("two"))
    assert store.stored == ["one", "two"]


def test_a_state_that_is_lent_is_stored_before_the_next_step() -> None:
    store = SlowStore()
    store.may.set()
    with CheckpointThread(0, store) as thread:
        thread.start(make("one", lent=True))
        assert store.stored == ["one"]


def test_none_is_due_before_its_time() -> None:
    with CheckpointThread(3600, print) as thread:
        assert not thread.is_due()


def test_what_it_cannot_store_is_raised_once_and_the_next_is_tried() -> None:
    def refuse(saved: Any) -> None:
        raise OSError(f"no room for {saved.name}")

    with CheckpointThread(0, refuse) as thread:
        for name in ("one", "two"):
            thread.start(make(name))
            with pytest.raises(OSError, match=f"no room for {name}"):
                thread.finish()
            assert thread.is_due()
    with pytest.raises(OSError, match="no room for three"), CheckpointThread(0, refuse) as thread:
        thread.start(make("three"))


def test_an_error_of_the_rendering_is_raised_after_the_thread_has_ended() -> None:
    store, before = SlowStore(), set(threading.enumerate())

    def break_off() -> None:
        with CheckpointThread(0, store) as thread:
            thread.start(make("one"))
            store.may.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert store.stored == ["one"]
    later = set(threading.enumerate()) - before
    assert not any(each.name.startswith("checkpoint") for each in later)
