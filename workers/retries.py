"""Going on while the database or the storage is away for a while: FARM_OUTAGE_SECONDS at most."""

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


def write(what: Callable[[Session], T]) -> T:
    """Carry out `what` in a session that writes, again and again while the database is away.

    Raises:
        OperationalError, InterfaceError: it was away for too long.
    """

    def once() -> T:
        with sessions.write_session() as session:
            return what(session)

    return _retry(once, DatabaseAway)


def call_storage(what: Callable[[], T], waiting: Callable[[], None] = lambda: None) -> T:
    """Carry out `what` with the storage, again and again while it is away.

    Args:
        waiting: called before each pause; what it raises ends the waiting.

    Raises:
        StorageAway: it was away for too long.
    """
    return _retry(what, (StorageAway,), waiting)


def _retry(
    what: Callable[[], T],
    away: tuple[type[Exception], ...],
    waiting: Callable[[], None] = lambda: None,
) -> T:
    """The pauses grow; the last try's error is raised."""
    began, pause = time.monotonic(), FIRST_PAUSE
    while time.monotonic() - began < settings().outage_seconds:
        try:
            return what()
        except away as error:
            reason = getattr(error, "orig", error)  # a database's own words, without the statement
            log.warning("tried in vain", error=str(reason), again_in_seconds=pause)
        waiting()
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)
    return what()
