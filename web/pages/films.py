"""Films: one on its own page while its frames are painted, what a person does there, and a list."""

from __future__ import annotations

import json

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.errors import NoRoom, WrongState
from farm.films import films, lists
from farm.films.estimates import estimate_left, list_painters
from farm.films.parts import read_plan
from farm.recipe import Recipe
from farm.recipe.recipe import get_title
from farm.recipe.typed_values import format_value
from farm.webhooks import deliveries
from web import streams
from web.api.webhooks import LARGEST_ID
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.pages.fragments import send_fragment
from web.pages.shown_film import ShownFilm
from web.pages.webhooks import ShownWebhook, send_again

LISTED = 24


def _load(film_id: str) -> ShownFilm:
    """Read all that its page shows.

    Raises:
        NotFound: there is no such film.
    """
    film = films.get(film_id)
    with sessions.read_session() as session:
        painted = films.list_painted(session, [film_id])[film_id]
        shown = ShownFilm(film, read_plan(film), painted)
        shown.left = estimate_left(session, shown.film, shown.painted)
        shown.has_painters = bool(list_painters(session))
    return shown


def take_snapshot(film_id: str) -> streams.Snapshot:
    """Return how a film stands, for a stream.

    Raises:
        NotFound: it was deleted.
    """
    shown = _load(film_id)
    parts = [(part.number, part.state, part.job and part.job.version) for part in shown.parts]
    text = json.dumps([shown.state, shown.painted_runs, parts])
    return streams.Snapshot(text, shown.state.ended)


@blueprint.get("/films")
def list_films() -> str:
    """List the latest films."""
    with sessions.read_session() as session:
        found = lists.list_newest(session, LISTED, get_visitor())
    return render_template("films.html", films=found)


@blueprint.get("/films/<job_id:film_id>")
def show_film(film_id: str) -> str:
    """Show a film: its strip, the player, how far it is."""
    shown = _load(film_id)
    recipe = Recipe.model_validate(shown.film.recipe).model_dump(mode="json")
    return render_template(
        "film.html",
        shown=shown,
        webhook=_load_webhook(film_id),
        recipe={name: format_value(value) for name, value in recipe.items()},
        titles={name: get_title(name) for name in Recipe.model_fields},
        descriptions={name: info.description for name, info in Recipe.model_fields.items()},
    )


@blueprint.get("/films/<job_id:film_id>/strip")
def refresh_film(film_id: str) -> Response:
    """Return the parts of its page that change while it is painted, alone."""
    return send_fragment("_film.html", shown=_load(film_id))


@blueprint.get("/films/<job_id:film_id>/deliveries")
def list_film_deliveries(film_id: str) -> Response:
    """Return the part of its page that says who was notified of its end, alone."""
    return send_fragment("_deliveries.html", webhook=_load_webhook(film_id))


@blueprint.post(f"/films/<job_id:film_id>/deliveries/<int(max={LARGEST_ID}):delivery_id>/retry")
def retry_film_delivery(film_id: str, delivery_id: int) -> ResponseReturnValue:
    """Send one of them now."""
    send_again(films.get(film_id).parts[0].id, delivery_id)
    return redirect(url_for("pages.show_film", film_id=film_id, _anchor="webhook"), 303)


def _load_webhook(film_id: str) -> ShownWebhook | None:
    """Load who is notified of a film's end; None: nobody. Deliveries are kept with its first part."""
    film = films.get(film_id)
    if not film.webhook_url:
        return None
    with sessions.read_session() as session:
        found = deliveries.list_for_job(session, film.parts[0].id)
    return ShownWebhook("film", film.webhook_url, found, film_id=film_id)


@blueprint.get("/films/<job_id:film_id>/changes")
def stream_film_changes(film_id: str) -> Response:
    """Say to its pages, by server-sent events, when it changed."""
    return streams.send_changes([film_id], lambda: take_snapshot(film_id))


@blueprint.post("/films/<job_id:film_id>/cancel")
def cancel_film(film_id: str) -> ResponseReturnValue:
    """Stop it; what is painted stays. `then=delete`: because it is to be deleted."""
    try:
        films.cancel(film_id)
    except WrongState as error:
        flash(str(error))
    place = "confirm_deletion" if request.form.get("then") == "delete" else "show_film"
    return redirect(url_for(f"pages.{place}", film_id=film_id), 303)


@blueprint.post("/films/<job_id:film_id>/retry")
def retry_film(film_id: str) -> ResponseReturnValue:
    """Let it go on with what is not painted."""
    try:
        films.retry(film_id)
    except WrongState as error:
        flash(str(error))
    except NoRoom:  # the page says how full the disk is
        flash("It was not tried again: the farm has no room for it just now.")
    return redirect(url_for("pages.show_film", film_id=film_id), 303)
