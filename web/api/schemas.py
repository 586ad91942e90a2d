"""Models of the API's answers, made of rows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from flask import url_for
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from farm.database.fleet import Worker, WorkerState
from farm.database.models import Job, JobPicture, PictureRole, State, WorkClass
from farm.fleet.estimates import Estimate
from farm.jobs import details
from farm.jobs.bulk import Action, Outcome
from farm.jobs.lists import Page
from farm.people.visitors import Visitor
from web.files import build_preview_url, build_source_url
from web.words import describe_job_need, describe_unknown_need, to_rfc3339

Moment = Annotated[datetime, PlainSerializer(to_rfc3339, return_type=str, when_used="json")]
ResultSide = Annotated[int, Field(description="Of the result, px.")]
Fits = Annotated[bool | None, Field(description="Null while no worker is alive.")]


class Links(BaseModel):
    """Addresses of a job; null where there is nothing (yet)."""

    self: str
    page: str
    preview: str | None
    result: str | None
    cancel: str | None


class EstimateOut(BaseModel):
    """Needs of a picture on the worker that suits it best; null where nothing is known."""

    width: ResultSide
    height: ResultSide
    peak_memory_bytes: int | None = Field(
        description="Of the smallest plan where the picture fits no worker."
    )
    seconds: float | None = Field(description="Null until that worker has measured its speed.")
    worker: str | None
    fits: Fits
    message: str = Field(description="For a person.")

    @classmethod
    def from_estimate(cls, found: Estimate, message: str) -> EstimateOut:
        """Describe an estimate, with a message for a person."""
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
        """Describe a picture of this size, px, while no worker is alive."""
        return cls(
            width=width,
            height=height,
            peak_memory_bytes=None,
            seconds=None,
            worker=None,
            fits=None,
            message=describe_unknown_need(width, height),
        )


class PictureOut(BaseModel):
    """Picture that a job is made from."""

    role: PictureRole = Field(
        description="`content`: the photograph; `style`: a painting; `mask`: where the painting of this"
        " position paints; `keep`: where the photograph stays; `init`: what the picture began from."
    )
    position: int = Field(description="Among those of its role, from 0.")
    width: int = Field(description="As it was sent, upright, px.")
    height: int
    url: str = Field(description="Of the whole picture.")
    thumbnail: str = Field(description="Of a small JPEG.")

    @classmethod
    def from_row(cls, job: Job, picture: JobPicture) -> PictureOut:
        """Describe one of a job's pictures."""
        return cls(
            role=picture.role,
            position=picture.position,
            width=picture.upload.width,
            height=picture.upload.height,
            url=build_source_url(job, picture, whole=True),
            thumbnail=build_source_url(job, picture),
        )


class JobOut(BaseModel):
    """Job as the API describes it."""

    id: str
    name: str
    state: State
    progress: float
    level: int
    levels: int
    iteration: int
    iterations: int
    eta_seconds: float | None = Field(description="Null while it waits or its worker is silent.")
    eta_spread_seconds: float | None = Field(
        description="How much more or less than `eta_seconds` it may well be."
    )
    attempt: int
    priority: int
    tag: str | None = Field(description="Only workers that have it take the job.")
    webhook_url: str | None
    width: int
    height: int
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    recipe: dict[str, Any]
    pictures: list[PictureOut] | None = Field(description="That it is made from. Null in lists.")
    features: str | None
    metrics: dict[str, Any] | None
    error: str | None
    waiting_for: str | None = Field(description="Null in lists.")
    estimate: EstimateOut | None = Field(
        description="Null in lists, and as soon as there is `eta_seconds`."
    )
    preview_version: int
    links: Links

    @classmethod
    def from_row(
        cls,
        job: Job,
        waiting_for: str | None = None,
        expected: Estimate | None = None,
        *,
        in_list: bool = False,
    ) -> JobOut:
        """Describe a job by its row."""
        own = {name: getattr(job, name) for name in cls.model_fields if name not in _NOT_IN_ROW}
        if waiting_for or details.find_time_left(job) is None:  # nobody works on it, as far as is known
            own |= {"eta_seconds": None, "eta_spread_seconds": None}
        estimate = (
            EstimateOut.from_estimate(expected, describe_job_need(job, expected)) if expected else None
        )
        pictures = None if in_list else [PictureOut.from_row(job, each) for each in job.sources]
        return cls(
            **own, pictures=pictures, waiting_for=waiting_for, estimate=estimate, links=links(job)
        )


_NOT_IN_ROW = frozenset({"pictures", "waiting_for", "estimate", "links"})


class JobPage(BaseModel):
    """Page of jobs. Its cursors are good for the same state, q and sort only."""

    items: list[JobOut]
    next_cursor: str | None = Field(description="Asks for the page after it; null: there is none.")
    previous_cursor: str | None = Field(description="Asks for the page before it; null: there is none.")

    @classmethod
    def from_page(cls, page: Page) -> JobPage:
        """Describe a page of rows."""
        items = [JobOut.from_row(job, in_list=True) for job in page.jobs]
        return cls(items=items, next_cursor=page.next_cursor, previous_cursor=page.previous_cursor)


class BulkItem(BaseModel):
    """Outcome of an act for one job."""

    id: str
    name: str | None = Field(description="Null where there is no job.")
    state: State | None = Field(description="Null where there is no job (any more).")
    done: bool = Field(description="In a dry run: it would be.")
    reason: str | None = Field(description="Why it was not done.")


class BulkOut(BaseModel):
    """Outcomes of an act on many jobs, in the order they were named, each once."""

    action: Action
    dry_run: bool
    done: int
    refused: int
    items: list[BulkItem]

    @classmethod
    def from_outcomes(cls, action: Action, outcomes: list[Outcome], *, dry_run: bool) -> BulkOut:
        """Describe what was planned or done."""
        items = [_bulk_item(each, gone=action is Action.DELETE and not dry_run) for each in outcomes]
        done = sum(item.done for item in items)
        refused = len(items) - done
        return cls(action=action, dry_run=dry_run, done=done, refused=refused, items=items)


def _bulk_item(outcome: Outcome, *, gone: bool) -> BulkItem:
    """Describe one outcome.

    Args:
        gone: the act, once done, leaves no job.
    """
    job, done = outcome.job, outcome.refusal is None
    state = None if job is None or (gone and done) else job.state
    name = job.name if job else None
    return BulkItem(id=outcome.job_id, name=name, state=state, done=done, reason=outcome.refusal)


class WorkerOut(BaseModel):
    """Worker that was seen lately. What it has not told, such as one of an earlier version, is null."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    device: str
    memory_bytes: int
    started_at: Moment
    seen_at: Moment
    state: WorkerState = Field(
        description="`active`: takes jobs; `draining`: ends after its job; `paused` and `sick`: takes"
        " none until it is resumed, and a worker marks itself sick."
    )
    state_reason: str | None
    job_id: str | None = Field(
        description="Of the job at work; null to whoever sees only jobs of their own."
    )
    classes: list[WorkClass] = Field(description="That it takes; empty: all.")
    tags: list[str] = Field(
        description="That it has: it takes jobs with one of them, and jobs with none."
    )
    host: str
    device_kind: str = Field(description="`cpu` or `cuda`.")
    device_uuid: str | None = Field(description="Of its card, or of its slice of one.")
    driver: str | None = Field(description="Version of the card's driver.")
    precision: str | None = Field(description="Where a recipe leaves it to the device.")
    version: str | None = Field(description="Of the farm.")
    budget_bytes: int = Field(description="Memory that a rendering may use.")
    free_bytes: int | None = Field(
        description="Memory of the device that nobody used when it was last seen."
    )
    utilisation: float | None = Field(description="Of the device, 0 to 1.")
    seconds_per_megapixel: float | None = Field(
        description="Of an iteration; null until it was measured."
    )
    failures_in_row: int = Field(description="Of different jobs, by no fault of theirs.")

    @classmethod
    def from_row(cls, worker: Worker, visitor: Visitor) -> WorkerOut:
        """Describe a worker by its row, as far as a visitor may know."""
        made = cls.model_validate(worker)
        return made if visitor.limited_to is None else made.model_copy(update={"job_id": None})


class Workers(BaseModel):
    """Workers that are alive."""

    items: list[WorkerOut]

    @classmethod
    def from_rows(cls, workers: list[Worker], visitor: Visitor) -> Workers:
        """Describe workers by their rows."""
        return cls(items=[WorkerOut.from_row(worker, visitor) for worker in workers])


def links(job: Job) -> Links:
    """Return the job's addresses."""
    running = job.state in (State.QUEUED, State.RUNNING)
    return Links(
        self=url_for("api.get_job", job_id=job.id),
        page=url_for("pages.show_job", job_id=job.id),
        preview=build_preview_url(job),
        result=url_for("api.get_result", job_id=job.id) if job.state is State.SUCCEEDED else None,
        cancel=url_for("api.cancel", job_id=job.id) if running else None,
    )
