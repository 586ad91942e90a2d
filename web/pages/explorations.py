"""Explorations: one on its own page while its cells fill in, and a list of the latest."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.models import Exploration, State
from farm.explorations import grids
from web import streams
from web.api.explorations import compute_progress, is_going, take_snapshot
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.pages.fragments import send_fragment
from web.pages.sliders import describe_slider

LISTED = 24


@blueprint.get("/explore")
def list_explorations() -> str:
    """List the latest explorations."""
    with sessions.read_session() as session:
        found = grids.list_newest(session, LISTED, get_visitor())
    return render_template("explorations.html", explorations=found)


@blueprint.get("/explore/<job_id:exploration_id>")
def show_exploration(exploration_id: str) -> str:
    """Show the grid. Each cell leads to the form with its settings."""
    return render_template("explore.html", **_read(grids.get(exploration_id)))


@blueprint.get("/explore/<job_id:exploration_id>/grid")
def refresh_exploration(exploration_id: str) -> Response:
    """Return the part of its page that changes while it is painted, alone."""
    return send_fragment("_grid.html", **_read(grids.get(exploration_id)))


def _read(found: Exploration) -> dict[str, Any]:
    """Return all that its page shows."""
    with sessions.read_session() as session:
        left = grids.estimate_left(session, found)
    return {
        "exploration": found,
        "going": is_going(found),
        "state": _sum_up(found),
        "progress": compute_progress(found),
        "left": left,
        "slider_rows": describe_slider(found),
    }


def _sum_up(found: Exploration) -> State:
    """Return the state of the whole for its tab: running, or the worst end of its cells."""
    states = {job.state for job in found.cells}
    if is_going(found):
        return State.RUNNING
    return next((end for end in (State.FAILED, State.CANCELLED) if end in states), State.SUCCEEDED)


@blueprint.get("/explore/<job_id:exploration_id>/changes")
def stream_exploration_changes(exploration_id: str) -> Response:
    """Say to its pages, by server-sent events, when it changed."""
    cells = [job.id for job in grids.get(exploration_id).cells]
    return streams.send_changes(cells, lambda: take_snapshot(exploration_id))


@blueprint.post("/explore/<job_id:exploration_id>/cancel")
def cancel_exploration(exploration_id: str) -> ResponseReturnValue:
    """Stop what has not ended of it; `then=delete`: because it is to be deleted."""
    grids.cancel(exploration_id)
    place = "confirm_deletion" if request.form.get("then") == "delete" else "show_exploration"
    return redirect(url_for(f"pages.{place}", exploration_id=exploration_id), 303)
