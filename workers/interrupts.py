"""Leaving a job before it is done, because a person or the operator asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from farm.database import sessions
from farm.database.models import State
from farm.jobs import attempts
from farm.jobs.states import AttemptRef
from workers import retries

stopping = threading.Event()  # the operator wants this process to end


class Stop(Exception):
    """Leave the loop: `state` says who asked for it."""

    def __init__(self, state: State) -> None:
        self.state = state


class Waits:
    """The pauses of an attempt that waits for the storage: noted once, and left when it is to stop.

    on_progress: called too, so that waiting is not taken for being stuck.
    """

    def __init__(self, attempt: AttemptRef, on_progress: Callable[[], None]) -> None:
        self._attempt = attempt
        self._on_progress = on_progress
        self._noted = False

    def __call__(self) -> None:
        self._on_progress()
        if stopping.is_set():
            raise Stop(State.QUEUED)
        with suppress(*retries.DatabaseAway), sessions.write_session() as session:
            if attempts.renew_lease(session, self._attempt) is State.CANCELLING:
                raise Stop(State.CANCELLING)
            if not self._noted:
                attempts.note(session, self._attempt, "waits for the storage, which does not answer")
                self._noted = True
