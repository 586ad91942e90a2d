"""Workers that are alive."""

from __future__ import annotations

from flask import Response, render_template

from farm.database import sessions
from farm.database.fleet import Worker
from farm.fleet import registry
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.pages.fragments import send_fragment


@blueprint.get("/workers")
def list_workers() -> str:
    """Show the workers that are alive."""
    return render_template("workers.html", workers=_list_alive(), visitor=get_visitor())


@blueprint.get("/workers/list")
def refresh_workers() -> Response:
    """Return the part of it that changes, alone."""
    return send_fragment("_workers.html", workers=_list_alive(), visitor=get_visitor())


def _list_alive() -> list[Worker]:
    with sessions.read_session() as session:
        return registry.list_alive(session)
