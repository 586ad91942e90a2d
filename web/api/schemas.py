"""What the API answers with: its models, made of rows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from flask import url_for
from pydantic import BaseModel, ConfigDict, PlainSerializer

from farm.database.models import Job, State, Worker
from farm.fleet.estimates import Estimate
from farm.jobs.bulk import Action, Outcome
from farm.jobs.lists import Page
from web.files import build_preview_url
from web.words import describe_job_need, format_pixels, to_rfc3339

Moment = Annotated[datetime, PlainSerializer(to_rfc3339, return_type=str, when_used="json")]


class Links(BaseModel):
    """Where to go from a job; null where there is nothing (yet)."""

    self: str
    page: str
    preview: str | None
    result: str | None
    cancel: str | None


class EstimateOut(BaseModel):
    """What a picture will need on the worker that suits it best; null where nothing is known.

    `width`, `height`: of the result, px. `seconds`: null until that worker has measured its speed.
    `fits`: null while no worker is alive; where false, `peak_memory_bytes` is what the smallest plan
    would need. `message`: for a person.
    """

    width: int
    height: int
    peak_memory_bytes: int | None
    seconds: float | None
    worker: str | None
    fits: bool | None
    message: str

    @classmethod
    def from_estimate(cls, found: Estimate, message: str) -> EstimateOut:
        """Told in these words."""
        return cls(
            width=found.width,
            height=found.height,
            peak_memory_bytes=found.peak_bytes,
            seconds=found.seconds,
            worker=found.worker,
            fits=found.refusal is None,
            message=message,
        )

    @classmethod
    def from_size(cls, width: int, height: int) -> EstimateOut:
        """While no worker is alive."""
        message = (
            f"{format_pixels(width, height)}: no worker is running, so nobody can tell what it needs"
        )
        return cls(
            width=width,
            height=height,
            peak_memory_bytes=None,
            seconds=None,
            worker=None,
            fits=None,
            message=message,
        )


class JobOut(BaseModel):
    """A job as the API tells it. `waiting_for` and `estimate` are told by the job itself, and null in
    lists; `estimate` is null, too, as soon as there is `eta_seconds`, of which `eta_spread_seconds` says
    how much more or less it may well be."""

    id: str
    name: str
    state: State
    progress: float
    level: int
    levels: int
    iteration: int
    iterations: int
    eta_seconds: float | None
    eta_spread_seconds: float | None
    attempt: int
    priority: int
    webhook_url: str | None
    width: int
    height: int
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    recipe: dict[str, Any]
    features: str | None
    metrics: dict[str, Any] | None
    error: str | None
    waiting_for: str | None
    estimate: EstimateOut | None
    preview_version: int
    links: Links

    @classmethod
    def from_row(
        cls, job: Job, waiting_for: str | None = None, expected: Estimate | None = None
    ) -> JobOut:
        """From its row."""
        own = {name: getattr(job, name) for name in cls.model_fields if name not in _NOT_IN_ROW}
        estimate = (
            EstimateOut.from_estimate(expected, describe_job_need(job, expected)) if expected else None
        )
        return cls(**own, waiting_for=waiting_for, estimate=estimate, links=links(job))


_NOT_IN_ROW = frozenset({"waiting_for", "estimate", "links"})


class JobPage(BaseModel):
    """A page of jobs. `next_cursor` asks for the page after it, `previous_cursor` for the one before;
    null where there is none. Both are good for the same state, q and sort only."""

    items: list[JobOut]
    next_cursor: str | None
    previous_cursor: str | None

    @classmethod
    def from_page(cls, page: Page) -> JobPage:
        """From a page of rows."""
        items = [JobOut.from_row(job) for job in page.jobs]
        return cls(items=items, next_cursor=page.next_cursor, previous_cursor=page.previous_cursor)


class BulkItem(BaseModel):
    """What became of one job. `done`: whether it was done, or would be, in a dry run; else `reason` says
    why not. `name`, `state`: null where there is no job (any more)."""

    id: str
    name: str | None
    state: State | None
    done: bool
    reason: str | None


class BulkOut(BaseModel):
    """What became of each job, in the order they were named, each once."""

    action: Action
    dry_run: bool
    done: int
    refused: int
    items: list[BulkItem]

    @classmethod
    def from_outcomes(cls, action: Action, outcomes: list[Outcome], *, dry_run: bool) -> BulkOut:
        """From what was planned or done."""
        items = [_bulk_item(each, gone=action is Action.DELETE and not dry_run) for each in outcomes]
        done = sum(item.done for item in items)
        refused = len(items) - done
        return cls(action=action, dry_run=dry_run, done=done, refused=refused, items=items)


def _bulk_item(outcome: Outcome, *, gone: bool) -> BulkItem:
    """gone: a job is no more once it is done."""
    job, done = outcome.job, outcome.refusal is None
    state = None if job is None or (gone and done) else job.state
    name = job.name if job else None
    return BulkItem(id=outcome.job_id, name=name, state=state, done=done, reason=outcome.refusal)


class WorkerOut(BaseModel):
    """A worker seen lately."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    device: str
    memory_bytes: int
    started_at: Moment
    seen_at: Moment


class Workers(BaseModel):
    """All workers that are alive."""

    items: list[WorkerOut]

    @classmethod
    def from_rows(cls, workers: list[Worker]) -> Workers:
        """From their rows."""
        return cls(items=[WorkerOut.model_validate(worker) for worker in workers])


def links(job: Job) -> Links:
    """The job's addresses."""
    running = job.state in (State.QUEUED, State.RUNNING)
    return Links(
        self=url_for("api.get_job", job_id=job.id),
        page=url_for("pages.show_job", job_id=job.id),
        preview=build_preview_url(job),
        result=url_for("api.get_result", job_id=job.id) if job.state is State.SUCCEEDED else None,
        cancel=url_for("api.cancel", job_id=job.id) if running else None,
    )
