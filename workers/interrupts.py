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
    """What an attempt does while it waits for the storage: says so once, and stops when it shall.

    progressed: called too, so that waiting is not taken for being stuck.
    """

    def __init__(self, attempt: AttemptRef, progressed: Callable[[], None]) -> None:
        self._attempt = attempt
        self._progressed = progressed
        self._said = False

    def __call__(self) -> None:
        self._progressed()
        if stopping.is_set():
            raise Stop(State.QUEUED)
        with suppress(*retries.DatabaseAway), sessions.write_session() as session:
            if attempts.renew_lease(session, self._attempt) is State.CANCELLING:
                raise Stop(State.CANCELLING)
            if not self._said:
                attempts.note(session, self._attempt, "waits for the storage, which does not answer")
                self._said = True
