"""The submit form. Names, limits, defaults and descriptions of settings come from the recipe."""

from __future__ import annotations

from collections.abc import Sequence
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
from farm.explorations.axes import ACROSS, DOWN, KINDS, MAX_VALUES
from farm.explorations.grids import SIZE as CELL_SIZE
from farm.jobs.fields import NAME_LENGTH, TAG_MEANS, WEBHOOK_MEANS
from farm.jobs.guides import INIT_MEANS, KEEP_MEANS, MASK_MEANS
from farm.looks.built_in import USUAL
from farm.looks.look import SETTINGS as LOOK_SETTINGS
from farm.pictures.kinds import ACCEPTED
from farm.recipe import Recipe
from farm.recipe.balance import MAX_STOPS, STEP, list_content_weights
from farm.recipe.film import SPACING
from farm.recipe.film_formats import CLIPS, FILM_FORMATS
from farm.recipe.formats import FORMATS, UPLOADED
from farm.recipe.networks import AUTOMATIC, LAST_RESORT
from farm.recipe.recipe import LARGEST_SIZE, get_title, list_values
from farm.recipe.typed_values import format_value
from farm.recipe.versions import NEWEST, Version
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
    "stroke_arrows",
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
ANY_WORKER = "any that is free"


def _join_types(types: dict[str, tuple[str, ...]]) -> str:
    """Return content types and their suffixes as a file field takes them."""
    return ",".join(part for mime, suffixes in types.items() for part in (mime, *suffixes))


KEPT = "kept"  # prefix of picks that stand for an earlier job's pictures
PICTURE_TYPES = _join_types(UPLOADED)
CONTENT_TYPES = _join_types(UPLOADED | CLIPS)  # a clip may stand where a photograph does


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
        description=f"{INIT_MEANS} It goes with: a picture of your own.",
        render_kw={"accept": PICTURE_TYPES},
    )
    keep = FileField("What stays", description=KEEP_MEANS, render_kw={"accept": PICTURE_TYPES})
    kept_guides = BooleanField("Its regions")
    from_job = HiddenField()
    grow = HiddenField()  # not empty: the finished picture of that job
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
    spacing = _build_frame_field(
        "Anchor every", "Frames; fewer let more workers paint at once.", default=str(SPACING)
    )
    kept_moving = BooleanField("Its settings that move over time")
    film_format = SelectField(
        "File of the film",
        description="With the clip's sound, if it has one.",
        choices=[SelectChoice(known.name, known.title) for known in FILM_FORMATS.values()],
    )
    regions = SelectField(
        "What is painted under Where",
        description="It is painted on the first frame; after a cut it begins anew.",
        choices=[
            SelectChoice("follow", "goes with what it is on"),
            SelectChoice("stay", "stays where it is"),
        ],
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


def make_defaults(version: str | None) -> Recipe:
    """Return the defaults of a version; of the newest where there is none of that name."""
    return Recipe.parse({"version": version if version in list_values(Version) else NEWEST})


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


def list_choices(version: str | None) -> dict[str, Any]:
    """Return what the page needs besides the form, for a recipe of this version."""
    usual = make_defaults(version)
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
