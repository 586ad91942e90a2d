"""Explorations: one on its own page while its cells fill in, and a list of the latest."""

from __future__ import annotations

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.models import State
from farm.errors import NotFound, WrongState
from farm.explorations import grids
from web.api.explorations import compute_progress, is_going
from web.pages import blueprint

LISTED = 24


@blueprint.get("/explore")
def list_explorations() -> str:
    """List the latest explorations."""
    with sessions.read_session() as session:
        found = grids.list_newest(session, LISTED)
    return render_template("explorations.html", explorations=found)


@blueprint.get("/explore/<job_id:exploration_id>")
def show_exploration(exploration_id: str) -> str:
    """Show the grid. Each cell leads to the form with its settings."""
    found = grids.get(exploration_id)
    with sessions.read_session() as session:
        left = grids.estimate_left(session, found)
    return render_template(
        "explore.html",
        exploration=found,
        going=is_going(found),
        progress=compute_progress(found),
        left=left,
    )


@blueprint.post("/explore/<job_id:exploration_id>/cancel")
def cancel_exploration(exploration_id: str) -> ResponseReturnValue:
    """Stop what has not ended of it; `then=delete`: because it is to be deleted."""
    grids.cancel(exploration_id)
    place = "confirm_deletion" if request.form.get("then") == "delete" else "show_exploration"
    return redirect(url_for(f"pages.{place}", exploration_id=exploration_id), 303)


@blueprint.get("/explore/<job_id:exploration_id>/delete")
def confirm_deletion(exploration_id: str) -> str:
    """Ask whether it shall be deleted; while it is painted, offer to stop it."""
    found = grids.get(exploration_id)
    states = [job.state for job in found.cells]
    return render_template(
        "explore_delete.html",
        exploration=found,
        going=is_going(found),
        stoppable=State.QUEUED in states or State.RUNNING in states,
    )


@blueprint.post("/explore/<job_id:exploration_id>/delete")
def delete_exploration(exploration_id: str) -> ResponseReturnValue:
    """Delete it with its pictures, and go back to the list."""
    try:
        name = grids.get(exploration_id).name
        grids.forget(exploration_id)
    except NotFound:
        flash("This exploration was deleted already.")
    except WrongState:
        flash("A draft has not ended yet; stop the exploration first.")
        return redirect(url_for("pages.confirm_deletion", exploration_id=exploration_id), 303)
    else:
        flash(f"“{name}” was deleted.")
    return redirect(url_for("pages.list_explorations"), 303)
