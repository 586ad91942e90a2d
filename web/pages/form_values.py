"""Values of the form: a recipe, an axis, a film's settings, read from it and put into it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from flask_wtf import FlaskForm

from farm.counts import format_count
from farm.database.models import Job
from farm.errors import InvalidInput, Problem
from farm.explorations.axes import Axis, axis
from farm.explorations.grids import QUICK_LOOK
from farm.explorations.grids import SIZES as GRID_SIZES
from farm.looks.look import Look
from farm.recipe import Recipe
from farm.recipe.balance import MAX_STOPS, compute_content_weight, find_stops
from farm.recipe.typed_values import format_value
from farm.recipe.versions import SETTINGS_OF
from web.pages.form import ADVANCED, KEPT, PROMINENT, make_defaults

# Where the label, as the subject of a message, would be a plural, and where there is none.
SUBJECTS = {"style": "Painting", "mask": "Mask", "clip": "Clip", "from_job": "The job to grow"}
HIDDEN = ("from_job",)  # nobody sees them, so that no message leads there


def read_recipe(form: FlaskForm) -> Recipe:
    """Read the settings that were typed; what is left empty takes its default.

    Raises:
        InvalidInput: each setting that is wrong.
    """
    values = {name: form[name].data.strip() for name in (*PROMINENT, *ADVANCED) if form[name].data}
    values = {name: text for name, text in values.items() if text}
    values["version"] = form.version.data
    older = [name for name in (*PROMINENT, *ADVANCED) if name in SETTINGS_OF["0.1"]]
    if not form.version.raw_data and all(form[name].raw_data for name in older):
        values["version"] = "0.1"  # a page that was loaded before the upgrade; it sends all it knows
    if "content_weight" not in values:
        usual = make_defaults(values["version"]).content_weight
        values["content_weight"] = compute_content_weight(usual, _read_stops(form.balance.data or "0"))
    return Recipe.parse(values)


def _read_stops(balance: str) -> float:
    """Read the stops of the slider.

    Raises:
        InvalidInput: it is no number, or beyond its ends.
    """
    try:
        stops = float(balance)
    except ValueError:
        stops = math.nan
    if not -MAX_STOPS <= stops <= MAX_STOPS:
        raise InvalidInput(Problem("balance", f"must be a number from -{MAX_STOPS} to {MAX_STOPS}"))
    return stops


def fill_values(job: Job, recipe: Recipe) -> dict[str, Any]:
    """Return values for the form so that sending it makes a picture of this job's by this recipe."""
    values: dict[str, Any] = {
        name: format_value(getattr(recipe, name)) for name in (*PROMINENT, *ADVANCED)
    }
    values["version"] = recipe.version
    if recipe.version == "0.1" and recipe.features == "auto" and job.features:
        values["features"] = job.features  # what auto took then, it may take no more
    stops = find_stops(recipe.content_weight, make_defaults(recipe.version).content_weight)
    if stops is not None:
        values |= {"balance": format_value(stops), "content_weight": ""}
    kept = [f"{KEPT}-{style.position}" for style in job.styles]
    values |= {"name": job.name, "webhook_url": job.webhook_url or "", "tag": job.tag or ""}
    values["kept_guides"] = bool(job.masks or job.keep)
    values["look_taken"] = ""
    return values | {"from_job": job.id, "content_pick": KEPT, "style_pick": kept}


def take_look(form: FlaskForm, look_id: str, look: Look) -> None:
    """Put the settings of a look into the form; size, effort and all that is no part of it stay."""
    form.look_taken.data = look_id
    for name, value in look.manner.items():
        form[name].data = format_value(value)
    set_content_weight(form, look.manner["content_weight"])


def set_content_weight(form: FlaskForm, weight: float) -> None:
    """Put a weight of the photograph into the form: as a place of the slider, if it has such a place."""
    stops = find_stops(weight, make_defaults(form.version.data).content_weight)
    form.balance.data = "0" if stops is None else format_value(stops)
    form.content_weight.data = format_value(weight) if stops is None else ""


def read_axis(form: FlaskForm, field: str, recipe: Recipe) -> Axis:
    """Return what varies along one side of the grid: `-2, 0, 2` in its values, the usual ones if empty.

    Raises:
        InvalidInput: there is no such axis, or a value makes no recipe.
    """
    parts = [part.strip() for part in (form[f"{field}_values"].data or "").split(",")]
    return axis(field, form[field].data or "", recipe, [_parse_value(part) for part in parts if part])


def make_draft(recipe: Recipe) -> Recipe:
    """Return the recipe of a small draft of a picture."""
    size = min(recipe.size, max(GRID_SIZES))
    start = min(recipe.start_size, size)
    return Recipe.parse(
        recipe.model_dump(mode="json") | QUICK_LOOK | {"size": size, "start_size": start}
    )


def _parse_value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def find_unknown_fields(form: FlaskForm, sent: Iterable[str]) -> Iterator[Problem]:
    """Name the first field that this form does not have, and how many others."""
    unknown = sorted(set(sent) - {field.name for field in form})
    if unknown:
        rest = len(unknown) - 1
        others = f", nor {'is' if rest == 1 else 'are'} {format_count(rest, 'other')}" if rest else ""
        yield Problem(unknown[0][:80], f"is not a field of this form{others}")


def show_problems(form: FlaskForm, problems: Iterable[Problem]) -> list[tuple[str, str]]:
    """Put each problem beside its field; return all as (field's id or "", text)."""
    messages = []
    for problem in problems:
        name, _, number = problem.field.partition(".")[0].partition(" ")  # "mask 2"
        if name == "content_weight" and not form.content_weight.data:
            name = "balance"
        title = SUBJECTS.get(name)
        name = "content" if name == "clip" else name  # a clip stands where a photograph does
        field = None if name in HIDDEN else form._fields.get(name)
        title = title or (problem.field if field is None else field.label.text)
        title = f"{title} {number}" if field is not None and number else title
        message = f"{title} {problem.message.removeprefix('input ')}"
        if field is not None:
            field.errors = [*field.errors, message]
        messages.append((name if field is not None else "", message))
    return messages
