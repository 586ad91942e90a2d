"""History of a job: its timeline, attempts, losses, and the log of its worker."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from farm.database import sessions
from farm.database.models import State
from farm.jobs import details
from web.api import answers, blueprint
from web.api.schemas import Moment


class _FromRow(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class EventOut(_FromRow):
    """Event on the timeline of a job."""

    id: int
    attempt: int
    state: State = Field(description="The job's from then on.")
    message: str
    created_at: Moment


class AttemptOut(_FromRow):
    """One worker's attempt at the job."""

    number: int
    worker: str
    started_at: Moment
    finished_at: Moment | None
    outcome: str | None = Field(description="Null while the worker is at it.")


class LossOut(_FromRow):
    """Losses after an iteration, unweighted."""

    attempt: int
    level: int
    iteration: int = Field(description="Counted over all levels.")
    content: float
    style: float
    tv: float


class LineOut(_FromRow):
    """Line of the worker's log."""

    attempt: int
    text: str
    created_at: Moment


class History(BaseModel):
    """History of a job, oldest first."""

    events: list[EventOut]
    attempts: list[AttemptOut]
    losses: list[LossOut] = Field(description="Thinned to a few hundred.")
    log: list[LineOut]


@blueprint.get("/jobs/<job_id:job_id>/history")
@blueprint.output(History)
@blueprint.doc(responses=answers.NO_JOB)
def get_history(job_id: str) -> History:
    """Return a job's timeline, attempts and losses, and the last lines of its worker's log."""
    with sessions.read_session() as session:
        found = details.get_with_history(session, job_id)
        return History(
            events=[EventOut.model_validate(each) for each in found.events],
            attempts=[AttemptOut.model_validate(each) for each in found.attempts],
            losses=[LossOut.model_validate(each) for each in details.list_losses(session, found)],
            log=[LineOut.model_validate(each) for each in details.list_last_log_lines(session, found)],
        )
