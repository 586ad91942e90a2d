"""Deletion of what consists of jobs, an exploration or a film: a page asks first, and offers to stop it
while it is painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.counts import format_count
from farm.database import sessions
from farm.database.models import Exploration, State
from farm.errors import NotFound, WrongState
from farm.explorations import grids
from farm.films import films
from farm.films.parts import read_plan
from web.api.explorations import is_going
from web.files import build_picture_url
from web.pages import blueprint
from web.pages.fragments import send_fragment
from web.pages.shown_film import ShownFilm

SHOWN = 4  # frames of a film


@dataclass(frozen=True)
class ShownPicture:
    """A picture of what may be deleted."""

    src: str
    width: int
    height: int
    begun: bool


@dataclass(frozen=True)
class Deletion:
    """Something that may be deleted, as the page that asks shows it."""

    # What it is called: film or exploration.
    word: str
    name: str
    # Whether it is painted still, and whether somebody can stop that.
    going: bool
    stoppable: bool
    # How far it is, while it is painted.
    progress: str
    # What goes with it.
    means: str
    pictures: Sequence[ShownPicture]
    columns: int
    # Of its page.
    url: str
    stop_url: str
    stop_words: str
    stream_url: str


@blueprint.get("/explore/<job_id:exploration_id>/delete")
@blueprint.get("/films/<job_id:film_id>/delete")
def confirm_deletion(exploration_id: str = "", film_id: str = "") -> str:
    """Ask whether it shall be deleted; while it is painted, offer to stop it."""
    return render_template("deletion.html", deletion=_describe(exploration_id, film_id))


@blueprint.get("/explore/<job_id:exploration_id>/delete/state")
@blueprint.get("/films/<job_id:film_id>/delete/state")
def refresh_deletion(exploration_id: str = "", film_id: str = "") -> Response:
    """Return the part of that page that changes while it is painted, alone."""
    return send_fragment("_deletion.html", deletion=_describe(exploration_id, film_id))


@blueprint.post("/explore/<job_id:exploration_id>/delete")
@blueprint.post("/films/<job_id:film_id>/delete")
def delete(exploration_id: str = "", film_id: str = "") -> ResponseReturnValue:
    """Delete it with its pictures, and go back to a list; where it has not ended, ask again."""
    try:
        name = _describe(exploration_id, film_id).name
        if film_id:
            films.delete(film_id)
        else:
            grids.forget(exploration_id)
    except NotFound:
        flash(f"This {'film' if film_id else 'exploration'} was deleted already.")
    except WrongState:
        early = "part of it" if film_id else "draft"
        stop = "cancel the film" if film_id else "stop the exploration"
        flash(f"A {early} has not ended yet; {stop} first.")
        return redirect(url_for("pages.confirm_deletion", **(request.view_args or {})), 303)
    else:
        flash(f"“{name}” was deleted.")
    return redirect(url_for("pages.list_films" if film_id else "pages.list_explorations"), 303)


def _describe(exploration_id: str = "", film_id: str = "") -> Deletion:
    """Describe what may be deleted.

    Raises:
        NotFound: it was deleted.
    """
    return _describe_film(film_id) if film_id else _describe_exploration(grids.get(exploration_id))


def _describe_exploration(found: Exploration) -> Deletion:
    states = [job.state for job in found.cells]
    left = sum(not state.ended for state in states)
    drafts = "its draft" if len(states) == 1 else f"its {format_count(len(states), 'draft')}"
    return Deletion(
        "exploration",
        found.name,
        is_going(found),
        bool({State.QUEUED, State.RUNNING}.intersection(states)),
        f"{left} of its {format_count(len(states), 'draft')} {'has' if left == 1 else 'have'} not"
        " ended.",
        f"With {drafts}, their pictures and all that is known of them. Large pictures that were painted"
        " from it stay.",
        [
            ShownPicture(build_picture_url(job), job.width, job.height, bool(job.preview_version))
            for job in found.cells
        ],
        len(found.across["labels"]),
        url_for("pages.show_exploration", exploration_id=found.id),
        url_for("pages.cancel_exploration", exploration_id=found.id),
        "Stop the exploration",
        url_for("pages.stream_exploration_changes", exploration_id=found.id),
    )


def _describe_film(film_id: str) -> Deletion:
    film = films.get(film_id)
    with sessions.read_session() as session:
        painted = films.list_painted(session, [film_id])[film_id]
    shown = ShownFilm(film, read_plan(film), painted)
    slots = list(shown.slots)
    return Deletion(
        "film",
        film.name,
        not shown.state.ended,
        shown.stoppable,
        shown.painted_words,
        f"With its {shown.frames_words}, whatever is painted of them, and all that is known of it.",
        [
            ShownPicture(each.src, shown.width, shown.height, each.painted)
            for each in slots[:: -(-len(slots) // SHOWN)]
        ],
        2,
        url_for("pages.show_film", film_id=film_id),
        url_for("pages.cancel_film", film_id=film_id),
        "Cancel the film",
        url_for("pages.stream_film_changes", film_id=film_id),
    )
