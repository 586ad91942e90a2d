"""Jobs: submitted, watched, cancelled, tried again, deleted, fetched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from apiflask import FileSchema
from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ConfigDict, Field, model_validator

from farm.database import sessions
from farm.database.models import Job, State
from farm.explorations import growing
from farm.jobs import actions, details, lists, states
from farm.jobs.fields import NAME_LENGTH, NAME_MEANS, PRIORITIES, PRIORITY_MEANS
from farm.jobs.idempotency import ID, Key, Request
from farm.jobs.submit import submit
from farm.recipe.formats import Format
from farm.recipe.problems import Untrusted
from web import streams
from web.api import answers, blueprint
from web.api.requests import (
    find_earlier,
    identify,
    read_file_names,
    read_guides,
    read_idempotency_key,
    read_parts,
    read_submission,
    read_whole_number,
    respond_conditionally,
    respond_with_json,
)
from web.api.schemas import JobOut, JobPage
from web.files import send_preview, send_result
from web.middleware.authentication import get_visitor

MAX_ITEMS = 200  # in one page
TEXTS = ("recipe", "look", "name", "priority", "webhook_url", "tag", growing.FROM_JOB)
ASK_AGAIN_SECONDS = 1  # whoever polls
MAX_REMEMBERED = 256  # jobs between two reports, some kilobytes each
QUEUE_SECONDS = 2.0  # after which a waiting job's place may be another, though its own row is the same
SHAPE = hashlib.sha256(json.dumps(JobOut.model_json_schema()).encode()).hexdigest()[:8]  # of all tags
FILE = FileSchema(type="string", format="binary")


class JobQuery(Untrusted):
    """Question that a list answers."""

    model_config = ConfigDict(extra="forbid")

    state: State | None = None
    q: str = Field(
        "",
        max_length=lists.SEARCH_LENGTH,
        description="Part of a name, without regard to capitals and accents.",
    )
    sort: lists.Sort = lists.Sort.NEWEST
    cursor: str | None = Field(
        None,
        max_length=lists.CURSOR_LENGTH,
        description="`next_cursor` or `previous_cursor` of a page of the same state, q and sort.",
    )
    limit: int = Field(lists.PAGE, ge=1, le=MAX_ITEMS)


class ResultQuery(Untrusted):
    """Format of the result; the recipe's when left out."""

    model_config = ConfigDict(extra="forbid")

    format: Format | None = None


@blueprint.post("/jobs")
@blueprint.output(JobOut, 202, description=answers.ACCEPTED)
@blueprint.doc(responses=answers.BAD_SUBMISSION | answers.KEY_TAKEN)
def create() -> ResponseReturnValue:
    """Submit a job: a photograph, paintings, and the recipe if it is not to be the default one; or,
    with `from_job`, a larger picture of a finished job's.

    With a header `Idempotency-Key` of your own making, the same request sent again is the same job.
    """
    return _submit_request(read_idempotency_key())


@blueprint.put("/jobs/<job_id:job_id>")
@blueprint.output(JobOut, 202, description=answers.ACCEPTED)
@blueprint.doc(responses=answers.BAD_SUBMISSION | answers.ID_TAKEN)
def put(job_id: str) -> ResponseReturnValue:
    """Submit a job under an id of your own making, 32 hexadecimal digits such as those of a UUID. The
    same request sent again is the same job."""
    return _submit_request(Key(ID, job_id, visitor=get_visitor()), job_id)


def _submit_request(own: Key | None, job_id: str | None = None) -> Response:
    key = identify(own)
    job = find_earlier(key) or _submit(key, job_id)
    response = _respond(job)
    response.status_code = 202
    response.headers["Location"] = url_for("api.get_job", job_id=job.id)
    return response


def _submit(key: Key | Request | None, job_id: str | None) -> Job:
    found = _read_growth() if request.form.get(growing.FROM_JOB) else _read_pictures()
    return submit(
        found.content,
        found.styles,
        found.recipe,
        name=request.form.get("name") or found.name,
        priority=read_whole_number("priority"),
        key=key,
        job_id=job_id,
        webhook_url=request.form.get("webhook_url", ""),
        tag=request.form.get("tag", ""),
        guides=found.guides,
        file_names=found.file_names,
        visitor=get_visitor(),
    )


def _read_pictures() -> growing.Parts:
    content, styles, recipe = read_submission(TEXTS)
    return growing.Parts(content, styles, recipe, read_guides(), read_file_names())


def _read_growth() -> growing.Parts:
    content, styles, recipe = read_parts(TEXTS)
    job_id, visitor = request.form[growing.FROM_JOB], get_visitor()
    return growing.prepare(job_id, recipe, content, styles, read_guides(), visitor)


@blueprint.get("/jobs")
@blueprint.input(JobQuery, location="query")
@blueprint.output(JobPage)
def list_jobs(query_data: JobQuery) -> JobPage:
    """List jobs page by page: of one state, searched by name, newest or oldest first or by name.

    Those of an exploration are not among them.
    """
    owner_id = get_visitor().limited_to
    asked = lists.ListQuery(query_data.state, query_data.q, query_data.sort, owner_id)
    with sessions.read_session() as session:
        page = lists.page(session, asked, cursor=query_data.cursor, limit=query_data.limit)
    return JobPage.from_page(page)


@blueprint.get("/jobs/<job_id:job_id>")
@blueprint.output(JobOut)
@blueprint.doc(responses=answers.NO_JOB | answers.UNCHANGED)
def get_job(job_id: str) -> Response:
    """Return one job. Its ETag in If-None-Match asks only for a change; Retry-After holds the seconds to
    the next question."""
    version = details.read_version(job_id)
    tag = f"{SHAPE}.{version}" if version else None
    if tag and request.if_none_match.contains_weak(tag):
        return _respond_unchanged(tag)
    found = _find_standing(job_id, version)
    response = respond_with_json(found.text, tag)
    if not found.state.ended:
        response.headers["Retry-After"] = str(ASK_AGAIN_SECONDS)
    return response


def _respond_unchanged(tag: str) -> Response:
    """Answer that nothing changed, as most questions get: found by two columns of the row."""
    response = Response(status=304)
    response.set_etag(tag)
    return response


@blueprint.get("/jobs/<job_id:job_id>/stream")
@blueprint.output({}, content_type=answers.EVENT_STREAM, description=answers.EVENTS)
@blueprint.doc(responses=answers.NO_JOB | answers.STREAMS_FULL)
def stream_job(job_id: str) -> Response:
    """Stream one job as it changes, by server-sent events: `state` holds the job as above, `end` follows
    the last one, `gone` says that the job was deleted. Send Last-Event-ID to go on from there."""
    details.read_version(job_id)
    return streams.send_states([job_id], lambda: take_snapshot(job_id))


def take_snapshot(job_id: str) -> streams.Snapshot:
    """Return how a job stands, for a stream.

    Raises:
        NotFound: it was deleted.
    """
    found = _find_standing(job_id, details.read_version(job_id))
    valid_seconds = QUEUE_SECONDS if found.state is State.QUEUED else streams.HEARTBEAT_SECONDS
    return streams.Snapshot(found.text, found.state.ended, valid_seconds)


@dataclass(frozen=True)
class _Standing:
    """A job at one moment."""

    # The whole answer, JSON.
    text: str
    state: State


def _find_standing(job_id: str, version: str | None) -> _Standing:
    """Return a job at this moment.

    Args:
        version: of all that the answer holds; None: it depends on other jobs, too.
    """
    if not version:
        return _load_standing(job_id)
    return _load_standing_once(job_id, version, request.script_root)


def _load_standing(job_id: str) -> _Standing:
    with sessions.read_session() as session:
        found = states.get(session, job_id, bare=True)
        waiting_for = details.explain_wait(session, found)
        expected = details.estimate_job(session, found)
        answer = JobOut.from_row(found, waiting_for, expected)
    return _Standing(answer.model_dump_json(), found.state)


@lru_cache(maxsize=MAX_REMEMBERED)
def _load_standing_once(job_id: str, version: str, prefix: str) -> _Standing:
    """Return the same to all who ask for a job between two of its reports: streams, pages, programs.

    Args:
        prefix: of the paths in it, which differ from proxy to proxy.
    """
    return _load_standing(job_id)


@blueprint.post("/jobs/<job_id:job_id>/cancel")
@blueprint.output(JobOut)
@blueprint.doc(responses=answers.NO_JOB | {409: "It has already ended."})
def cancel(job_id: str) -> Response:
    """Stop a job: at once if it waits, soon if it runs. Again is harmless."""
    return _respond(actions.cancel(job_id))


@blueprint.post("/jobs/<job_id:job_id>/retry")
@blueprint.output(JobOut)
@blueprint.doc(
    responses=answers.NO_JOB | answers.NO_ROOM | {409: "It has neither failed nor been cancelled."}
)
def retry(job_id: str) -> Response:
    """Let a failed or cancelled job wait again."""
    return _respond(actions.retry(job_id))


class JobChange(Untrusted):
    """Change of a job; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=NAME_LENGTH, description=NAME_MEANS)
    priority: int | None = Field(None, ge=PRIORITIES[0], le=PRIORITIES[-1], description=PRIORITY_MEANS)

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if self.name is None and self.priority is None:
            raise ValueError("body: must have a name or a priority")
        return self


@blueprint.patch("/jobs/<job_id:job_id>")
@blueprint.input(JobChange, location="json")
@blueprint.output(JobOut)
@blueprint.doc(
    responses=answers.NO_JOB
    | answers.BAD_JSON
    | answers.OPERATORS
    | {409: "It has ended: it has no priority."}
)
def change(job_id: str, json_data: JobChange) -> Response:
    """Give a job another name, or another priority while it has not ended."""
    with sessions.read_session() as session:
        job = states.get(session, job_id)
    if json_data.priority is not None:
        job = actions.set_priority(job_id, json_data.priority, get_visitor(), get_visitor().name)
    if json_data.name is not None:
        job = actions.rename(job_id, json_data.name)
    return _respond(job)


@blueprint.delete("/jobs/<job_id:job_id>")
@blueprint.output({}, 204, description=answers.DELETED)
@blueprint.doc(responses=answers.NO_JOB | {409: "It has not ended."})
def delete(job_id: str) -> ResponseReturnValue:
    """Delete a job that has ended, and its files."""
    actions.delete(job_id)
    return "", 204


@blueprint.get("/jobs/<job_id:job_id>/recipe")
@blueprint.output({}, content_type="application/json", description="A recipe.")
@blueprint.doc(responses=answers.NO_JOB)
def get_recipe(job_id: str) -> dict[str, object]:
    """Return the job's recipe alone, as `farm submit --recipe FILE` and a new job take it."""
    with sessions.read_session() as session:
        return states.get(session, job_id).recipe


@blueprint.get("/jobs/<job_id:job_id>/result")
@blueprint.input(ResultQuery, location="query")
@blueprint.output(FILE, content_type="image/png")
@blueprint.doc(
    responses=answers.NO_JOB | answers.UNCHANGED | answers.PARTS | {409: "It has not finished."}
)
def get_result(job_id: str, query_data: ResultQuery) -> Response:
    """Return the finished picture, in its own format or another of 8 bits. Ranges are served."""
    with sessions.read_session() as session:
        found = states.get(session, job_id)
    return send_result(found)


@blueprint.get("/jobs/<job_id:job_id>/preview")
@blueprint.output(FILE, content_type="image/jpeg")
@blueprint.doc(responses=answers.NO_JOB | answers.UNCHANGED)
def get_preview(job_id: str) -> Response:
    """Return the newest preview, JPEG."""
    with sessions.read_session() as session:
        found = states.get(session, job_id)
    return send_preview(found)


def _respond(job: Job) -> Response:
    return respond_conditionally(JobOut.from_row(job))
