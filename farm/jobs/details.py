"""Queries about one job, for pages, API and command line. They change nothing.

Lists of jobs are in `lists.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.base import now
from farm.database.models import Attempt, Job, LogLine, LossPoint, State, WorkClass
from farm.database.sessions import read_clock
from farm.errors import NotFound
from farm.fleet import queue, registry
from farm.fleet.estimates import Estimate, estimate
from farm.jobs import claims
from farm.jobs.states import get
from farm.people.visitors import ANYBODY, NO_JOB, Visitor
from farm.recipe import Recipe
from farm.settings import settings

LOSS_POINTS_SHOWN = 400
LOG_LINES_SHOWN = 40
SILENT_SHARE = 0.5  # of a lease, in which a worker renews it at least twice
SILENT = "Its worker has not been heard of lately. If it stays silent, another goes on with this job."


def get_with_history(session: Session, job_id: str) -> Job:
    """Return one job with its attempts and events as well.

    Raises:
        NotFound: no such job.
    """
    job = get(session, job_id)
    session.refresh(job, ["attempts", "events"])
    return job


def count_jobs(
    session: Session, visitor: Visitor = ANYBODY
) -> tuple[dict[WorkClass, int], dict[State, int]]:
    """Count the jobs that wait in each class, and those in each state that a visitor sees."""
    count = func.count()
    waiting = select(Job.work_class, count).where(Job.state == State.QUEUED).group_by(Job.work_class)
    by_class = dict(session.execute(waiting).all())
    seen = select(Job.state, count).where(visitor.match_visible(Job.owner_id))
    by_state = dict(session.execute(seen.group_by(Job.state)).all())
    return (
        {each: by_class.get(each, 0) for each in WorkClass},
        {each: by_state.get(each, 0) for each in State},
    )


def list_losses(session: Session, job: Job) -> list[LossPoint]:
    """Return the loss curve, thinned to what a chart can show: where an attempt resumed from a
    checkpoint, its points follow those of the attempts before it."""
    points: list[LossPoint] = []
    every = select(LossPoint).where(LossPoint.job_id == job.id)
    for point in session.scalars(every.order_by(LossPoint.attempt, LossPoint.id)):
        while points and points[-1].iteration >= point.iteration:
            points.pop()
        points.append(point)
    stride = -(-len(points) // LOSS_POINTS_SHOWN) or 1
    return points[::-stride][::-1]


def list_last_log_lines(session: Session, job: Job) -> list[LogLine]:
    """Return the last lines of its workers' log, oldest first."""
    last = select(LogLine).where(LogLine.job_id == job.id).order_by(LogLine.id.desc())
    return list(session.scalars(last.limit(LOG_LINES_SHOWN)))[::-1]


def explain_wait(session: Session, job: Job) -> str | None:
    """Return, for a person, why a queued job has not started, or that a running one's worker is silent;
    None: it goes on."""
    if job.state is State.RUNNING and _is_silent(job.lease_until, read_clock(session)):
        return SILENT
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
    if pauser := queue.find_pauser(session):
        return f"The farm was paused by {pauser}. It goes on when an operator resumes it."
    workers = registry.list_alive(session)
    if not workers:
        return "No worker is running. It starts as soon as there is one."
    if obstacle := claims.explain_obstacle(job, workers):
        return obstacle
    if ahead:
        return f"{ahead} {'job is' if ahead == 1 else 'jobs are'} ahead of it."
    return "Next in line for a free worker."


def find_time_left(job: Job) -> float | None:
    """Return how long a job still takes, s; None: not known, or its worker may well be lost."""
    lost = job.state is State.RUNNING and _is_silent(job.lease_until, now())
    return None if lost else job.eta_seconds


def _is_silent(lease_until: datetime | None, moment: datetime) -> bool:
    """Check whether a worker has not renewed its lease for so long that it may well be lost."""
    left = timedelta(seconds=settings().lease_seconds * SILENT_SHARE)
    return lease_until is not None and lease_until - moment < left


# Asked for at every look at a job, so built once.
VERSION = select(
    Job.attempt, Job.version, Job.state, Job.eta_seconds, Job.created_at, Job.lease_until
).where(Job.id == bindparam("job_id"))


def depends_on_others(state: State, eta_seconds: float | None) -> bool:
    """Check whether a job's snapshot changes with queue or workers, and not with its row alone."""
    return state is State.QUEUED or (state is State.RUNNING and eta_seconds is None)


def read_version(job_id: str) -> str | None:
    """Return a text that changes with a job's snapshot, and if another job gets its id; None: it
    depends on others, too.

    Raises:
        NotFound: no such job.
    """
    row = sessions.read_one(VERSION, job_id=job_id)
    if row is None:
        raise NotFound(NO_JOB)
    if depends_on_others(row.state, row.eta_seconds) or _is_silent(row.lease_until, now()):
        return None
    return f"{row.created_at.timestamp():.6f}.{row.attempt}.{row.version}"


def estimate_job(session: Session, job: Job) -> Estimate | None:
    """Estimate a job: where it waits, on the best worker; where it runs, on its own, until it has
    measured its time left. None: it has, it has ended, there are no workers, or it is a part of a film,
    which is estimated as a whole."""
    if job.film_id is not None or not depends_on_others(job.state, job.eta_seconds):
        return None
    workers = registry.list_alive(session)
    if job.state is State.RUNNING:
        mine = select(Attempt.worker).where(Attempt.job_id == job.id, Attempt.number == job.attempt)
        name = session.scalar(mine)
        workers = [worker for worker in workers if worker.name == name]
    recipe, sizes = Recipe.model_validate(job.recipe), job.picture_sizes
    height, width = sizes.photograph
    return estimate(
        recipe, height, width, workers, job.features, sizes.paintings, sizes.masks, sizes.keeps
    )
