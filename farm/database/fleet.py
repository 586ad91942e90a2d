"""The tables of workers, and of what the whole farm knows."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from farm.database.base import Base, make_enum, now

TAG_LENGTH = 40  # characters


class WorkerState(enum.StrEnum):
    """State of a worker: only an active one takes jobs."""

    ACTIVE = "active"
    DRAINING = "draining"  # ends after its job
    PAUSED = "paused"  # takes none until an operator resumes it
    SICK = "sick"  # marked itself so, `state_reason` says why; takes none until an operator resumes it


class Worker(Base):
    """A process that renders. Seen lately, it is alive."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    device: Mapped[str] = mapped_column(String(120))
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    device_kind: Mapped[str] = mapped_column(String(8))  # cpu or cuda
    itemsize: Mapped[int]  # bytes of an activation, where a recipe leaves precision to the device
    winograd: Mapped[bool]  # likewise: whether convolutions go after Winograd
    budget_bytes: Mapped[int] = mapped_column(BigInteger)  # what a rendering may use
    seconds_per_megapixel: Mapped[float | None]  # of one iteration, measured; None: not yet
    started_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)

    # Where it runs, and on what.
    host: Mapped[str] = mapped_column(String(120), default="")
    instance: Mapped[str] = mapped_column(String(32), default="")  # of this process; another is a twin
    device_uuid: Mapped[str | None] = mapped_column(String(80))  # of the card or MIG slice
    driver: Mapped[str | None] = mapped_column(String(40))  # version of the card's driver
    precision: Mapped[str | None] = mapped_column(String(16))  # where a recipe leaves it to the device
    version: Mapped[str | None] = mapped_column(String(40))  # of the farm
    free_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of the device's memory, when last seen
    utilisation: Mapped[float | None]  # of the device, 0..1, where it tells

    # What it takes.
    films: Mapped[bool] = mapped_column(default=True)  # whether it has what parts of films need
    classes: Mapped[list[str]] = mapped_column(default=list)  # WorkClass; empty: all
    tags: Mapped[list[str]] = mapped_column(default=list)
    state: Mapped[WorkerState] = mapped_column(make_enum(WorkerState), default=WorkerState.ACTIVE)
    state_reason: Mapped[str | None] = mapped_column(Text)  # for a person
    failures_in_row: Mapped[int] = mapped_column(default=0)  # of different jobs, by no fault of theirs
    job_id: Mapped[str | None] = mapped_column(String(32))  # at work


class FarmValue(Base):
    """Something that all processes of a farm share, such as a secret, or that the queue is paused."""

    __tablename__ = "farm_values"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(default=now)


class Tally(Base):
    """A count or sum for /metrics that only grows, so that nothing is counted over all ended jobs.

    Each writer adds to rows of its own (`shard`), so that none waits for another; readers add them up.
    """

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    labels: Mapped[str] = mapped_column(String(200), primary_key=True)  # such as `state=failed`
    shard: Mapped[str] = mapped_column(String(120), primary_key=True)
    value: Mapped[float] = mapped_column(default=0.0)
