"""The body of a webhook, and the signature by which its receiver knows the farm."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from farm.database.deliveries import Delivery
from farm.database.films import Film
from farm.database.models import State
from farm.settings import settings
from farm.webhooks.deliveries import Claim

TIMESTAMP = "Style-Farm-Timestamp"
SIGNATURE = "Style-Farm-Signature"
DELIVERY = "Style-Farm-Delivery"
SCHEME = "v1"  # of the signature

Moment = Annotated[
    datetime, PlainSerializer(lambda moment: moment.isoformat().replace("+00:00", "Z"), when_used="json")
]


class JobLinks(BaseModel):
    """Where to go from a job: paths, or whole addresses where the farm knows its own."""

    self: str
    page: str
    result: str | None = Field(description="Only of a job that has succeeded.")


class JobTold(BaseModel):
    """The job, in brief, as its end left it."""

    id: str
    name: str
    state: State
    attempt: int
    width: int
    height: int
    error: str | None = Field(description="Why it failed.")
    metrics: dict[str, Any] | None = Field(description="Quality figures of a job that has succeeded.")
    links: JobLinks


class Notice(BaseModel):
    """The body of a webhook: a job has ended."""

    model_config = ConfigDict(title="Webhook")

    event: str = Field(description="`job.succeeded`, `job.failed` or `job.cancelled`.")
    delivery: str = Field(description="The same at each try; by it a receiver knows a repetition.")
    ended_at: Moment
    job: JobTold

    @classmethod
    def from_claim(cls, claim: Claim) -> Notice:
        """Return the body for a claimed delivery."""
        delivery, job = claim.delivery, claim.job
        told = JobTold(
            id=job.id,
            name=job.name,
            state=delivery.state,
            attempt=delivery.attempt,
            width=job.width,
            height=job.height,
            error=claim.message if delivery.state is State.FAILED else None,
            metrics=job.metrics if delivery.state is State.SUCCEEDED else None,
            links=_make_links(job.id, delivery.state),
        )
        return cls(
            event=f"job.{delivery.state.value}",
            delivery=make_name(delivery),
            ended_at=delivery.created_at.astimezone(UTC),
            job=told,
        )


class FilmLinks(BaseModel):
    """Where to go from a film: paths, or whole addresses where the farm knows its own."""

    self: str
    page: str
    result: str | None = Field(description="Only of a film that has succeeded.")


class FilmTold(BaseModel):
    """The film, in brief, as its end left it."""

    id: str
    name: str
    state: State
    error: str | None = Field(description="Why it failed, with the frames that did.")
    links: FilmLinks


class FilmNotice(BaseModel):
    """The body of a film's webhook: it has ended. Its parts send none."""

    event: str = Field(description="`film.succeeded`, `film.failed` or `film.cancelled`.")
    delivery: str = Field(description="The same at each try; by it a receiver knows a repetition.")
    ended_at: Moment
    film: FilmTold

    @classmethod
    def from_claim(cls, claim: Claim, film: Film) -> FilmNotice:
        """Return the body for a claimed delivery of a film's."""
        state = claim.delivery.state
        root = settings().public_url
        api = f"{root}/api/v1/films/{film.id}"
        links = FilmLinks(
            self=api,
            page=f"{root}/films/{film.id}",
            result=f"{api}/result" if state is State.SUCCEEDED else None,
        )
        error = film.error if state is State.FAILED else None
        return cls(
            event=f"film.{state.value}",
            delivery=make_name(claim.delivery),
            ended_at=claim.delivery.created_at.astimezone(UTC),
            film=FilmTold(id=film.id, name=film.name, state=state, error=error, links=links),
        )


def build_notice(claim: Claim) -> Notice | FilmNotice:
    """Return the body for a claimed delivery, of a job or of a film."""
    return FilmNotice.from_claim(claim, claim.film) if claim.film else Notice.from_claim(claim)


def make_name(delivery: Delivery) -> str:
    """Return the delivery's id for receivers: the row's number alone may come again after a deletion."""
    return f"{delivery.job_id}.{delivery.id}"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return `v1=` and the HMAC-SHA256 (RFC 2104) of `timestamp.body`, in hex."""
    message = timestamp.encode() + b"." + body
    return f"{SCHEME}={hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()}"


def _make_links(job_id: str, state: State) -> JobLinks:
    """Return the addresses under which the web part shows the job."""
    root = settings().public_url
    api = f"{root}/api/v1/jobs/{job_id}"
    result = f"{api}/result" if state is State.SUCCEEDED else None
    return JobLinks(self=api, page=f"{root}/jobs/{job_id}", result=result)
