"""Housekeeper: removes what is unused or kept for too long, and adds up what the storage holds.

A thread beside the janitor's rounds, so that a slow storage holds up no ticket and no lost job. It works
in steps, each change in a transaction of its own, and may be cut off at any moment; several at once
delete no more than one would.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import structlog
from sqlalchemy.exc import OperationalError

from farm.database import sessions, values
from farm.jobs import cleanup, holdings, retention

PAUSE_SECONDS = 5.0
SWEEP_EVERY = timedelta(hours=1)  # by one of all machines
LOOK_SECONDS = 300.0  # between two looks whether it is time
SWEEP = "sweep"  # the turn's name among the values of the farm

logger = structlog.get_logger()


class Housekeeper:
    """Thread that keeps house until `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._thread = threading.Thread(target=self._keep_house, name="housekeeper", daemon=True)
        self._looked_at = -LOOK_SECONDS

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the step under way, `seconds` at most; another process goes on from there."""
        self._thread.join(seconds)

    def run_step(self) -> None:
        """Do what is due now, each thing whatever becomes of the others: on a full disk no sums can be
        stored, but what is deleted makes room. Raises nothing."""
        for work in (self._sweep, retention.forget_by_settings, holdings.refresh):
            try:
                work()
            except OperationalError as error:
                logger.warning("the database is away", error=str(error.orig))
            except Exception:  # such as a storage that is away; the next step tries again
                logger.exception("housekeeping broke off")

    def _keep_house(self) -> None:
        while not self._stop.is_set():
            self.run_step()
            self._stop.wait(PAUSE_SECONDS)

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        with sessions.write_session() as session:
            due = values.claim_turn(session, SWEEP, SWEEP_EVERY)
        if due:
            cleanup.sweep()
