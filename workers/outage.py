"""Going on while the database or the storage is away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from farm import db
from farm.errors import FarmError

LONGEST = 600.0  # s that a database may be away before what it should have been told is given up
LONGEST_PAUSE = 15.0  # s
STORAGE_PAUSES = (1.0, 5.0, 25.0)  # s between tries

T = TypeVar("T")
DatabaseAway = (OperationalError, InterfaceError)
log = structlog.get_logger()


def write(what: Callable[[Session], T]) -> T:
    """Carry out `what` in a session that writes, again and again while the database is away.

    Raises:
        OperationalError, InterfaceError: it was away for too long.
    """
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            with db.writing() as session:
                return what(session)
        except DatabaseAway as error:
            if time.monotonic() - began > LONGEST:
                raise
            log.warning("the database is away", error=str(error.orig), again_in_seconds=pause)
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)


def tried(what: Callable[[], T]) -> T:
    """Carry out `what` with the storage, a few times if need be.

    Raises:
        Exception: the last try's; one of the farm's own at once, as it would come again.
    """
    for pause in STORAGE_PAUSES:
        try:
            return what()
        except FarmError:
            raise
        except Exception as error:  # whatever a storage raises
            log.warning("the storage refused", error=str(error), again_in_seconds=pause)
        time.sleep(pause)
    return what()
