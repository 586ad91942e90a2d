"""Explorations: one on its own page while its cells fill in, and the latest."""

from __future__ import annotations

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue

import farm.explore
from farm import db
from web.api.explorations import progress
from web.pages import blueprint

LISTED = 24


@blueprint.get("/explore")
def explorations() -> str:
    """The latest explorations."""
    with db.reading() as session:
        found = farm.explore.newest(session, LISTED)
    return render_template("explorations.html", explorations=found)


@blueprint.get("/explore/<job_id:exploration_id>")
def exploration(exploration_id: str) -> str:
    """The grid. Each cell leads to the form with its settings."""
    found = farm.explore.get(exploration_id)
    going = any(not job.state.ended for job in found.cells)
    return render_template("explore.html", exploration=found, going=going, progress=progress(found))


@blueprint.post("/explore/<job_id:exploration_id>/cancel")
def cancel_exploration(exploration_id: str) -> ResponseReturnValue:
    """Stop what has not ended of it."""
    farm.explore.cancel(exploration_id)
    return redirect(url_for("pages.exploration", exploration_id=exploration_id), 303)
