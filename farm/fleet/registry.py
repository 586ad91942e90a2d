"""What workers tell of themselves: that they are there, what they can do, how fast they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Worker

ALIVE_SECONDS = 60  # a worker seen within this is alive
FORGOTTEN = timedelta(days=1)  # a worker not seen for this long is forgotten


@dataclass(frozen=True)
class Machine:
    """What a worker tells of itself.

    device: for people. memory_bytes: all that the device has; budget_bytes: what a rendering may use
    of it. device_kind: `cpu` or `cuda`. itemsize, winograd: bytes of an activation, and whether
    convolutions go after Winograd, where a recipe leaves the precision to the device.
    """

    device: str
    memory_bytes: int
    device_kind: str
    itemsize: int
    winograd: bool
    budget_bytes: int


def seen(session: Session, name: str, machine: Machine) -> None:
    """A worker says that it is there."""
    session.merge(Worker(name=name, seen_at=sessions.clock(session), **asdict(machine)))


def measured(session: Session, name: str, seconds_per_megapixel: float) -> None:
    """How long one iteration took; the mean with what was known before, so that one slow hour fades."""
    known = Worker.seconds_per_megapixel
    smoothed = func.coalesce((known + seconds_per_megapixel) / 2, seconds_per_megapixel)
    mine = update(Worker).where(Worker.name == name)
    sessions.changed(session, mine.values(seconds_per_megapixel=smoothed))


def alive(session: Session) -> list[Worker]:
    """Workers seen lately, by name."""
    lately = sessions.clock(session) - timedelta(seconds=ALIVE_SECONDS)
    return list(session.scalars(select(Worker).where(Worker.seen_at > lately).order_by(Worker.name)))


def forget(session: Session) -> None:
    """Remove workers that have not been seen for long."""
    session.execute(delete(Worker).where(Worker.seen_at < sessions.clock(session) - FORGOTTEN))
