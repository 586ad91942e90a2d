"""Interrupts of a job before it is done: by a person's cancellation or by the operator."""

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


class Interrupted(Exception):
    """Order to leave the loop.

    Args:
        state: CANCELLING for a person, QUEUED for the operator or for drafts.
        for_drafts: that wait, and no other worker is free for them.
    """

    def __init__(self, state: State, *, for_drafts: bool = False) -> None:
        self.state, self.for_drafts = state, for_drafts


class StorageWait:
    """Callback of an attempt's pauses while the storage is away.

    Renews the lease, adds one note to the timeline, and raises Interrupted when the job is to be left.

    Args:
        on_progress: called at each pause, so that waiting is not taken for being stuck.
    """

    def __init__(self, attempt: AttemptRef, on_progress: Callable[[], None]) -> None:
        self._attempt = attempt
        self._on_progress = on_progress
        self._noted = False

    def __call__(self) -> None:
        self._on_progress()
        if stopping.is_set():
            raise Interrupted(State.QUEUED)
        with suppress(*retries.DatabaseAway), sessions.write_session() as session:
            if attempts.renew_lease(session, self._attempt) is State.CANCELLING:
                raise Interrupted(State.CANCELLING)
            if not self._noted:
                attempts.note(session, self._attempt, "waits for the storage, which does not answer")
                self._noted = True
