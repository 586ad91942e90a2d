"""Operations on workers: drain, pause, resume; and what workers mark themselves as.

Each is one conditional UPDATE of the worker's row, which it reads every few seconds and before it
claims a job. One that changes something leaves a line in the audit; again is harmless.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.people import NAME_LENGTH
from farm.errors import NotFound, WrongState
from farm.people import audit


def get(session: Session, name: str) -> Worker:
    """Return a worker as the database has it now, alive or not.

    Raises:
        NotFound: the farm has not seen a worker of this name lately.
    """
    worker = None
    if name.isprintable():  # PostgreSQL cannot even be asked for a NUL
        worker = session.get(Worker, name, populate_existing=True)
    if worker is None:
        raise NotFound("There is no worker of this name; perhaps it was not seen for long.")
    return worker


def drain(session: Session, name: str, person: str) -> Worker:
    """Let a worker end after its job, with exit status 0.

    Args:
        person: name of whoever asks for it, for the audit.

    Raises:
        NotFound: no such worker.
    """
    worker = get(session, name)
    reason = worker.state_reason if worker.state is WorkerState.SICK else None
    return _change(session, worker, WorkerState.DRAINING, person, "drain worker", reason)


def pause(session: Session, name: str, person: str) -> Worker:
    """Let a worker take no job until it is resumed; the one at work is finished.

    Raises:
        NotFound: no such worker.
        WrongState: it is sick, and so takes none already.
    """
    worker = get(session, name)
    if worker.state is WorkerState.SICK:
        raise WrongState("This worker is sick and takes no job already. Resume it once it is mended.")
    return _change(session, worker, WorkerState.PAUSED, person, "pause worker")


def resume(session: Session, name: str, person: str) -> Worker:
    """Let a worker take jobs again, whatever kept it from them, and count its failures anew.

    Raises:
        NotFound: no such worker.
    """
    worker = get(session, name)
    return _change(session, worker, WorkerState.ACTIVE, person, "resume worker", failures_in_row=0)


def mark_sick(session: Session, name: str, reason: str) -> Worker:
    """Let a worker take no job until an operator resumes it: it cannot render.

    Args:
        reason: for a person.

    Raises:
        NotFound: no such worker.
    """
    worker = get(session, name)
    person = name[:NAME_LENGTH]
    return _change(session, worker, WorkerState.SICK, person, "mark worker sick", reason)


def _change(
    session: Session,
    worker: Worker,
    state: WorkerState,
    person: str,
    action: str,
    reason: str | None = None,
    **values: Any,
) -> Worker:
    """Change the state, unless the worker is in it already or somebody else was quicker."""
    if worker.state is state:
        return worker
    mine = update(Worker).where(Worker.name == worker.name, Worker.state == worker.state)
    values |= {"state": state, "state_reason": reason}
    if not sessions.execute_count(session, mine.values(values)):
        raise WrongState("This worker's state has just changed; look again.")
    detail = f"it was {worker.state.value}" + (f": {reason}" if reason else "")
    audit.record(session, person, action, worker.name, detail)
    return get(session, worker.name)
