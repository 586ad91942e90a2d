"""What happened to a job: its timeline, attempts, losses, and what its worker said."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from farm.database import sessions
from farm.database.models import State
from farm.jobs import details, states
from web.api import answers, blueprint
from web.api.schemas import Moment


class _FromRow(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class EventOut(_FromRow):
    """Something that happened: `state` is the job's from then on."""

    id: int
    attempt: int
    state: State
    message: str
    created_at: Moment


class AttemptOut(_FromRow):
    """One worker's go at the job. `outcome`: null while it is at work."""

    number: int
    worker: str
    started_at: Moment
    finished_at: Moment | None
    outcome: str | None


class LossOut(_FromRow):
    """The unweighted losses after an iteration, counted over all levels."""

    attempt: int
    level: int
    iteration: int
    content: float
    style: float
    tv: float


class LineOut(_FromRow):
    """A line of the worker's log."""

    attempt: int
    text: str
    created_at: Moment


class History(BaseModel):
    """All that happened, oldest first. `losses` are thinned to a few hundred."""

    events: list[EventOut]
    attempts: list[AttemptOut]
    losses: list[LossOut]
    log: list[LineOut]


@blueprint.get("/jobs/<job_id:job_id>/history")
@blueprint.output(History)
@blueprint.doc(responses=answers.NO_JOB)
def get_history(job_id: str) -> History:
    """What happened to a job: its timeline, attempts, losses, and the last lines its worker said."""
    with sessions.reading() as session:
        found = details.get_with_history(session, job_id)
        return History(
            events=[EventOut.model_validate(each) for each in found.events],
            attempts=[AttemptOut.model_validate(each) for each in found.attempts],
            losses=[LossOut.model_validate(each) for each in details.losses(session, found)],
            log=[LineOut.model_validate(each) for each in details.log_tail(session, found)],
        )


@blueprint.get("/jobs/<job_id:job_id>/recipe")
@blueprint.output({}, content_type="application/json", description="A recipe.")
@blueprint.doc(responses=answers.NO_JOB)
def get_recipe(job_id: str) -> dict[str, object]:
    """The job's recipe alone, as `farm submit --recipe FILE` and a new job take it."""
    with sessions.reading() as session:
        return states.get(session, job_id).recipe
