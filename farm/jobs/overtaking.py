"""Drafts overtake: while some wait and no worker is free for them, a larger job makes way for them.

It puts down a checkpoint and waits again; its worker takes the drafts, and then whoever is free goes on
with it from there. It makes way once in FARM_ASIDE_SECONDS at most.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm.database.fleet import WorkerState
from farm.database.models import Attempt, Job, State, WorkClass
from farm.database.sessions import read_clock
from farm.fleet import queue, registry
from farm.jobs import claims
from farm.jobs.claims import Taker
from farm.jobs.held import select_held
from farm.jobs.states import AttemptRef
from farm.settings import settings

PATIENCE = timedelta(seconds=1)  # in which a free worker would have taken a draft
NEARLY_DONE_SECONDS = 15.0  # a job that ends so soon does not make way


def must_step_aside(session: Session, attempt: AttemptRef, taker: Taker) -> bool:
    """Check whether this attempt has to make way for drafts that wait.

    As many make way as there are drafts, those of the lowest priority first, and then those that have
    the longest way to go.

    Args:
        taker: the worker that makes the attempt.
    """
    if not settings().aside_seconds or WorkClass.PREVIEW not in taker.classes:
        return False
    drafts = _count_waiting_drafts(session, attempt, taker)
    if not drafts or queue.is_paused(session):
        return False
    able = {
        worker.name
        for worker in registry.list_alive(session)
        if worker.state is WorkerState.ACTIVE and WorkClass.PREVIEW in Taker.from_row(worker).classes
    }
    at_work: dict[str, Job] = dict(session.execute(select_held(Attempt.worker, Job)).all())
    if able - at_work.keys():
        return False
    moment = read_clock(session)
    ready = [job for worker, job in at_work.items() if worker in able and _may_make_way(job, moment)]
    ready.sort(key=lambda job: (job.priority, -(job.eta_seconds or float("inf")), job.id))
    return attempt.job_id in {job.id for job in ready[:drafts]}


def _count_waiting_drafts(session: Session, attempt: AttemptRef, taker: Taker) -> int:
    """Count the drafts that wait for longer than a free worker would let them."""
    priority = select(Job.priority).where(Job.id == attempt.job_id).scalar_subquery()
    waiting = select(func.count()).where(
        *claims.match(taker),
        Job.work_class == WorkClass.PREVIEW,
        Job.priority >= priority,
        Job.created_at < read_clock(session) - PATIENCE,
    )
    return session.scalars(waiting).one()


def _may_make_way(job: Job, moment: datetime) -> bool:
    """Check that a job is no draft, is not nearly done, and has not made way lately."""
    if job.state is not State.RUNNING or job.work_class is WorkClass.PREVIEW:
        return False
    if job.eta_seconds is not None and job.eta_seconds < NEARLY_DONE_SECONDS:
        return False
    pause = timedelta(seconds=settings().aside_seconds)
    return job.aside_at is None or moment - job.aside_at >= pause
