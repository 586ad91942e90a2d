"""Page of one job, its parts, and what a person can do there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, LossPoint, State
from farm.errors import InvalidInput, NoRoom, Problem, WrongState
from farm.explorations.sliders import find_slider
from farm.jobs import actions, details, ratings, states
from farm.pictures import conversions
from farm.recipe import Recipe
from farm.recipe.recipe import get_title
from farm.recipe.typed_values import format_value
from farm.settings import settings
from farm.webhooks import deliveries
from web import streams, words
from web.api.jobs import take_snapshot
from web.middleware.authentication import get_visitor
from web.middleware.conditions import make_conditional
from web.pages import blueprint, commands, loss_chart
from web.pages.form import find_larger_size
from web.pages.fragments import send_fragment, send_unchanged
from web.pages.opinions import identify_rater
from web.pages.sliders import describe_slider
from web.pages.webhooks import ShownWebhook


@blueprint.get("/jobs/<job_id:job_id>")
def show_job(job_id: str) -> str:
    """Show everything about one job."""
    with sessions.read_session() as session:
        found = details.get_with_history(session, job_id)
        rows = _load_rows(session, found)
        drafts = find_slider(session, found, get_visitor())
        slider_rows = describe_slider(drafts) if drafts else []
    url = settings().public_url or request.url_root.rstrip("/")
    whole = Recipe.model_validate(found.recipe).model_dump(mode="json")
    return render_template(
        "job.html",
        **rows,
        job=found,
        figures=words.list_figures(found.metrics),
        recipe={name: format_value(value) for name, value in whole.items()},
        titles={name: get_title(name) for name in Recipe.model_fields},
        descriptions={name: info.description for name, info in Recipe.model_fields.items()},
        larger=find_larger_size(found),
        slider_exploration=drafts,
        slider_rows=slider_rows,
        other_formats=conversions.list_other_formats(found),
        commands={
            "farm": commands.build_farm_submit(found, url),
            "curl": commands.build_curl(found, url),
        },
    )


def _load_rows(session: Session, job: Job) -> dict[str, Any]:
    """Load what its page shows of other rows than the job's own."""
    expected = details.estimate_job(session, job)
    return {
        "waiting_for": details.explain_wait(session, job),
        "needs": words.describe_job_need(job, expected) if expected else "",
        "curve": _draw(details.list_losses(session, job)),
        "log_lines": details.list_last_log_lines(session, job),
        "opinion": ratings.compute_opinion(session, job, get_visitor()),
        "stars": ratings.find_stars(session, job.id, identify_rater()),
        "webhook": _load_webhook(session, job),
    }


def _load_webhook(session: Session, job: Job) -> ShownWebhook | None:
    if not job.webhook_url:
        return None
    found = deliveries.list_for_job(session, job.id)
    return ShownWebhook("job", job.webhook_url, found, job_id=job.id)


@blueprint.post("/jobs/<job_id:job_id>/rating")
def rate(job_id: str) -> ResponseReturnValue:
    """Store what whoever sits at this browser thinks of it; no stars: forget it."""
    rater = identify_rater(remember=True)
    text = request.form.get("stars", "")
    with sessions.write_session() as session:
        if not text:
            ratings.withdraw(session, job_id, rater)
        elif text.isdecimal() and len(text) == 1:
            ratings.rate(session, job_id, rater, int(text))
        else:
            raise InvalidInput(Problem("stars", "must be 1 to 5"))
    return redirect(url_for("pages.show_job", job_id=job_id) + "#rating", 303)


@blueprint.get("/jobs/<job_id:job_id>/progress")
def refresh_progress(job_id: str) -> Response:
    """Return the part of its page that says how it stands, alone."""
    version = details.read_version(job_id)
    if version and request.if_none_match.contains_weak(version):
        return send_unchanged(version)
    with sessions.read_session() as session:
        found = states.get(session, job_id)
        waiting_for = details.explain_wait(session, found)
        expected = details.estimate_job(session, found)
    needs = words.describe_job_need(found, expected) if expected else ""
    return send_fragment("_progress.html", version, job=found, waiting_for=waiting_for, needs=needs)


@blueprint.get("/jobs/<job_id:job_id>/history")
def refresh_history(job_id: str) -> Response:
    """Return the part of its page that says how it went: losses, timeline, log, alone."""
    with sessions.read_session() as session:
        found = details.get_with_history(session, job_id)
        curve = _draw(details.list_losses(session, found))
        log_lines = details.list_last_log_lines(session, found)
    return send_fragment("_history.html", job=found, curve=curve, log_lines=log_lines)


def _draw(points: Sequence[LossPoint]) -> Markup:
    return Markup(loss_chart.draw_losses(points))  # noqa: S704  numbers and words of our own


@blueprint.get("/jobs/<job_id:job_id>/changes")
def stream_changes(job_id: str) -> Response:
    """Say to its page, by server-sent events, when it changed."""
    details.read_version(job_id)
    return streams.send_changes([job_id], lambda: take_snapshot(job_id))


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
    return make_conditional(response)


@blueprint.post("/jobs/<job_id:job_id>/name")
def rename(job_id: str) -> ResponseReturnValue:
    """Give it another name."""
    try:
        actions.rename(job_id, request.form.get("name", ""))
    except InvalidInput as error:
        flash(words.describe_error(error))
    return redirect(url_for("pages.show_job", job_id=job_id), 303)


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
    except NoRoom:  # the page says how full the disk is
        flash("It was not tried again: the farm has no room for it just now.")
    return redirect(url_for("pages.show_job", job_id=job_id), 303)
