"""Finished pictures and films, large."""

from __future__ import annotations

import math

from flask import render_template, request

from farm.database import sessions
from farm.database.models import Job, State
from farm.films import lists
from farm.films.lists import ListedFilm
from web.pages import blueprint
from web.pages.jobs import SORTS, keep_question, read_question

PAGE = 30  # pictures in one page
STEPS = 8  # shapes from a square to twice as wide
MAX_STEPS = 12  # steps either way


@blueprint.get("/gallery")
def show_gallery() -> str:
    """Show finished pictures and films; `?q=` in their name, `?sort=`, `?cursor=`."""
    question = read_question(State.SUCCEEDED)
    with sessions.read_session() as session:
        page = lists.page(session, question, cursor=request.args.get("cursor"), limit=PAGE)
    return render_template(
        "gallery.html",
        page=page,
        asked=question,
        kept=keep_question(question),
        sorts=SORTS,
        shape=classify_shape,
    )


def classify_shape(job: Job | ListedFilm) -> int:
    """Return a picture's proportions, from 0 (tall) to 24 (wide), for a class such as `shape-12` of
    site.css: a row of pictures needs to know how wide each is, and pages have no styles of their own."""
    steps = round(math.log2(job.width / job.height) * STEPS)
    return MAX_STEPS + max(-MAX_STEPS, min(MAX_STEPS, steps))
