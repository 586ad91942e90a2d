"""Memory and time of the picture in the form: a part of its page that changes with what is typed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flask import Response, request
from flask_wtf import FlaskForm

from farm.database import sessions
from farm.database.fleet import Worker
from farm.database.models import Upload
from farm.errors import InvalidInput
from farm.explorations import grids
from farm.films.estimates import estimate_film, list_painters
from farm.fleet import registry
from farm.recipe import Recipe
from farm.recipe.film import plan_parts
from farm.recipe.picture_sizes import PictureSizes, Size
from farm.recipe.recipe import MAX_STYLES
from web import words
from web.api.estimates import LONGEST_PHOTOGRAPH, estimate_resized
from web.api.explorations import GridEstimate, estimate_cells
from web.api.schemas import EstimateOut
from web.middleware.authentication import get_visitor
from web.pages import blueprint, clip
from web.pages.film_form import read_film_settings
from web.pages.form import SIZES, PictureForm
from web.pages.form_values import read_axis, read_recipe
from web.pages.fragments import send_fragment


@blueprint.get("/estimate")
def refresh_estimate() -> Response:
    """Return the lines of the form that say what its picture needs: on each usual size, as typed, and as
    a grid. They are empty while a setting is half typed; sending the form says what is wrong.

    `?width=&height=` of the photograph, `painting=WIDTHxHEIGHT` for each painting, px, `masks=` how many
    there are, `keeps=` where a map of what stays will be sent or the photograph has transparency, and
    settings by their names in the form; `clip=` a clip that was sent before, which is painted as a film.
    """
    form = PictureForm(formdata=request.args, meta={"csrf": False})
    photograph = _read_photograph()
    needs: dict[int, EstimateOut | None] = dict.fromkeys(SIZES)
    own: EstimateOut | ShownEstimate | None = None
    grid = None
    if photograph and (recipe := _read_recipe(form)):
        with sessions.read_session() as session:
            workers, painters = registry.list_alive(session), list_painters(session)
        masks = max(0, min(request.args.get("masks", 0, type=int), MAX_STYLES))
        pictures = PictureSizes(photograph, _read_paintings(), masks, "keeps" in request.args)
        needs = {size: estimate_resized(recipe, size, pictures, workers) for size in SIZES}
        if found := clip.find_upload(form.clip.data or "", get_visitor()):
            own = _estimate_film(form, recipe, pictures, found, painters)
        else:
            own = estimate_resized(recipe, recipe.size, pictures, workers)
            grid = _estimate_grid(form, recipe, pictures)
    return send_fragment("_estimate.html", needs=needs, own=own, grid=grid, photograph=photograph)


@dataclass(frozen=True)
class ShownEstimate:
    """What the line below the form says of a film."""

    message: str
    # None: nobody knows.
    fits: bool | None


def _estimate_film(
    form: FlaskForm, recipe: Recipe, pictures: PictureSizes, upload: Upload, workers: list[Worker]
) -> ShownEstimate | None:
    """Estimate the film of a clip, as if it were one shot; None while a setting is half typed."""
    try:
        settings = read_film_settings(form)
        numbers = settings.select_frames(upload.frames)
        parts = plan_parts((0,), numbers, settings.spacing)
        sizes = replace(pictures, holds=settings.spacing)
        found = estimate_film(recipe, sizes, parts, workers)
    except InvalidInput:
        return None
    if found is None:
        height, width = recipe.compute_result_size(*pictures.photograph)
        frames = len(parts[-1].frames)
        return ShownEstimate(words.describe_unknown_film(frames, height, width), None)
    return ShownEstimate(words.describe_film_need(found), found.refusal is None)


def _read_photograph() -> Size | None:
    """Return the photograph's size; None where the browser knows of none."""
    return _read_size(request.args.get("width", ""), request.args.get("height", ""))


def _read_paintings() -> tuple[Size, ...]:
    """Return the sizes of the paintings, as far as the browser knows them."""
    given = [text.partition("x") for text in request.args.getlist("painting")[:MAX_STYLES]]
    found = [_read_size(width, height) for width, _, height in given]
    return tuple(size for size in found if size)


def _read_size(width: str, height: str) -> Size | None:
    sides = [int(text) if text.isdecimal() and len(text) <= 9 else 0 for text in (height, width)]
    return (sides[0], sides[1]) if all(1 <= side <= LONGEST_PHOTOGRAPH for side in sides) else None


def _read_recipe(form: FlaskForm) -> Recipe | None:
    try:
        return read_recipe(form)
    except InvalidInput:
        return None


def _estimate_grid(form: FlaskForm, recipe: Recipe, pictures: PictureSizes) -> GridEstimate | None:
    try:
        across, down = (read_axis(form, field, recipe) for field in ("across", "down"))
        size = request.args.get("cell_size", grids.SIZE, type=int)
        return estimate_cells(recipe, across, down, size, pictures)
    except InvalidInput:
        return None
