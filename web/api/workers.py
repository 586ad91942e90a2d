"""Workers that are alive, and the queue before them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from farm.database import sessions
from farm.database.models import State, WorkClass
from farm.fleet import registry
from farm.jobs import details
from web.api import blueprint
from web.api.schemas import Workers


@blueprint.get("/workers")
@blueprint.output(Workers)
@blueprint.doc(tags=["Workers"])
def list_workers() -> Workers:
    """List the workers that are alive."""
    with sessions.read_session() as session:
        return Workers.from_rows(registry.list_alive(session))


class QueueOut(BaseModel):
    """Numbers of jobs, the cells of explorations included."""

    waiting: dict[WorkClass, int] = Field(description="Of each class of size.")
    states: dict[State, int] = Field(description="In each state.")
    workers: int


@blueprint.get("/queue")
@blueprint.output(QueueOut)
@blueprint.doc(tags=["Workers"])
def get_queue() -> QueueOut:
    """Return how many jobs there are, and how many workers."""
    with sessions.read_session() as session:
        waiting, states = details.count_jobs(session)
        return QueueOut(waiting=waiting, states=states, workers=len(registry.list_alive(session)))
