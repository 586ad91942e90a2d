"""Orders to workers: drain, pause, resume, from the buttons of their page."""

from __future__ import annotations

from collections.abc import Callable

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.fleet import Worker
from farm.errors import NotFound, WrongState
from farm.fleet import operations
from web.middleware.authentication import get_visitor, require_operator
from web.pages import blueprint

ORDERS: dict[str, tuple[Callable[[Session, str, str], Worker], str]] = {
    "drain": (operations.drain, "{} ends as soon as it has no job."),
    "pause": (operations.pause, "{} takes no more jobs until it is resumed."),
    "resume": (operations.resume, "{} takes jobs again."),
}


@blueprint.get("/operators/")
@blueprint.get("/operators/workers")
@require_operator
def show_farm() -> ResponseReturnValue:
    """Lead to the first of the farm's pages."""
    return redirect(url_for("pages.list_workers"), 303)


@blueprint.post("/operators/workers/<any(drain, pause, resume):order>/<path:name>")
@require_operator
def order_worker(order: str, name: str) -> ResponseReturnValue:
    """Carry out an operation in the name of whoever asks."""
    operation, done = ORDERS[order]
    try:
        with sessions.write_session() as session:
            worker = operation(session, name, get_visitor().name)
    except (NotFound, WrongState) as error:
        flash(str(error))
    else:
        flash(done.format(worker.name))
    return redirect(url_for("pages.list_workers", show=request.form.get("show") or None), 303)
