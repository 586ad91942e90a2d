"""Janitor: sends tickets for waiting jobs, requeues lost jobs, removes unused files and rows.

A job is lost when its lease has lapsed. Webhooks are sent beside the rounds, in threads of their own.

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
    """Rounds of housekeeping, and since when the database answers.

    While the database was away no worker could renew its lease, so each gets the time of a lease to do
    so before its job is requeued.
    """

    def __init__(self) -> None:
        self._available_since: float | None = None  # monotonic clock; None: the database is away
        self._swept = -SWEEP_SECONDS

    def run_round(self) -> None:
        """Do the work that is due now. Raises nothing."""
        now = time.monotonic()
        try:
            if self._available_since is None:
                self._available_since = now
            self._requeue(lapsed=now - self._available_since >= settings().lease_seconds)
            self._sweep(now)
        except OperationalError as error:
            self._available_since = None
            logger.warning("the database is away", error=str(error.orig))
        except Exception:  # such as a storage that is away; the next round tries again
            logger.exception("a round broke off")

    def _requeue(self, *, lapsed: bool) -> None:
        """Send a ticket for each class with jobs that wait too long; requeue lapsed jobs before."""
        with sessions.write_session() as session:
            if lapsed:
                for job_id in states.requeue_lapsed(session):
                    logger.warning("worker lost", job=job_id)
            due = tickets.collect_due_tickets(session, TICKET_SECONDS)
        for work_class in due:
            send_ticket(work_class)

    def _sweep(self, now: float) -> None:
        if now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        with sessions.write_session() as session:
            registry.delete_stale(session)
        cleanup.sweep()


def main() -> None:
    """Run rounds until SIGTERM or SIGINT."""
    log.configure()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    janitor, senders = Janitor(), Senders(stop)
    senders.start()
    while not stop.is_set():
        janitor.run_round()
        stop.wait(ROUND_SECONDS)
    senders.join(STOP_SECONDS)


if __name__ == "__main__":
    main()
