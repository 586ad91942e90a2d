"""Who paints."""

from __future__ import annotations

from flask import render_template

from farm.database import sessions
from farm.fleet import registry
from web.pages import blueprint


@blueprint.get("/workers")
def list_workers() -> str:
    """Who paints."""
    with sessions.reading() as session:
        found = registry.list_alive(session)
    return render_template("workers.html", workers=found)
