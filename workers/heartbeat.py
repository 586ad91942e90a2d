"""A thread of the rendering process that says it is alive and renews the lease of its job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from farm import db, jobs
from farm.errors import AttemptLost
from farm.settings import settings

BEATS_IN_A_LEASE = 4
LONGEST_PAUSE = 15.0  # s between beats

log = structlog.get_logger()


class Heartbeat(threading.Thread):
    """Beats from the start of the process to its end; between `of` and its end, for a job too."""

    def __init__(self, worker: str, machine: jobs.Machine) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._worker = (worker, machine)
        self._claim: jobs.Claim | None = None
        self._pause = min(LONGEST_PAUSE, settings().lease_seconds / BEATS_IN_A_LEASE)

    @contextmanager
    def of(self, claim: jobs.Claim) -> Iterator[None]:
        """Renew this claim's lease while the block runs."""
        self._claim = claim
        try:
            yield
        finally:
            self._claim = None

    def run(self) -> None:
        wait = threading.Event().wait
        while True:
            self._beat()
            wait(self._pause)

    def _beat(self) -> None:
        claim = self._claim
        try:
            with db.writing() as session:
                jobs.worker_seen(session, *self._worker)
                if claim:
                    jobs.heartbeat(session, claim.job.id, claim.attempt)
        except AttemptLost:
            pass  # the renderer learns of it at its next report
        except SQLAlchemyError as error:  # a database that is away is tried again
            log.warning("heartbeat failed", error=str(error))
