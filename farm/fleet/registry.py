"""Registry of workers: heartbeat, device and speed of each, as the workers report them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.fleet import Worker

ALIVE_SECONDS = 60  # a worker seen within this is alive
RETENTION = timedelta(days=1)  # of the row of a worker that is no longer seen


@dataclass(frozen=True)
class Machine:
    """Device of a worker and its limits, as the worker measured them."""

    # Name shown to people.
    device: str
    # All memory of the device.
    memory_bytes: int
    # `cpu` or `cuda`.
    device_kind: str
    # Bytes of an activation where a recipe leaves the precision to the device.
    itemsize: int
    # Winograd convolutions where a recipe leaves the precision to the device.
    winograd: bool
    # Memory that a rendering may use.
    budget_bytes: int


def record_heartbeat(session: Session, name: str, machine: Machine) -> None:
    """Insert or refresh the row of a worker that is alive now; its speed is kept."""
    session.merge(Worker(name=name, seen_at=sessions.read_clock(session), **asdict(machine)))


def record_speed(
    session: Session, name: str, seconds_per_megapixel: float, *, first: bool = False
) -> None:
    """Store how long one iteration took, s per megapixel.

    The mean with the stored value is kept, so that one slow hour fades.

    Args:
        first: only if none is stored: of a picture so small that it says little of larger ones.
    """
    known = Worker.seconds_per_megapixel
    smoothed = func.coalesce((known + seconds_per_megapixel) / 2, seconds_per_megapixel)
    mine = update(Worker).where(Worker.name == name)
    if first:
        mine = mine.where(known.is_(None))
    sessions.execute_count(session, mine.values(seconds_per_megapixel=smoothed))


def list_alive(session: Session) -> list[Worker]:
    """Return the workers seen within `ALIVE_SECONDS`, by name."""
    now, span = sessions.read_clock(session), timedelta(seconds=ALIVE_SECONDS)
    lately = Worker.seen_at.between(now - span, now + span)  # after it, the clock was set back since
    return list(session.scalars(select(Worker).where(lately).order_by(Worker.name)))


def delete_stale(session: Session) -> None:
    """Delete the rows of workers not seen for `RETENTION`."""
    session.execute(delete(Worker).where(Worker.seen_at < sessions.read_clock(session) - RETENTION))
