"""Retries while the database or the storage is away, for FARM_OUTAGE_SECONDS at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.errors import StorageAway
from farm.settings import settings

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # s

T = TypeVar("T")
DatabaseAway = (OperationalError, InterfaceError)
log = structlog.get_logger()


def write(operation: Callable[[Session], T], on_pause: Callable[[], None] = lambda: None) -> T:
    """Run an operation in a session that writes, and retry it while the database is away.

    A commit whose answer is lost may have been carried out all the same, so an operation has to find out
    when it is repeated: those of an attempt then get AttemptLost.

    Args:
        on_pause: called before each pause; an exception from it ends the retries.

    Raises:
        OperationalError, InterfaceError: it was away for too long.
    """

    def run_once() -> T:
        with sessions.write_session() as session:
            return operation(session)

    return _retry(run_once, DatabaseAway, on_pause)


def call_storage(operation: Callable[[], T], on_pause: Callable[[], None] = lambda: None) -> T:
    """Run an operation on the storage, and retry it while the storage is away.

    Args:
        on_pause: called before each pause; an exception from it ends the retries.

    Raises:
        StorageAway: it was away for too long.
    """
    return _retry(operation, (StorageAway,), on_pause)


def _retry(
    operation: Callable[[], T],
    errors: tuple[type[Exception], ...],
    on_pause: Callable[[], None] = lambda: None,
) -> T:
    """Retry an operation after pauses that grow; raise the error of the last try."""
    began, pause = time.monotonic(), FIRST_PAUSE
    while time.monotonic() - began < settings().outage_seconds:
        try:
            return operation()
        except errors as error:
            reason = getattr(error, "orig", error)  # a database's own words, without the statement
            log.warning("tried in vain", error=str(reason), again_in_seconds=pause)
        on_pause()
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)
    return operation()
