"""Janitor: sends tickets for waiting jobs, requeues lost jobs.

A job is lost when the janitor itself has watched its lease for as long as a lease lasts, and nobody
renewed it. No clock of the day is read: one that is set anew loses no job, nor do machines that slept.
Webhooks are sent, and unused files and old jobs are removed, beside the rounds, in threads of their own.

Run by `farm janitor`, on as many machines as one likes: each watches for itself, what one has moved the
others find moved.
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from farm import log
from farm.database import reserve, sessions
from farm.films import films
from farm.fleet import registry
from farm.jobs import losses, tickets
from farm.jobs.states import AttemptRef
from farm.jobs.tickets import send_ticket
from farm.settings import settings
from workers.housekeeper import Housekeeper
from workers.webhook_sender import Senders

ROUND_SECONDS = 5.0
TICKET_SECONDS = 60.0  # a job that still waits after it gets another ticket, in case one was lost
STALE_SECONDS = 3600.0  # between two removals of rows of workers that are gone
LATE_SECONDS = 3 * ROUND_SECONDS  # between two rounds: the janitor, and all with it, may have slept
STOP_SECONDS = 6.5  # for webhooks and deletions under way; less than `farm up` waits for this process

logger = structlog.get_logger()


@dataclass(frozen=True)
class _Watched:
    """A lease as the janitor saw it last."""

    lease: datetime | None
    # Monotonic clock when it was first seen so, s.
    since: float


class Janitor:
    """Rounds of housekeeping, and what the janitor saw of the leases.

    While the database was away or the machine slept no worker could renew its lease, so the watch begins
    anew, and each gets the time of a lease to do so before its job is requeued.
    """

    def __init__(self) -> None:
        self._watched: dict[AttemptRef, _Watched] = {}
        self._round_at = time.monotonic()
        self._removed_stale = -STALE_SECONDS

    def run_round(self) -> None:
        """Do the work that is due now. Raises nothing."""
        now = time.monotonic()
        try:
            if now - self._round_at > LATE_SECONDS:
                self._watched.clear()
            self._round_at = now
            self._requeue(now)
            films.settle_all()
            self._remove_stale(now)
            sessions.checkpoint()
            reserve.keep()
        except OperationalError as error:
            self._watched.clear()
            logger.warning("the database is away", error=str(error.orig))
        except Exception:  # such as a storage that is away; the next round tries again
            logger.exception("a round broke off")

    def _requeue(self, now: float) -> None:
        """Send a ticket for each class with jobs that wait too long; requeue lost jobs before."""
        with sessions.write_session() as session:
            losses.requeue_lost(session, self._find_lost(session, now))
            due = tickets.collect_due_tickets(session, TICKET_SECONDS)
        for work_class in due:
            send_ticket(work_class)

    def _find_lost(self, session: Session, now: float) -> list[AttemptRef]:
        """Look at all leases, and return the attempts whose lease nobody renewed for its length."""
        self._watched = {
            attempt: seen
            if (seen := self._watched.get(attempt)) and seen.lease == lease
            else _Watched(lease, now)
            for attempt, lease in losses.list_leases(session).items()
        }
        longest = settings().lease_seconds
        return [attempt for attempt, seen in self._watched.items() if now - seen.since >= longest]

    def _remove_stale(self, now: float) -> None:
        if now - self._removed_stale < STALE_SECONDS:
            return
        self._removed_stale = now
        with sessions.write_session() as session:
            registry.delete_stale(session)


def main() -> None:
    """Run rounds until SIGTERM or SIGINT."""
    log.configure()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    janitor, senders, housekeeper = Janitor(), Senders(stop), Housekeeper(stop)
    senders.start()
    housekeeper.start()
    while not stop.is_set():
        janitor.run_round()
        stop.wait(ROUND_SECONDS)
    senders.join(STOP_SECONDS)
    housekeeper.join(1.0)


if __name__ == "__main__":
    main()
