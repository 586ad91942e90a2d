"""The part of the submit form that is about films: what a clip is painted as."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flask_wtf import FlaskForm

from farm.database.films import Film
from farm.database.models import Job
from farm.errors import InvalidInput, NotFound, Problem
from farm.films import films
from farm.films.parts import read_settings
from farm.films.settings import FilmSettings
from farm.recipe.film import STILL

FIELD_OF = {  # of the form, by names in FilmSettings and elsewhere
    "format": "film_format",
    "frames": "frames_to",
    "first": "frames_from",
    "end": "frames_to",
    "moving": "kept_moving",
}
OUTSIDE = "must be a frame of the clip, and not before the first one that is painted"
FILM_FIELDS = ("frames_from", "frames_to", "every", "spacing", "film_format", "regions")


def find_kept_film(kept: Job | None) -> Film | None:
    """Find the film that a form's job is a part of; None: it is of none."""
    if kept is None or kept.film_id is None:
        return None
    try:
        return films.get(kept.film_id)
    except NotFound:  # it was deleted meanwhile
        return None


def fill_film_values(film: Film) -> dict[str, Any]:
    """Return values for the form so that sending it makes a film of the same settings."""
    settings = read_settings(film)
    return {
        "name": film.name,
        "webhook_url": film.webhook_url or "",
        "frames_from": str(settings.first + 1),
        "frames_to": "" if settings.end is None else str(settings.end),
        "every": str(settings.every),
        "spacing": str(settings.spacing),
        "film_format": settings.format,
        "regions": settings.regions,
        "kept_moving": settings.moving != STILL,
    }


def read_film_settings(form: FlaskForm, kept: Film | None = None) -> FilmSettings:
    """Read what belongs to a film as a whole; its frames are counted from 1 in the form.

    Args:
        kept: the film that the form was filled in from, whose settings that move can be kept.

    Raises:
        InvalidInput: each setting that is wrong, by the names of `FilmSettings`.
    """
    names = ("frames_from", "frames_to", "every", "spacing")
    first, end, every, spacing = (_read_count(form, name) for name in names)
    values: dict[str, Any] = {"first": (first or 1) - 1, "end": end, "every": every or 1}
    if spacing:
        values["spacing"] = spacing
    if form.film_format.data:  # a page that was loaded before there were films sends none
        values["format"] = form.film_format.data
    if form.regions.data:
        values["regions"] = form.regions.data
    if kept and form.kept_moving.data:
        values["moving"] = read_settings(kept).moving.model_dump()
    return FilmSettings.parse(values)


def _read_count(form: FlaskForm, name: str) -> int | None:
    """Read a field that counts from 1; None: it is empty.

    Raises:
        InvalidInput: it is no such number.
    """
    text = (form[name].data or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise InvalidInput(Problem(name, "must be a whole number from 1"))
    return int(text)


def name_fields(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield problems of a film at the fields of this form."""
    for problem in problems:
        name = problem.field.removeprefix("film.")
        name = name.partition(".")[0] if name.startswith("moving.") else name
        message = OUTSIDE if name == "frames" else problem.message  # which counts from 0
        yield Problem(FIELD_OF.get(name, name if name in FILM_FIELDS else problem.field), message)
