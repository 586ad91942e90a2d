"""Jobs: submitted, watched, cancelled, tried again, deleted, fetched."""

from __future__ import annotations

from apiflask import FileSchema
from flask import Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import UnsupportedMediaType

import farm.board
import farm.jobs
from farm import db, leftovers
from farm.errors import InvalidInput, Problem
from farm.estimate import Estimate
from farm.models import Job, State
from farm.recipe import Recipe
from farm.submit import submit, wake
from web.api import blueprint
from web.pictures import send_preview, send_result
from web.present import JobOut, JobPage

MOST_ITEMS = 200  # in one page
FILES = ("content", "style")
TEXTS = ("recipe", "name", "priority", "webhook_url")
GONE = {404: "No such job."}
FILE = FileSchema(type="string", format="binary")


class JobQuery(BaseModel):
    """What a list can be asked for."""

    model_config = ConfigDict(extra="forbid")

    state: State | None = None
    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(farm.board.PAGE, ge=1, le=MOST_ITEMS)


@blueprint.post("/jobs")
@blueprint.output(JobOut, 202, description="Accepted; it waits for a worker.")
@blueprint.doc(
    responses={
        403: "Sent by another site's page.",
        409: "The idempotency key came before, with another request.",
        413: "Too large.",
        415: "Not a picture.",
        422: "Not valid.",
    }
)
def create() -> ResponseReturnValue:
    """Submit a job: a photograph, paintings, and the recipe if it is not to be the default one.

    With a header `Idempotency-Key` of your own making, the same request sent again is the same job.
    """
    _refuse_misplaced_fields()
    recipe = Recipe.parse(request.form["recipe"]) if request.form.get("recipe") else Recipe()
    content = request.files.get("content")
    if content is None:
        raise InvalidInput(Problem("content", "is missing; send one photograph"))
    job = submit(
        content.read(),
        [style.read() for style in request.files.getlist("style")],
        recipe,
        name=request.form.get("name", ""),
        priority=_priority(),
        key=request.headers.get("Idempotency-Key"),
        webhook_url=request.form.get("webhook_url", ""),
    )
    response = _job_json(job)
    response.status_code = 202
    response.headers["Location"] = url_for("api.job", job_id=job.id)
    return response


@blueprint.get("/jobs")
@blueprint.input(JobQuery, location="query")
@blueprint.output(JobPage)
def index(query_data: JobQuery) -> JobPage:
    """Jobs, newest first."""
    with db.reading() as session:
        found, cursor = farm.board.newest(
            session, cursor=query_data.cursor, limit=query_data.limit, state=query_data.state
        )
    return JobPage(items=[JobOut.of(job) for job in found], next_cursor=cursor)


@blueprint.get("/jobs/<job_id:job_id>")
@blueprint.output(JobOut)
@blueprint.doc(responses=GONE)
def job(job_id: str) -> Response:
    """One job. Send its ETag back in If-None-Match to be told only of a change."""
    with db.reading() as session:
        found = farm.jobs.get(session, job_id)
        waiting_for = farm.board.waits_for(session, found)
        expected = farm.board.expected(session, found)
    return _job_json(found, waiting_for, expected)


@blueprint.post("/jobs/<job_id:job_id>/cancel")
@blueprint.output(JobOut)
@blueprint.doc(responses=GONE | {409: "It has already ended."})
def cancel(job_id: str) -> Response:
    """Stop a job: at once if it waits, soon if it runs. Again is harmless."""
    with db.writing() as session:
        found = farm.jobs.cancel(session, job_id)
    if found.state.ended:
        leftovers.remove_of(job_id)
    return _job_json(found)


@blueprint.post("/jobs/<job_id:job_id>/retry")
@blueprint.output(JobOut)
@blueprint.doc(responses=GONE | {409: "It has neither failed nor been cancelled."})
def retry(job_id: str) -> Response:
    """Let a failed or cancelled job wait again."""
    with db.writing() as session:
        found = farm.jobs.retry(session, job_id)
    wake(found)
    return _job_json(found)


@blueprint.delete("/jobs/<job_id:job_id>")
@blueprint.output({}, 204, description="It is gone, with its pictures.")
@blueprint.doc(responses=GONE | {409: "It has not ended."})
def delete(job_id: str) -> ResponseReturnValue:
    """Delete a job that has ended, and its files."""
    leftovers.delete_job(job_id)
    return "", 204


@blueprint.get("/jobs/<job_id:job_id>/result")
@blueprint.output(FILE, content_type="image/png")
@blueprint.doc(responses=GONE | {409: "It has not finished."})
def result(job_id: str) -> Response:
    """The finished picture, in the format of its recipe. Ranges are served."""
    with db.reading() as session:
        found = farm.jobs.get(session, job_id)
    return send_result(found)


@blueprint.get("/jobs/<job_id:job_id>/preview")
@blueprint.output(FILE, content_type="image/jpeg")
@blueprint.doc(responses=GONE)
def preview(job_id: str) -> Response:
    """The newest preview, JPEG."""
    with db.reading() as session:
        found = farm.jobs.get(session, job_id)
    return send_preview(found)


def _job_json(job: Job, waiting_for: str | None = None, expected: Estimate | None = None) -> Response:
    response = jsonify(JobOut.of(job, waiting_for, expected).model_dump(mode="json"))
    response.cache_control.private = True
    response.cache_control.no_cache = True
    response.add_etag()
    if request.method == "GET":
        response.make_conditional(request)
    return response


def _refuse_misplaced_fields() -> None:
    """Whatever would be ignored is an error: the picture would not be the one that was meant."""
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send multipart/form-data with the pictures as files.")
    wrong = []
    for sent, right, hint in (
        (request.form, TEXTS, "is not a text field"),
        (request.files, FILES, "is not a file field"),
    ):
        for name in sorted(sent):
            if name not in right:
                message = f"{hint}; files are {', '.join(FILES)}, texts are {', '.join(TEXTS)}"
                wrong.append(Problem(name[:80], message))
            elif name != "style" and len(sent.getlist(name)) > 1:
                wrong.append(Problem(name, "was sent more than once"))
    if wrong:
        raise InvalidInput(*wrong)


def _priority() -> int:
    try:
        return int(request.form.get("priority") or 0)
    except ValueError:
        raise InvalidInput(Problem("priority", "must be a whole number")) from None
