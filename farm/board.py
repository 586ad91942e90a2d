"""What the pages, the API and the command line ask about jobs and workers. Changes nothing."""

from __future__ import annotations

import base64
import uuid
from datetime import datetime

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session, joinedload

from farm import machines
from farm.errors import InvalidInput, Problem
from farm.estimate import Estimate, estimate
from farm.jobs import get
from farm.models import Attempt, Job, LogLine, LossPoint, State
from farm.recipe import Recipe

PAGE = 50  # jobs in one list
LOSS_POINTS_SHOWN = 400
LOG_LINES_SHOWN = 40


def get_with_history(session: Session, job_id: str) -> Job:
    """One job with its attempts and events as well.

    Raises:
        NotFound: no such job.
    """
    job = get(session, job_id)
    session.refresh(job, ["attempts", "events"])
    return job


def newest(
    session: Session, *, cursor: str | None = None, limit: int = PAGE, state: State | None = None
) -> tuple[list[Job], str | None]:
    """A page of jobs, newest first, and the cursor of the next page, None at the end.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    query = select(Job).order_by(Job.created_at.desc(), Job.id.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(Job.state == state)
    if cursor:
        query = query.where(tuple_(Job.created_at, Job.id) < tuple_(*_read_cursor(cursor)))
    found = list(session.scalars(query.options(joinedload(Job.content))).unique())
    more = len(found) > limit
    page = found[:limit]
    return page, _write_cursor(page[-1]) if more else None


def _write_cursor(job: Job) -> str:
    text = f"{job.created_at.isoformat()} {job.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, job_id = text.partition(" ")
        return datetime.fromisoformat(moment), uuid.UUID(job_id).hex
    except ValueError:
        raise InvalidInput(Problem("cursor", "is not one that this farm gave out")) from None


def counts(session: Session) -> dict[State, int]:
    """How many jobs are in each state."""
    rows = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
    return {state: dict(rows).get(state, 0) for state in State}


def losses(session: Session, job: Job) -> list[LossPoint]:
    """The loss curve, thinned to what a chart can show: where an attempt went on from a checkpoint, its
    points follow those of the attempts before it."""
    points: list[LossPoint] = []
    every = select(LossPoint).where(LossPoint.job_id == job.id)
    for point in session.scalars(every.order_by(LossPoint.attempt, LossPoint.id)):
        while points and points[-1].iteration >= point.iteration:
            points.pop()
        points.append(point)
    stride = -(-len(points) // LOSS_POINTS_SHOWN) or 1
    return points[::-stride][::-1]


def log_tail(session: Session, job: Job) -> list[LogLine]:
    """What its worker said last, oldest first."""
    last = select(LogLine).where(LogLine.job_id == job.id).order_by(LogLine.id.desc())
    return list(session.scalars(last.limit(LOG_LINES_SHOWN)))[::-1]


def waits_for(session: Session, job: Job) -> str | None:
    """Why a queued job has not started, for a person; None for one that is not queued."""
    if job.state is not State.QUEUED:
        return None
    ahead = session.scalar(
        select(func.count()).where(
            Job.state == State.QUEUED,
            Job.work_class == job.work_class,
            (Job.priority > job.priority)
            | ((Job.priority == job.priority) & (Job.created_at < job.created_at)),
        )
    )
    if not machines.alive(session):
        return "No worker is running. It starts as soon as there is one."
    if ahead:
        return f"{ahead} {'job is' if ahead == 1 else 'jobs are'} ahead of it."
    return "Next in line for a free worker."


def expected(session: Session, job: Job) -> Estimate | None:
    """What a job will need: where it waits, on the best worker; where it runs, on its own, until it
    has measured its time left. None: nothing to tell, or nobody to tell it."""
    workers = machines.alive(session)
    if job.state is State.RUNNING and job.eta_seconds is None:
        mine = select(Attempt.worker).where(Attempt.job_id == job.id, Attempt.number == job.attempt)
        name = session.scalar(mine)
        workers = [worker for worker in workers if worker.name == name]
    elif job.state is not State.QUEUED:
        return None
    photograph = job.content
    recipe = Recipe.model_validate(job.recipe)
    return estimate(recipe, photograph.height, photograph.width, workers, job.features)
