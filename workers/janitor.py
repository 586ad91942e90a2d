"""The janitor: sends tickets for waiting jobs that have none, and requeues what lost its worker.

Run by `farm janitor`; several at once do no harm.
"""

from __future__ import annotations

import signal
import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from farm import db, jobs, log
from farm.queue import send_ticket

ROUND_SECONDS = 5.0
TICKET_SECONDS = 60.0  # a job that still waits after it gets another ticket, in case one was lost

logger = structlog.get_logger()


def tidy() -> None:
    """One round."""
    with db.writing() as session:
        for job_id in jobs.requeue_lost(session):
            logger.warning("worker lost", job=job_id)
    with db.writing() as session:
        due = jobs.tickets_due(session, TICKET_SECONDS)
    for work_class in due:
        send_ticket(work_class)


def main() -> None:
    """Tidy until told to stop."""
    log.configure()
    db.check_version()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            tidy()
        except SQLAlchemyError as error:
            logger.warning("the database is away", error=str(error))
        stop.wait(ROUND_SECONDS)


if __name__ == "__main__":
    main()
