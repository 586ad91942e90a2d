"""Results of the jobs that were selected, as one zip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask import Response, flash, redirect
from flask.typing import ResponseReturnValue

from farm.database.models import Job, State
from farm.files import build_file_name
from farm.jobs import bulk
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.pages.bulk import read_ids, read_origin
from web.zips import write_zip


@blueprint.post("/jobs/download")
def download_results() -> ResponseReturnValue:
    """Send the finished ones of the selected jobs as a zip, each in the format of its recipe."""
    ids = read_ids()
    outcomes = bulk.plan(bulk.Action.DELETE, ids, get_visitor()) if ids else []
    found = [outcome.job for outcome in outcomes]
    finished = [job for job in found if job and job.state is State.SUCCEEDED]
    if not finished:
        flash("None of these jobs has finished, so there is no picture to download.")
        return redirect(read_origin(), 303)
    response = Response(_write_zip(finished), mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename="pictures.zip")
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _write_zip(jobs: Sequence[Job]) -> Iterator[bytes]:
    """Yield a zip of the jobs' results; one that is gone is left out."""
    return write_zip(
        (build_file_name(job.name, f"-{job.id[:8]}{job.format.suffix}"), job.result_key, job.created_at)
        for job in jobs
    )
