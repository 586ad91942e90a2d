"""The farm's clock: the database's, so that a machine whose own is wrong writes no wrong moments.

It is read with each new connection and wherever leases and due times are computed; in between, time is
counted on from there.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

# Goes on while the machine sleeps; nobody sets it.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_set_to: tuple[datetime, float] | None = None  # a moment, and the steady clock then, s


def now() -> datetime:
    """Return the time, in UTC; this machine's where the database has no clock or was not asked yet."""
    if (known := _set_to) is None:
        return datetime.now(UTC)
    moment, at = known
    return moment + timedelta(seconds=read_steady() - at)


def count_on(seconds: float) -> datetime | None:
    """Return the time, in UTC, if the database gave a moment at most so long ago; else None."""
    if (known := _set_to) is None or read_steady() - known[1] > seconds:
        return None
    return now()


def set_clock(moment: datetime, at: float) -> None:
    """Go on from a moment that the database gave.

    Args:
        at: the steady clock then, s.
    """
    global _set_to
    _set_to = moment.astimezone(UTC), at


def reset() -> None:
    """Go by this machine's clock again."""
    global _set_to
    _set_to = None


def read_steady() -> float:
    """Return the seconds on a clock that nobody sets."""
    return time.clock_gettime(_STEADY)
