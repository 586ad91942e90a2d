"""Signing in and out, where the farm asks for a token."""

from __future__ import annotations

import re

import structlog
from flask import current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField

from farm.database import sessions
from farm.people import sign_in as links
from farm.people import tokens
from farm.settings import settings
from web.middleware.authentication import SIGNED_IN, WRONG, note_wrong_token
from web.pages import blueprint

BY_LINK = "by_link"  # in the session: its token is this browser's own
WRONG_LINK = "This link was used already or has ended. Ask an operator for another, or give a token."
PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # on this farm: no host, no backslash, nothing unprintable

log = structlog.get_logger()


class SignIn(FlaskForm):
    """Form for a token or a link's secret, and for the page to go to."""

    token = PasswordField("Token")
    link = HiddenField()
    next = HiddenField()


@blueprint.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Ask for a token; `?link=` of a good link: ask whether to use it, since programs that look at
    addresses in messages would use it up."""
    if not settings().require_token:
        return redirect(url_for("pages.show_form"))
    given = {name: request.args.get(name, "") for name in ("next", "link")}
    return _show(SignIn(formdata=None, **given))


def _show(form: SignIn, status: int = 200) -> ResponseReturnValue:
    """Show the form; with a link that is good, for its person alone."""
    person = None
    if form.link.data:
        with sessions.read_session() as reader:
            person = links.find_person(reader, form.link.data)
        if person is None:
            form.link.errors = [WRONG_LINK]
            status = 422
            note_wrong_token()
    return render_template("sign_in.html", form=form, person=person), status


@blueprint.post("/sign-in")
def check_token() -> ResponseReturnValue:
    """Keep the token's digest in the session; revoked, it opens nothing there either. A link is used up
    for a token of this browser's own."""
    form = SignIn()
    if form.link.data:
        return _follow_link(form)
    sha256 = tokens.compute_digest((form.token.data or "").strip())
    with sessions.read_session() as reader:
        token = tokens.find_by_digest(reader, sha256)
    if token is None:
        note_wrong_token()
        form.token.errors = [WRONG]
        return _show(form, 422)
    log.info("signed in", name=token.name)
    session.pop(BY_LINK, None)
    return _keep_signed_in(sha256, form)


def _follow_link(form: SignIn) -> ResponseReturnValue:
    """Sign in by the form's link; where it is good no more, ask for a token."""
    with sessions.write_session() as writer:
        person = links.find_person(writer, form.link.data)
        sha256 = links.use_link(writer, form.link.data)
    if person is None or sha256 is None:
        return _show(form, 422)
    log.info("signed in by link", name=person.name)
    session[BY_LINK] = True
    return _keep_signed_in(sha256, form)


def _keep_signed_in(sha256: str, form: SignIn) -> ResponseReturnValue:
    _renew_csrf_token()
    session.permanent = True
    session[SIGNED_IN] = sha256
    return redirect(_keep_own_path(form.next.data), 303)


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """Forget the token in this browser; one that is this browser's own is revoked."""
    sha256 = session.pop(SIGNED_IN, None)
    if session.pop(BY_LINK, False) and sha256:
        with sessions.write_session() as writer:
            tokens.revoke_by_digest(writer, sha256)
    _renew_csrf_token()
    return redirect(url_for("pages.sign_in"), 303)


def _renew_csrf_token() -> None:
    """Forget the forms' token: what was known before signing in or out sends no form after it."""
    session.pop(current_app.config["WTF_CSRF_FIELD_NAME"], None)


def _keep_own_path(path: str | None) -> str:
    """Return the path if it is one of this farm, else the first page."""
    return path if path and PATH.fullmatch(path) else url_for("pages.show_form")
