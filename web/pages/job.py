"""One job's page, and what a person can do there."""

from __future__ import annotations

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

import farm.board
import farm.jobs
from farm import db, deliveries, leftovers
from farm.errors import WrongState
from farm.models import State
from farm.recipe import Recipe
from farm.submit import wake
from web import chart, present
from web.pages import blueprint
from web.pages.forms import larger


@blueprint.get("/jobs/<job_id:job_id>")
def job(job_id: str) -> str:
    """Everything about one job."""
    with db.reading() as session:
        found = farm.board.get_with_history(session, job_id)
        waiting_for = farm.board.waits_for(session, found)
        expected = farm.board.expected(session, found)
        points = farm.board.losses(session, found)
        told = deliveries.of_job(session, job_id) if found.webhook_url else []
    recipe = {name: present.typed(value) for name, value in found.recipe.items()}
    return render_template(
        "job.html",
        job=found,
        waiting_for=waiting_for,
        needs=present.needs(found, expected) if expected else "",
        curve=Markup(chart.losses(points)),  # noqa: S704  numbers and words of our own
        figures=present.figures(found.metrics),
        recipe=recipe,
        descriptions={name: info.description for name, info in Recipe.model_fields.items()},
        larger=larger(found),
        deliveries=told,
    )


@blueprint.get("/jobs/<job_id:job_id>/view")
def view(job_id: str) -> ResponseReturnValue:
    """The finished picture in the whole window; before it is finished, the job's page."""
    with db.reading() as session:
        found = farm.jobs.get(session, job_id)
    if found.state is not State.SUCCEEDED:
        return redirect(url_for("pages.job", job_id=job_id), 303)
    return render_template("view.html", job=found)


@blueprint.get("/jobs/<job_id:job_id>/losses.svg")
def losses(job_id: str) -> Response:
    """The loss curve, newer."""
    with db.reading() as session:
        points = farm.board.losses(session, farm.jobs.get(session, job_id))
    response = Response(chart.losses(points), mimetype="image/svg+xml")
    response.cache_control.no_cache = True
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.post("/jobs/<job_id:job_id>/cancel")
def cancel(job_id: str) -> ResponseReturnValue:
    """Stop it."""
    try:
        with db.writing() as session:
            found = farm.jobs.cancel(session, job_id)
        if found.state.ended:
            leftovers.remove_of(job_id)
    except WrongState as error:
        flash(str(error))
    return redirect(url_for("pages.job", job_id=job_id), 303)


@blueprint.post("/jobs/<job_id:job_id>/retry")
def retry(job_id: str) -> ResponseReturnValue:
    """Let it wait again."""
    try:
        with db.writing() as session:
            found = farm.jobs.retry(session, job_id)
        wake(found)
    except WrongState as error:
        flash(str(error))
    return redirect(url_for("pages.job", job_id=job_id), 303)
