"""My tokens: made, listed and revoked by the person whose they are."""

from __future__ import annotations

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.people import Person
from farm.errors import InvalidInput, NotFound
from farm.people import tokens
from web.middleware.authentication import get_person_id, get_visitor
from web.pages import blueprint


@blueprint.get("/tokens")
def list_tokens() -> str:
    """Show a person's tokens, the sessions of browsers among them."""
    return _show()


@blueprint.post("/tokens")
def create_token() -> ResponseReturnValue:
    """Make a token, and show it this once."""
    try:
        with sessions.write_session() as session:
            person = session.get_one(Person, get_person_id())
            name, text = tokens.create_own(session, person, request.form.get("name", ""))
    except InvalidInput as error:
        return _show(error=f"{error.problems[0].message}."), error.status
    return _show(made=(name, text)), 201


@blueprint.post("/tokens/revoke")
def revoke_token() -> ResponseReturnValue:
    """Revoke one; whoever is signed in by it is signed out."""
    try:
        with sessions.write_session() as session:
            tokens.revoke_own(session, get_person_id(), request.form.get("name", ""))
    except NotFound as error:
        flash(str(error))
    else:
        flash("The token was revoked. Whatever was signed in by it is signed out.")
    return redirect(url_for("pages.list_tokens"), 303)


def _show(error: str | None = None, made: tuple[str, str] | None = None) -> str:
    with sessions.read_session() as session:
        found = tokens.list_own(session, get_person_id())
    visitor = get_visitor()
    return render_template(
        "tokens.html",
        tokens=found,
        prefix=tokens.build_own_name(visitor.name, ""),
        current=visitor.token_sha256,
        error=error,
        made=made,
    )
