"""The submit form. Names, limits, defaults and descriptions of settings come from the recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from flask_wtf import FlaskForm
from pydantic.fields import FieldInfo
from wtforms import (
    BooleanField,
    Field,
    FileField,
    HiddenField,
    MultipleFileField,
    RadioField,
    SelectChoice,
    SelectField,
    SelectMultipleField,
    StringField,
)
from wtforms.widgets import NumberInput, RangeInput

from farm.database.models import WEBHOOK_LENGTH, Job
from farm.database.people import NAME_LENGTH as LOOK_NAME_LENGTH
from farm.errors import InvalidInput, Problem
from farm.explorations.axes import ACROSS, DOWN, KINDS, MAX_VALUES, Axis, axis
from farm.explorations.grids import QUICK_LOOK
from farm.explorations.grids import SIZE as CELL_SIZE
from farm.explorations.grids import SIZES as GRID_SIZES
from farm.films.settings import FilmSettings
from farm.jobs.fields import NAME_LENGTH, TAG_MEANS, WEBHOOK_MEANS
from farm.jobs.guides import INIT_MEANS, KEEP_MEANS, MASK_MEANS
from farm.looks.built_in import USUAL
from farm.looks.look import SETTINGS as LOOK_SETTINGS
from farm.looks.look import Look
from farm.pictures.kinds import ACCEPTED
from farm.recipe import Recipe
from farm.recipe.balance import MAX_STOPS, STEP, compute_content_weight, find_stops, list_content_weights
from farm.recipe.film_formats import CLIPS, FILM_FORMATS
from farm.recipe.formats import FORMATS, UPLOADED
from farm.recipe.networks import AUTOMATIC, LAST_RESORT
from farm.recipe.recipe import LARGEST_SIZE, get_title, list_values
from farm.recipe.typed_values import format_value
from farm.recipe.versions import NEWEST, SETTINGS_OF, Version
from web.samples import CONTENTS, STYLES, list_offered

SIZES = {
    256: "a quick look",
    512: "small",
    768: "medium",
    1024: "for a screen",
    1536: "large",
    2048: "2K",
    3072: "3K, an A4 print",
    4096: "4K",
    5120: "5K",
    7680: "8K",
}
PRESET_WORDS = {
    "draft": "A first impression, soon",
    "standard": "Worth hanging up",
    "fine": "Every stroke, slowly",
}
NETWORK_WORDS = {
    "auto": f"auto: {', else '.join(AUTOMATIC)}",
    LAST_RESORT: f"{LAST_RESORT}, poorer",
}
OPTION_WORDS: dict[str, dict[str, str]] = {  # where the value alone says too little
    "format": {known.name: known.title for known in FORMATS.values()},
    "features": NETWORK_WORDS,
    "colour": {
        "painting": "the paintings'",
        "photograph": "the photograph's",
        "lightness": "the photograph's; only light and dark are painted",
    },
    "stroke_direction": {
        "free": "as the paintings have them",
        "photograph": "along what is on the photograph",
    },
    "init": {
        "content": "the photograph, as usual",
        "photograph": "the photograph as it is",
        "recoloured": "the photograph in the paintings' colours",
        "picture": "a picture of your own",
        "gray": "grey",
    },
}
PROMINENT = ("size", "preset", "style_scale", "tv_weight")  # of the recipe; the others are folded away
MAX_PHOTOGRAPHS = 50  # chosen at once; each is sent as a picture of its own
ADVANCED = (
    "format",
    "content_weight",
    "style_weight",
    "colour",
    "colour_strength",
    "stroke_direction",
    "blend",
    "style_loss",
    "style_layers",
    "content_layers",
    "content_target",
    "init",
    "start_size",
    "grown_from",
    "iterations",
    "seed",
    "tolerance",
    "optimizer",
    "precision",
    "features",
)
AXES = [
    SelectChoice(
        name, kind.title, render_kw={"data-usual": format_value(kind.values).replace(",", ", ")}
    )
    for name, kind in KINDS.items()
]
CELL_SIZES = {128: "a glance", 192: "small", 256: "as usual", 384: "as large as may be"}
VALUES = {"spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}
# Where the label, as the subject of a message, would be a plural.
SINGULAR = {"style": "Painting", "mask": "Mask", "clip": "Clip"}
ANY_WORKER = "any that is free"


def _join_types(types: dict[str, tuple[str, ...]]) -> str:
    """Return content types and their suffixes as a file field takes them."""
    return ",".join(part for mime, suffixes in types.items() for part in (mime, *suffixes))


KEPT = "kept"  # prefix of picks that stand for an earlier job's pictures
PICTURE_TYPES = _join_types(UPLOADED)
CONTENT_TYPES = _join_types(UPLOADED | CLIPS)  # a clip may stand where a photograph does
FIELD_OF = {  # of the form, by names in FilmSettings and elsewhere
    "format": "film_format",
    "frames": "frames_to",
    "first": "frames_from",
    "end": "frames_to",
}
OUTSIDE = "must be a frame of the clip, and not before the first one that is painted"
FILM_FIELDS = ("frames_from", "frames_to", "every", "film_format")


def _build_frame_field(title: str, description: str, default: str = "") -> Field:
    limits = {"min": "1", "step": "1", "inputmode": "numeric"}
    return StringField(
        title, description=description, default=default, widget=NumberInput(), render_kw=limits
    )


class _Choices(SelectMultipleField):
    """Checkboxes whose values are judged by the page that knows what was offered."""

    def pre_validate(self, form: Any) -> None:
        pass


class _Form(FlaskForm):
    content = FileField("Photograph", render_kw={"accept": CONTENT_TYPES})
    clip = HiddenField()  # SHA-256 of a clip that was sent and checked before
    clip_name = HiddenField()  # of its file
    style = MultipleFileField("Paintings", render_kw={"accept": PICTURE_TYPES})
    content_pick = StringField("Sample photograph")
    style_pick = _Choices("Sample paintings", choices=[])
    mask = MultipleFileField(
        "Masks", description=MASK_MEANS, render_kw={"accept": PICTURE_TYPES, "multiple": True}
    )
    start = FileField(
        "Picture to begin from",
        description=f"{INIT_MEANS} For init: picture.",
        render_kw={"accept": PICTURE_TYPES},
    )
    keep = FileField("What stays", description=KEEP_MEANS, render_kw={"accept": PICTURE_TYPES})
    kept_guides = BooleanField("Its regions")
    from_job = HiddenField()
    version = HiddenField(default=NEWEST)  # of the recipe
    once = HiddenField()
    name = StringField("Name", render_kw={"maxlength": NAME_LENGTH, "placeholder": "Untitled"})
    webhook_url = StringField(
        "Webhook",
        description=f"{WEBHOOK_MEANS} It may stay empty.",
        render_kw={
            "maxlength": WEBHOOK_LENGTH,
            "inputmode": "url",
            "placeholder": "https://",
            "spellcheck": "false",
            "autocapitalize": "off",
            "autocomplete": "off",
        },
    )
    tag = SelectField(
        "Workers",
        description=f"{TAG_MEANS} Drafts of an exploration go to any.",
        choices=[SelectChoice("", ANY_WORKER)],
        validate_choice=False,
    )
    frames_from = _build_frame_field("From frame", "Counted from 1.", default="1")
    frames_to = _build_frame_field("To frame", "Left empty, to the clip's end.")
    every = _build_frame_field("Every nth frame", "2 paints each second one, 3 each third.", default="1")
    film_format = SelectField(
        "File of the film",
        description="With the clip's sound, if it has one.",
        choices=[SelectChoice(known.name, known.title) for known in FILM_FORMATS.values()],
    )
    look = HiddenField()  # of a button: its look is to be taken
    look_taken = HiddenField(default=USUAL)  # while no setting of it was changed
    look_name = StringField(
        "Name of the look", render_kw={"maxlength": LOOK_NAME_LENGTH, "autocomplete": "off"}
    )
    look_shared = BooleanField("Share it with everybody")
    balance = StringField("Balance", default="0", widget=RangeInput())
    across = SelectField("Across", choices=AXES, default=ACROSS, validate_choice=False)
    across_values = StringField("Values across", render_kw=VALUES)
    down = SelectField("Down", choices=AXES, default=DOWN, validate_choice=False)
    down_values = StringField("Values down", render_kw=VALUES)
    cell_size = SelectField(
        "Size of a draft",
        choices=[SelectChoice(str(size), f"{size} px, {words}") for size, words in CELL_SIZES.items()],
        default=str(CELL_SIZE),
        validate_choice=False,
    )


def _build_field(name: str) -> Field:
    """Build the form field of one setting of the recipe."""
    info = Recipe.model_fields[name]
    options: dict[str, Any] = {"description": info.description, "default": format_value(info.default)}
    if name == "content_weight":  # the balance sets it, unless it is typed in
        options["default"] = ""
    title = get_title(name)
    if name == "preset":
        return RadioField(
            title, choices=[SelectChoice(c, c.capitalize()) for c in _read_literal(info)], **options
        )
    if _read_literal(info):
        words = OPTION_WORDS.get(name, {})
        choices = [SelectChoice(c, words.get(c, c)) for c in _read_literal(info)]
        return SelectField(title, choices=choices, **options)
    if info.annotation in (int, float):
        return StringField(title, widget=NumberInput(), render_kw=_read_limits(info), **options)
    return StringField(title, render_kw={"spellcheck": "false", "autocapitalize": "off"}, **options)


def _read_literal(info: FieldInfo) -> tuple[str, ...]:
    return get_args(info.annotation) if get_origin(info.annotation) is Literal else ()


def _read_limits(info: FieldInfo) -> dict[str, Any]:
    """Return the limits that the browser checks before it sends."""
    found: dict[str, Any] = {"step": "1" if info.annotation is int else "any"}
    for limit in info.metadata:
        for theirs, ours in (("ge", "min"), ("le", "max")):
            if getattr(limit, theirs, None) is not None:
                found[ours] = format_value(getattr(limit, theirs))
    return found


PictureForm = type(
    "PictureForm", (_Form,), {name: _build_field(name) for name in (*PROMINENT, *ADVANCED)}
)


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
        usual = _make_defaults(values["version"]).content_weight
        values["content_weight"] = compute_content_weight(usual, _read_stops(form.balance.data or "0"))
    return Recipe.parse(values)


def _make_defaults(version: str | None) -> Recipe:
    """Return the defaults of a version; of the newest where there is none of that name."""
    return Recipe.parse({"version": version if version in list_values(Version) else NEWEST})


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
    stops = find_stops(recipe.content_weight, _make_defaults(recipe.version).content_weight)
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
    stops = find_stops(weight, _make_defaults(form.version.data).content_weight)
    form.balance.data = "0" if stops is None else format_value(stops)
    form.content_weight.data = format_value(weight) if stops is None else ""


def read_axis(form: FlaskForm, field: str, recipe: Recipe) -> Axis:
    """Return what varies along one side of the grid: `-2, 0, 2` in its values, the usual ones if empty.

    Raises:
        InvalidInput: there is no such axis, or a value makes no recipe.
    """
    parts = [part.strip() for part in (form[f"{field}_values"].data or "").split(",")]
    return axis(field, form[field].data or "", recipe, [_parse_value(part) for part in parts if part])


def read_film_settings(form: FlaskForm) -> FilmSettings:
    """Read what belongs to a film as a whole; its frames are counted from 1 in the form.

    Raises:
        InvalidInput: each setting that is wrong, by the names of `FilmSettings`.
    """
    first, end, every = (_read_count(form, name) for name in ("frames_from", "frames_to", "every"))
    values: dict[str, Any] = {"first": (first or 1) - 1, "end": end, "every": every or 1}
    if form.film_format.data:  # a page that was loaded before there were films sends none
        values["format"] = form.film_format.data
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
        message = OUTSIDE if name == "frames" else problem.message  # which counts from 0
        yield Problem(FIELD_OF.get(name, problem.field), message)


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


def offer_tags(form: FlaskForm, tags: Sequence[str]) -> bool:
    """Offer the tags that workers have, and the one that the form has already; False: there is none."""
    known = sorted({*tags, form.tag.data or ""} - {""})
    form.tag.choices = [
        SelectChoice("", ANY_WORKER),
        *(SelectChoice(tag, tag if tag in tags else f"{tag}, which no worker has now") for tag in known),
    ]
    return bool(known)


def find_larger_size(job: Job) -> int | None:
    """Return the next usual size; None: there is no larger one."""
    return next((size for size in SIZES if size > max(job.width, job.height)), None)


def find_unknown_fields(form: FlaskForm, sent: Iterable[str]) -> Iterator[Problem]:
    """Name the first field that this form does not have, and how many others."""
    unknown = sorted(set(sent) - {field.name for field in form})
    if unknown:
        others = f", nor are {len(unknown) - 1} others" if unknown[1:] else ""
        yield Problem(unknown[0][:80], f"is not a field of this form{others}")


def show_problems(form: FlaskForm, problems: Iterable[Problem]) -> list[tuple[str, str]]:
    """Put each problem beside its field; return all as (field's id or "", text)."""
    messages = []
    for problem in problems:
        name, _, number = problem.field.partition(".")[0].partition(" ")  # "mask 2"
        if name == "content_weight" and not form.content_weight.data:
            name = "balance"
        title = SINGULAR.get(name)
        name = "content" if name == "clip" else name  # a clip stands where a photograph does
        field = form._fields.get(name)
        title = title or (problem.field if field is None else field.label.text)
        title = f"{title} {number}" if field is not None and number else title
        message = f"{title} {problem.message.removeprefix('input ')}"
        if field is not None:
            field.errors = [*field.errors, message]
        messages.append((name if field is not None else "", message))
    return messages


def list_choices(version: str | None) -> dict[str, Any]:
    """Return what the page needs besides the form, for a recipe of this version."""
    usual = _make_defaults(version)
    return {
        "sample_contents": list_offered(CONTENTS),
        "sample_styles": list_offered(STYLES),
        "sizes": SIZES,
        "largest": LARGEST_SIZE,
        "presets": {name: (words, usual.schedules[name]) for name, words in PRESET_WORDS.items()},
        "balance_stops": MAX_STOPS,
        "balance_step": STEP,
        "content_weight": usual.content_weight,
        "content_weights": list_content_weights(usual.content_weight),
        "accepted": ACCEPTED,
        "advanced": ADVANCED,
        "most_values": MAX_VALUES,
        "most_photographs": MAX_PHOTOGRAPHS,
        "usual_scale": format_value(usual.style_scale),
        "usual_smoothness": format_value(usual.tv_weight),
        "settings": (*PROMINENT, *ADVANCED, "version"),
        "newest": NEWEST,
        "look_settings": LOOK_SETTINGS,
    }
