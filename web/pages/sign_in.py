"""Signing in and out, where the farm asks for a token."""

from __future__ import annotations

import re

import structlog
from flask import current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField

from farm.database import sessions
from farm.people import tokens
from farm.settings import settings
from web.middleware.authentication import SIGNED_IN, WRONG, note_wrong_token
from web.pages import blueprint

PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # on this farm: no host, no backslash, nothing unprintable

log = structlog.get_logger()


class SignIn(FlaskForm):
    """Form for a token, and for the page to go to with it."""

    token = PasswordField("Token")
    next = HiddenField()


@blueprint.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Ask for a token."""
    if not settings().require_token:
        return redirect(url_for("pages.show_form"))
    return render_template("sign_in.html", form=SignIn(formdata=None, next=request.args.get("next", "")))


@blueprint.post("/sign-in")
def check_token() -> ResponseReturnValue:
    """Keep the token's digest in the session; revoked, it opens nothing there either."""
    form = SignIn()
    sha256 = tokens.compute_digest((form.token.data or "").strip())
    with sessions.read_session() as reader:
        token = tokens.find_by_digest(reader, sha256)
    if token is None:
        note_wrong_token()
        form.token.errors = [WRONG]
        return render_template("sign_in.html", form=form), 422
    _renew_csrf_token()
    session.permanent = True
    session[SIGNED_IN] = sha256
    log.info("signed in", name=token.name)
    return redirect(_keep_own_path(form.next.data), 303)


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """Forget the token in this browser."""
    session.pop(SIGNED_IN, None)
    _renew_csrf_token()
    return redirect(url_for("pages.sign_in"), 303)


def _renew_csrf_token() -> None:
    """Forget the forms' token: what was known before signing in or out sends no form after it."""
    session.pop(current_app.config["WTF_CSRF_FIELD_NAME"], None)


def _keep_own_path(path: str | None) -> str:
    """Return the path if it is one of this farm, else the first page."""
    return path if path and PATH.fullmatch(path) else url_for("pages.show_form")
