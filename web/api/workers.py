"""Workers and what operators do with them, and the queue before them."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.fleet import Worker
from farm.database.models import State, WorkClass
from farm.fleet import operations, queue, registry
from farm.jobs import actions, details
from web.api import answers, blueprint
from web.api.schemas import WorkerOut, Workers
from web.middleware.authentication import get_visitor, require_operator


@blueprint.get("/workers")
@blueprint.output(Workers)
@blueprint.doc(tags=["Workers"])
def list_workers() -> Workers:
    """List the workers that are alive."""
    with sessions.read_session() as session:
        return Workers.from_rows(registry.list_alive(session), get_visitor())


@blueprint.get("/workers/<path:name>")
@blueprint.output(WorkerOut)
@blueprint.doc(tags=["Workers"], responses=answers.NO_WORKER)
def get_worker(name: str) -> WorkerOut:
    """Return a worker, alive or seen within the last day."""
    with sessions.read_session() as session:
        return WorkerOut.from_row(operations.get(session, name), get_visitor())


@blueprint.post("/workers/<path:name>/drain")
@require_operator
@blueprint.output(WorkerOut)
@blueprint.doc(tags=["Workers"], responses=answers.OPERATORS | answers.NO_WORKER)
def drain_worker(name: str) -> WorkerOut:
    """Let a worker end after its job. Again is harmless."""
    return _run_operation(operations.drain, name)


@blueprint.post("/workers/<path:name>/pause")
@require_operator
@blueprint.output(WorkerOut)
@blueprint.doc(tags=["Workers"], responses=answers.OPERATORS | answers.NO_WORKER | {409: "It is sick."})
def pause_worker(name: str) -> WorkerOut:
    """Let a worker take no job until it is resumed; it finishes the one at work. Again is harmless."""
    return _run_operation(operations.pause, name)


@blueprint.post("/workers/<path:name>/resume")
@require_operator
@blueprint.output(WorkerOut)
@blueprint.doc(tags=["Workers"], responses=answers.OPERATORS | answers.NO_WORKER)
def resume_worker(name: str) -> WorkerOut:
    """Let a worker take jobs again that is paused, sick or draining. Again is harmless."""
    return _run_operation(operations.resume, name)


def _run_operation(operation: Callable[[Session, str, str], Worker], name: str) -> WorkerOut:
    """Carry out an operation in the name of whoever asks."""
    with sessions.write_session() as session:
        return WorkerOut.from_row(operation(session, name, get_visitor().name), get_visitor())


class QueueOut(BaseModel):
    """Numbers of jobs, the cells of explorations included."""

    waiting: dict[WorkClass, int] = Field(description="Of each class of size.")
    states: dict[State, int] = Field(description="Those that you see, in each state.")
    workers: int
    paused_by: str | None = Field(description="Who paused the queue; null: it is not paused.")


@blueprint.get("/queue")
@blueprint.output(QueueOut)
@blueprint.doc(tags=["Workers"])
def get_queue() -> QueueOut:
    """Return how many jobs there are, and how many workers."""
    return _describe_queue()


def _describe_queue() -> QueueOut:
    with sessions.read_session() as session:
        waiting, states = details.count_jobs(session, get_visitor())
        return QueueOut(
            waiting=waiting,
            states=states,
            workers=len(registry.list_alive(session)),
            paused_by=queue.find_pauser(session),
        )


@blueprint.post("/queue/pause")
@require_operator
@blueprint.output(QueueOut)
@blueprint.doc(tags=["Workers"], responses=answers.OPERATORS)
def pause_queue() -> QueueOut:
    """Let no worker take a job until the queue is resumed; those at work are finished. Again is
    harmless."""
    with sessions.write_session() as session:
        queue.pause(session, get_visitor().name)
    return _describe_queue()


@blueprint.post("/queue/resume")
@require_operator
@blueprint.output(QueueOut)
@blueprint.doc(tags=["Workers"], responses=answers.OPERATORS)
def resume_queue() -> QueueOut:
    """Let workers take jobs again. Again is harmless."""
    actions.resume_queue(get_visitor().name)
    return _describe_queue()
