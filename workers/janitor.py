"""The janitor: sends tickets for waiting jobs that have none, requeues what lost its worker, and removes
what nobody needs. Beside its rounds, in threads of their own, webhooks are sent.

Run by `farm janitor`; several at once do no harm.
"""

from __future__ import annotations

import signal
import threading
import time

import structlog
from sqlalchemy.exc import OperationalError

from farm import log
from farm.database import sessions
from farm.fleet import registry
from farm.jobs import cleanup, states, tickets
from farm.jobs.tickets import send_ticket
from farm.settings import settings
from workers.webhook_sender import Senders

ROUND_SECONDS = 5.0
TICKET_SECONDS = 60.0  # a job that still waits after it gets another ticket, in case one was lost
SWEEP_SECONDS = 3600.0
STOP_SECONDS = 7.0  # for webhooks under way; less than `farm up` waits for this process

logger = structlog.get_logger()


class Janitor:
    """Remembers how long all has been well: while the database was away, no worker could say that it was
    alive, so each gets the time of a lease to say so before it is judged."""

    def __init__(self) -> None:
        self._well_since: float | None = None
        self._swept = -SWEEP_SECONDS

    def round(self) -> None:
        """What there is to do now. Raises nothing."""
        now = time.monotonic()
        try:
            if self._well_since is None:
                self._well_since = now
            self._requeue(judging=now - self._well_since >= settings().lease_seconds)
            if now - self._swept >= SWEEP_SECONDS:
                self._swept = now
                with sessions.writing() as session:
                    registry.delete_stale(session)
                cleanup.sweep()
        except OperationalError as error:
            self._well_since = None
            logger.warning("the database is away", error=str(error.orig))
        except Exception:  # such as a storage that is away; the next round tries again
            logger.exception("a round broke off")

    def _requeue(self, *, judging: bool) -> None:
        with sessions.writing() as session:
            if judging:
                for job_id in states.requeue_lapsed(session):
                    logger.warning("worker lost", job=job_id)
            due = tickets.tickets_due(session, TICKET_SECONDS)
        for work_class in due:
            send_ticket(work_class)


def main() -> None:
    """Tidy until told to stop."""
    log.configure()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    janitor, senders = Janitor(), Senders(stop)
    senders.start()
    while not stop.is_set():
        janitor.round()
        stop.wait(ROUND_SECONDS)
    senders.join(STOP_SECONDS)


if __name__ == "__main__":
    main()
