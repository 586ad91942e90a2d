"""Registry of workers: heartbeat, device, speed and process of each, as the workers report them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, func, select, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.errors import NameTaken
from farm.fleet import instances

ALIVE_SECONDS = 60  # a worker seen within this is alive
RETENTION = timedelta(days=1)  # of the row of a worker that is no longer seen
RETENTION_OF_MARKED = timedelta(days=30)  # likewise, where it is sick or paused: it stays so
GONE_SHOWN = 50  # workers that are not alive
TWIN_STATUS = 75  # exit status of a worker whose name another process has
DRAINED = "was drained; resume it when it shall take jobs again"
# Built once: each claim needs them.
ORDER = select(Worker.state, Worker.instance).where(Worker.name == bindparam("worker"))
LOCKED_ORDER = ORDER.with_for_update()
SET_JOB = update(Worker).where(Worker.name == bindparam("worker")).values(job_id=bindparam("job"))


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
    # Precision of a recipe that leaves it to the device.
    precision: str | None = None
    # Of the card, or of the slice of one (MIG).
    device_uuid: str | None = None
    # Version of the card's driver.
    driver: str | None = None
    # Whether it has what films need.
    films: bool = True


@dataclass(frozen=True)
class Process:
    """The process that is a worker, and what it was told to take."""

    # Name of the machine.
    host: str = ""
    # See `instances.py`; "": of a version that had none.
    instance: str = ""
    # Of the farm.
    version: str | None = None
    # WorkClass; empty: all.
    classes: tuple[str, ...] = ()
    # Names, for jobs that ask for one.
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Reading of how busy a device is."""

    # Memory that nobody uses.
    free_bytes: int | None = None
    # Share of the time, 0..1.
    utilisation: float | None = None


UNKNOWN = Process()


def record_heartbeat(
    session: Session,
    name: str,
    machine: Machine | None,
    process: Process = UNKNOWN,
    reading: Reading | None = None,
) -> None:
    """Insert or refresh the row of a worker that is alive now; its speed and state are kept.

    Args:
        machine: None: it cannot use its device; what was known of it is kept.

    Raises:
        NameTaken: another process is the worker of this name by now.
    """
    values: dict[str, Any] = {"seen_at": sessions.read_clock(session)}
    if process.instance:
        values |= asdict(process) | asdict(reading or Reading())
        values |= {"classes": list(process.classes), "tags": list(process.tags)}
        values["started_at"] = case(
            (Worker.instance == process.instance, Worker.started_at), else_=values["seen_at"]
        )
    values |= asdict(machine) if machine else {}
    mine = update(Worker).where(Worker.name == name, _is_free_for(process.instance))
    if sessions.execute_count(session, mine.values(values)):
        return
    if session.scalar(select(Worker.name).where(Worker.name == name)) is not None:
        raise NameTaken(f"Another process is the worker {name} by now.")
    if machine:
        session.add(Worker(name=name, **values | {"started_at": values["seen_at"]}))
        session.flush()


def _is_free_for(instance: str) -> ColumnElement[bool]:
    """Return the condition that a row is this process's, or nobody's."""
    return Worker.instance.in_({instance, "", instances.ENDED})


def take_name(session: Session, name: str, instance: str) -> Worker | None:
    """Take a worker's name for a process that starts. None: it is its own now, as soon as it beats; else
    the row of another that is, or may be, alive."""
    worker = session.get(Worker, name, populate_existing=True)
    if worker is None or worker.instance == instance:
        return None
    if _may_live(session, worker):
        return worker
    values = {"instance": instance, "job_id": None, "started_at": sessions.read_clock(session)}
    mine = update(Worker).where(Worker.name == name, Worker.instance == worker.instance)
    if sessions.execute_count(session, mine.values(values)):
        return None
    return session.get(Worker, name, populate_existing=True)


def _may_live(session: Session, worker: Worker) -> bool:
    """Check whether a worker's process may be alive; of another machine, if it was seen lately."""
    alive = instances.is_alive(worker.instance)
    if alive is not None:
        return alive
    return sessions.read_clock(session) - worker.seen_at < timedelta(seconds=ALIVE_SECONDS)


def release_name(session: Session, name: str, instance: str | None = None) -> None:
    """Record that the process of a worker has ended, so that another may be it at once.

    Args:
        instance: of that process; None: whichever it was.
    """
    mine = update(Worker).where(Worker.name == name)
    if instance is not None:
        mine = mine.where(Worker.instance == instance)
    sessions.execute_count(session, mine.values(instance=instances.ENDED, job_id=None))


def read_order(session: Session, name: str, instance: str | None, *, lock: bool = False) -> WorkerState:
    """Return the state that a worker is to be in; one without a row is active.

    Args:
        instance: of the process that asks; None: whichever is the worker.
        lock: let nobody change the row before the session ends.

    Raises:
        NameTaken: another process is the worker of this name by now.
    """
    query = LOCKED_ORDER if lock else ORDER
    row = sessions.execute_core(session, query, {"worker": name}).one_or_none()
    if row is None:
        return WorkerState.ACTIVE
    if instance is not None and row.instance not in (instance, "", instances.ENDED):
        raise NameTaken(f"Another process is the worker {name} by now.")
    state: WorkerState = row.state
    return state


def is_active(session: Session, name: str, instance: str | None, *, lock: bool = False) -> bool:
    """Check that a worker may take jobs.

    Args:
        instance, lock: see `read_order`.
    """
    try:
        return read_order(session, name, instance, lock=lock) is WorkerState.ACTIVE
    except NameTaken:
        return False


def set_job(session: Session, name: str, job_id: str | None) -> None:
    """Record the job that a worker is at; None: it has none."""
    sessions.execute_core(session, SET_JOB, {"worker": name, "job": job_id})


def finish_draining(session: Session, name: str, instance: str) -> bool:
    """Record that a draining worker without a job ends now; False: it does not, it was resumed or is at
    work. Started again, it takes nothing until it is resumed."""
    mine = update(Worker).where(
        Worker.name == name,
        Worker.instance == instance,
        Worker.state == WorkerState.DRAINING,
        Worker.job_id.is_(None),
    )
    values = {"state": WorkerState.PAUSED, "state_reason": func.coalesce(Worker.state_reason, DRAINED)}
    return bool(sessions.execute_count(session, mine.values(values)))


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
    """Return the workers seen within `ALIVE_SECONDS` that have not ended, by name."""
    now, span = sessions.read_clock(session), timedelta(seconds=ALIVE_SECONDS)
    lately = Worker.seen_at.between(now - span, now + span)  # after it, the clock was set back since
    alive = select(Worker).where(lately, Worker.instance != instances.ENDED)
    return list(session.scalars(alive.order_by(Worker.name)))


def list_tags(session: Session) -> list[str]:
    """Return the tags of the workers that are alive, by name."""
    return sorted({tag for worker in list_alive(session) for tag in worker.tags})


def list_gone(session: Session, limit: int = GONE_SHOWN) -> list[Worker]:
    """Return the workers that are not alive and not yet forgotten, the last seen first."""
    alive = [worker.name for worker in list_alive(session)]
    gone = select(Worker).where(Worker.name.not_in(alive))
    return list(session.scalars(gone.order_by(Worker.seen_at.desc(), Worker.name).limit(limit)))


def delete_stale(session: Session) -> None:
    """Delete the rows of workers not seen for `RETENTION`, or `RETENTION_OF_MARKED`."""
    now = sessions.read_clock(session)
    marked = Worker.state.in_((WorkerState.SICK, WorkerState.PAUSED))
    unseen = and_(~marked, Worker.seen_at < now - RETENTION)
    session.execute(delete(Worker).where(unseen | (Worker.seen_at < now - RETENTION_OF_MARKED)))
