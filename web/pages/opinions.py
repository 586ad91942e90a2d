"""Opinions: two pictures to choose between, blindly, and what came of all answers."""

from __future__ import annotations

import secrets

from flask import redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.errors import InvalidInput, Problem
from farm.jobs import comparisons, ratings
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.words import describe_look, format_interval

SIDES = ("left", "right")
SKIP = "skip"


def identify_rater(*, remember: bool = False) -> ratings.Rater:
    """Return whoever sits at this browser.

    Args:
        remember: give a browser a mark that has none, so that it is the same rater from now on.
    """
    if remember:
        cookie.setdefault("rater", secrets.token_hex(16))
    return ratings.Rater.from_browser(cookie.get("rater"), get_visitor())


@blueprint.get("/compare")
def show_pair() -> str:
    """Show two pictures that this rater has not compared, without names or settings."""
    with sessions.read_session() as session:
        pair = comparisons.choose_pair(session, identify_rater(), get_visitor())
    return render_template("compare.html", pair=pair, skip=SKIP)


@blueprint.post("/compare")
def answer_pair() -> ResponseReturnValue:
    """Store which of two pictures is nearer to the painting; on to the next two."""
    shown = [request.form.get(side, "") for side in SIDES]
    choice = request.form.get("nearer", "")
    if choice not in (*SIDES, SKIP):
        raise InvalidInput(Problem("nearer", f"must be {', '.join(SIDES)} or {SKIP}"))
    nearer = None if choice == SKIP else shown[SIDES.index(choice)]
    rater = identify_rater(remember=True)
    with sessions.write_session() as session:
        comparisons.record_answer(session, shown, nearer, rater, get_visitor())
    return redirect(url_for("pages.show_pair"), 303)


@blueprint.get("/opinions")
def show_opinions() -> str:
    """Show the looks by how often they were chosen over others, with stars."""
    with sessions.read_session() as session:
        found = comparisons.rank(session, get_visitor())
    return render_template(
        "opinions.html", ranking=found, describe_look=describe_look, format_interval=format_interval
    )
