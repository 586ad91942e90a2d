"""What was told of a job's end: a part of the job's page, and the button that tells it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.models import Delivery
from farm.errors import WrongState
from farm.jobs import states
from farm.webhooks import deliveries
from web.api.webhooks import LARGEST_ID
from web.pages import blueprint


@blueprint.get("/jobs/<job_id:job_id>/deliveries")
def list_deliveries(job_id: str) -> Response:
    """The part of the page alone, newer."""
    with sessions.reading() as session:
        job = states.get(session, job_id)
        found = deliveries.of_job(session, job_id)
    response = make_response(render_template("_deliveries.html", job=job, deliveries=found))
    response.cache_control.no_cache = True
    response.set_etag(_tag(found))  # of the rows: the buttons' tokens differ each second
    response.make_conditional(request)
    return response


@blueprint.post(f"/jobs/<job_id:job_id>/deliveries/<int(max={LARGEST_ID}):delivery_id>/retry")
def retry_delivery(job_id: str, delivery_id: int) -> ResponseReturnValue:
    """Send it now."""
    try:
        with sessions.writing() as session:
            deliveries.again(session, job_id, delivery_id)
    except WrongState as error:
        flash(str(error))
    return redirect(url_for("pages.show_job", job_id=job_id, _anchor="webhook"), 303)


def _tag(found: Iterable[Delivery]) -> str:
    rows = [
        (row.id, row.status.value, row.tries, row.answer, str(row.due_at), str(row.delivered_at))
        for row in found
    ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()
