"""Looks: all that one is offered; one's own renamed, shared, deleted, exported and imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.errors import InvalidInput, NotFound, NotYours
from farm.files import build_file_name
from farm.looks import saved
from farm.looks.look import SETTINGS, Look
from farm.recipe.recipe import get_title
from web.api.looks import list_looks_for, save_as_own, save_look_of
from web.api.requests import find_look
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.words import describe_error, describe_left_out

SHARED = "share"  # in a form: with everybody, or "stop"


@blueprint.get("/looks")
def list_looks() -> str:
    """Show the farm's looks, one's own, and others' that are shared."""
    return _show()


@blueprint.get("/looks/<look_id>/file")
def download_look(look_id: str) -> Response:
    """Send a look as a file, which any farm of this version takes."""
    look = find_look(look_id)
    response = Response(look.to_file().model_dump_json(indent=2), mimetype="application/json")
    name = build_file_name(look.name, ".json")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


@blueprint.post("/looks")
def import_look() -> ResponseReturnValue:
    """Save a look that came as a file; on success back to the list, else the list with what is wrong."""
    file = request.files.get("file")
    try:
        made = save_as_own(Look.from_json(file.read() if file else b""), shared=False)
    except InvalidInput as error:
        named = file and file.filename
        return _show(error=describe_error(error) if named else "Choose a look's file."), error.status
    flash(f"“{made.name}” is among your looks now.")
    return redirect(url_for("pages.list_looks"), 303)


@blueprint.post("/jobs/<job_id:job_id>/look")
def save_look_of_job(job_id: str) -> ResponseReturnValue:
    """Save the look of a job, and go back to it."""
    try:
        made = save_look_of(job_id, request.form.get("name", ""), shared=False)
    except InvalidInput as error:
        flash(f"Not saved as a look: {describe_error(error)}")
    else:
        left_out = describe_left_out(made.left_out)
        flash(f"“{made.name}” is among your looks now, and on the form. {left_out}".rstrip())
    return redirect(url_for("pages.show_job", job_id=job_id), 303)


@blueprint.post("/looks/<look_id>/name")
def rename_look(look_id: str) -> ResponseReturnValue:
    """Give a look another name."""
    return _change(
        lambda session: saved.rename(session, get_visitor(), look_id, request.form.get("name", ""))
    )


@blueprint.post("/looks/<look_id>/share")
def share_look(look_id: str) -> ResponseReturnValue:
    """Share a look with everybody, or no more."""
    shared = request.form.get("shared") == SHARED
    return _change(lambda session: saved.share(session, get_visitor(), look_id, shared=shared))


@blueprint.post("/looks/<look_id>/delete")
def delete_look(look_id: str) -> ResponseReturnValue:
    """Delete a look."""
    return _change(lambda session: saved.delete(session, get_visitor(), look_id), "It was deleted.")


def _change(change: Callable[[Session], object], done: str = "") -> ResponseReturnValue:
    """Change a look, and go back to the list, which says why if that was not to be."""
    try:
        with sessions.write_session() as session:
            change(session)
    except (InvalidInput, NotFound, NotYours) as error:
        flash(describe_error(error))
    else:
        if done:
            flash(done)
    return redirect(url_for("pages.list_looks"), 303)


def _show(**said: Any) -> str:
    looks = list_looks_for(get_visitor())
    return render_template(
        "looks.html",
        own=[look for look in looks if look.mine],
        built_in=[look for look in looks if look.picture],
        others=[look for look in looks if not look.mine and not look.picture],
        accounts=get_visitor().person_id is not None,
        titles={name: get_title(name) for name in SETTINGS},
        **said,
    )
