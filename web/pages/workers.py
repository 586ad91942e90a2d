"""Who paints."""

from __future__ import annotations

from flask import render_template

from farm import db, machines
from web.pages import blueprint


@blueprint.get("/workers")
def workers() -> str:
    """Who paints."""
    with db.reading() as session:
        found = machines.alive(session)
    return render_template("workers.html", workers=found)
