"""Deliveries of a job's webhook: a part of the job's page, and the button that retries one."""

from __future__ import annotations

from flask import Response, flash, redirect, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.errors import WrongState
from farm.jobs import states
from farm.webhooks import deliveries
from web.api.webhooks import LARGEST_ID
from web.pages import blueprint
from web.pages.fragments import send_fragment


@blueprint.get("/jobs/<job_id:job_id>/deliveries")
def list_deliveries(job_id: str) -> Response:
    """Return the part of the page alone, newer."""
    with sessions.read_session() as session:
        job = states.get(session, job_id)
        found = deliveries.list_for_job(session, job_id)
    return send_fragment("_deliveries.html", job=job, deliveries=found)


@blueprint.post(f"/jobs/<job_id:job_id>/deliveries/<int(max={LARGEST_ID}):delivery_id>/retry")
def retry_delivery(job_id: str, delivery_id: int) -> ResponseReturnValue:
    """Send it now."""
    try:
        with sessions.write_session() as session:
            deliveries.send_again(session, job_id, delivery_id)
    except WrongState as error:
        flash(str(error))
    return redirect(url_for("pages.show_job", job_id=job_id, _anchor="webhook"), 303)
