"""What the pages, the API and the command line ask about one job. Changes nothing.

Lists of jobs are in `listing.py`.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm import machines
from farm.estimate import Estimate, estimate
from farm.jobs import get
from farm.models import Attempt, Job, LossPoint, State
from farm.recipe import Recipe

LOSS_POINTS_SHOWN = 400


def get_with_history(session: Session, job_id: str) -> Job:
    """One job with its attempts and events as well.

    Raises:
        NotFound: no such job.
    """
    job = get(session, job_id)
    session.refresh(job, ["attempts", "events"])
    return job


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
