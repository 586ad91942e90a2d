"""Page of one job, its parts, and what a person can do there."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Response, flash, redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, State
from farm.errors import InvalidInput, Problem, WrongState
from farm.jobs import actions, details, ratings, states
from farm.pictures import conversions
from farm.recipe import Recipe
from farm.recipe.recipe import format_value
from farm.webhooks import deliveries
from web import words
from web.pages import blueprint, commands, loss_chart
from web.pages.form import find_larger_size


@blueprint.get("/jobs/<job_id:job_id>")
def show_job(job_id: str) -> str:
    """Show everything about one job."""
    with sessions.read_session() as session:
        found = details.get_with_history(session, job_id)
        rows = _load_rows(session, found)
    url = request.host_url.rstrip("/")
    whole = Recipe.model_validate(found.recipe).model_dump(mode="json")
    return render_template(
        "job.html",
        **rows,
        job=found,
        figures=words.list_figures(found.metrics),
        recipe={name: format_value(value) for name, value in whole.items()},
        descriptions={name: info.description for name, info in Recipe.model_fields.items()},
        larger=find_larger_size(found),
        other_formats=conversions.list_other_formats(found),
        commands={
            "farm": commands.build_farm_submit(found, url),
            "curl": commands.build_curl(found, url),
        },
    )


def _load_rows(session: Session, job: Job) -> dict[str, Any]:
    """Load what its page shows of other rows than the job's own."""
    expected = details.estimate_job(session, job)
    curve = loss_chart.draw_losses(details.list_losses(session, job))
    return {
        "waiting_for": details.explain_wait(session, job),
        "needs": words.describe_job_need(job, expected) if expected else "",
        "curve": Markup(curve),  # noqa: S704  numbers and words of our own
        "log_lines": details.list_last_log_lines(session, job),
        "opinion": ratings.opinion(session, job),
        "stars": ratings.find_stars(session, job.id, cookie["rater"]) if "rater" in cookie else None,
        "deliveries": deliveries.list_for_job(session, job.id) if job.webhook_url else [],
    }


@blueprint.post("/jobs/<job_id:job_id>/rating")
def rate(job_id: str) -> ResponseReturnValue:
    """Store what whoever sits at this browser thinks of it; no stars: forget it."""
    rater = cookie.setdefault("rater", secrets.token_hex(16))
    text = request.form.get("stars", "")
    with sessions.write_session() as session:
        if not text:
            ratings.withdraw(session, job_id, rater)
        elif text.isdecimal() and len(text) == 1:
            ratings.rate(session, job_id, rater, int(text))
        else:
            raise InvalidInput(Problem("stars", "must be 1 to 5"))
    return redirect(url_for("pages.show_job", job_id=job_id) + "#rating", 303)


@blueprint.get("/jobs/<job_id:job_id>/history")
def show_history(job_id: str) -> str:
    """Return its history, newer: a part of its page."""
    with sessions.read_session() as session:
        found = details.get_with_history(session, job_id)
        log_lines = details.list_last_log_lines(session, found)
    return render_template("_history.html", job=found, log_lines=log_lines)


@blueprint.get("/jobs/<job_id:job_id>/view")
def show_picture(job_id: str) -> ResponseReturnValue:
    """Show the finished picture in the whole window; before it is finished, the job's page."""
    with sessions.read_session() as session:
        found = states.get(session, job_id)
    if found.state is not State.SUCCEEDED:
        return redirect(url_for("pages.show_job", job_id=job_id), 303)
    return render_template("view.html", job=found)


@blueprint.get("/jobs/<job_id:job_id>/losses.svg")
def draw_losses(job_id: str) -> Response:
    """Return the loss curve, newer."""
    with sessions.read_session() as session:
        points = details.list_losses(session, states.get(session, job_id))
    response = Response(loss_chart.draw_losses(points), mimetype="image/svg+xml")
    response.cache_control.no_cache = True
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.post("/jobs/<job_id:job_id>/cancel")
def cancel(job_id: str) -> ResponseReturnValue:
    """Stop it."""
    try:
        actions.cancel(job_id)
    except WrongState as error:
        flash(str(error))
    return redirect(url_for("pages.show_job", job_id=job_id), 303)


@blueprint.post("/jobs/<job_id:job_id>/retry")
def retry(job_id: str) -> ResponseReturnValue:
    """Let it wait again."""
    try:
        actions.retry(job_id)
    except WrongState as error:
        flash(str(error))
    return redirect(url_for("pages.show_job", job_id=job_id), 303)
