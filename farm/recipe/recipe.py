"""Recipe: all that a picture depends on besides pixels, and the only place of its defaults.

The form, the command line, the API and the workers read names, limits and defaults from here.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

from farm.counts import format_count
from farm.errors import InvalidInput, Problem
from farm.recipe.formats import Format
from farm.recipe.networks import list_layer_names
from farm.recipe.problems import EACH, LONGEST_NAME, MAX_PROBLEMS, ONE, Untrusted, parse_untrusted
from farm.recipe.schedules import PRESETS, PRESETS_OF_0_1, Schedule, space_levels
from farm.recipe.typed_values import (
    format_value,
    parse_arrows,
    parse_numbers,
    parse_pairs,
    parse_scales,
)
from farm.recipe.versions import (
    DEFAULTS_OF_0_1,
    FIRST_SETTINGS,
    FIRST_STYLE_LOSSES,
    NEWEST,
    SETTINGS_OF,
    Version,
)

Preset = Literal["draft", "standard", "fine"]
Features = Literal["auto", "vgg19", "vgg16", "vgg16-bsds"]
Precision = Literal["auto", "float32", "winograd", "mixed"]
StyleLoss = Literal["gram", "gram+mean", "wasserstein", "light", "moments", "kernel"]
ContentTarget = Literal["photograph", "attention"]
Optimizer = Literal["adam", "lbfgs"]
Init = Literal["content", "photograph", "recoloured", "picture", "noise", "gray"]
Colour = Literal["painting", "photograph", "lightness"]
StrokeDirection = Literal["free", "photograph"]

SMALLEST_SIZE = 64  # px, longest side
LARGEST_SIZE = 7680  # px, longest side: 8K
MAX_STYLES = 8
MAX_ARROWS = 64
SHORTEST_ARROW = 0.001  # of the sides
MAX_ITERATIONS = 5000  # in one level
SHORTEST_RESULT = 16  # px, shortest side; below it there is nothing to compare
SMALLEST_STYLE = 64  # px, shortest side of an uploaded style: below it relu5_1 sees one point

NOT_LOOK = {
    "size",
    "grown_from",
    "preset",
    "format",
    "iterations",
    "tolerance",
    "precision",
    "features",
    "seed",
    "stroke_arrows",  # are of one photograph
}
CHROMA_VARIATION = 4.0  # see docs/looks.md

Finite = Field(allow_inf_nan=False)
Weight = Annotated[float, Field(ge=0, le=1e6), Finite]
LayerWeights = Annotated[dict[str, Weight], BeforeValidator(parse_pairs)]
Scale = Annotated[float, Field(ge=0.1, le=4.0)]
Arrow = Annotated[  # from x,y to x,y, shares of the sides from the left and from the top
    tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=4, max_length=4)
]
Scales = Annotated[
    Annotated[Scale, Tag(ONE)] | Annotated[tuple[Scale, ...], Field(max_length=MAX_STYLES), Tag(EACH)],
    Discriminator(lambda value: EACH if isinstance(value, list | tuple) and value else ONE),
    BeforeValidator(parse_scales),
]


class Recipe(Untrusted):
    """Validated settings of one picture. Frozen; `model_dump_json` and back is the identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Version = Field(
        NEWEST, description="Defaults and course of iterations are those of this version of the farm."
    )
    size: int = Field(
        512,
        title="Longest side",
        ge=SMALLEST_SIZE,
        le=LARGEST_SIZE,
        description="Longest side of the picture, px.",
    )
    preset: Preset = Field(
        "standard", title="Quality", description="How many iterations each level gets."
    )
    format: Format = Field(
        "png", description="File format of the result. All but JPEG keep the photograph's transparency."
    )
    content_weight: Weight = Field(0.06, description="alpha: how much of the photograph stays.")
    style_weight: Weight = Field(1.0, description="beta: how much of the paintings comes.")
    tv_weight: Weight = Field(
        1.0, title="Smoothness", description="gamma: total variation; higher is smoother."
    )
    content_layers: LayerWeights = Field(
        {"relu4_2": 1.0}, description="Layers that hold the photograph, with weights."
    )
    style_layers: LayerWeights = Field(
        {"relu1_1": 16.0, "relu2_1": 8.0, "relu3_1": 4.0, "relu4_1": 2.0, "relu5_1": 1.0},
        description="Layers that hold the style, with weights.",
    )
    style_loss: StyleLoss = Field(
        "wasserstein",
        description="Distance between style statistics of picture and painting: light is quicker.",
    )
    content_target: ContentTarget = Field(
        "photograph",
        title="What the content is",
        description="What the content layers are drawn to: the photograph's features, or those that"
        " attention finds in the paintings for each of its places.",
    )
    style_scale: Scales = Field(
        1.0,
        title="Size of strokes",
        description="Size of the paintings relative to the picture: one number, or one for each.",
    )
    stroke_direction: StrokeDirection = Field(
        "free",
        title="Direction of strokes",
        description="Whether strokes run as the paintings' statistics allow, or along the photograph's"
        " edges.",
    )
    stroke_arrows: Annotated[
        tuple[Arrow, ...], Field(max_length=MAX_ARROWS), BeforeValidator(parse_arrows)
    ] = Field(
        (),
        title="Arrows for strokes",
        description="Strokes run along these, and between them as the nearest do; with direction"
        " photograph, near them alone. Each is four numbers: from x,y to x,y, 0 to 1 from the left and"
        " from the top.",
    )
    colour: Colour = Field(
        "painting",
        title="Colours",
        description="Whose colours the picture has; lightness: the paintings' lightness alone, in the"
        " photograph's colours.",
    )
    colour_strength: float = Field(
        1.0,
        title="Strength of colours",
        ge=0,
        le=1,
        description="How far towards the photograph's colours; 0: the paintings'.",
    )
    blend: Annotated[tuple[Weight, ...] | None, BeforeValidator(parse_numbers)] = Field(
        None, description="One weight for each painting; equal when left out."
    )
    start_size: int = Field(
        128, ge=32, le=LARGEST_SIZE, description="Longest side of the first level, px."
    )
    grown_from: int | None = Field(
        None,
        ge=SMALLEST_SIZE,
        le=LARGEST_SIZE,
        description="Grow out of the draft of this size: the levels up to it are that draft's, px; with"
        " init picture, the draft is the start.",
    )
    iterations: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_ITERATIONS)], ...] | None,
        Field(max_length=20),
        BeforeValidator(parse_numbers),
    ] = Field(None, description="For all levels, or one for each; the preset's when left out.")
    tolerance: float = Field(
        0.0,
        ge=0,
        le=0.1,
        description="Leave a level when an iteration gains less than this share; 0: never.",
    )
    optimizer: Optimizer = Field("adam", description="What turns gradients into steps.")
    init: Init = Field(
        "content",
        title="Begin from",
        description="What the first level starts from; content: the photograph, recoloured after the"
        " paintings since 0.2; picture: one of your own.",
    )
    seed: int = Field(0, title="Chance", ge=0, lt=2**63, description="Of everything random.")
    precision: Precision = Field("auto", description="How convolutions are computed.")
    features: Features = Field(
        "auto", description="The network whose features are compared; each paints differently."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_version_0_1(cls, values: Any) -> Any:
        """Keep the meaning of old recipes: whole ones that name no version are of 0.1, and a recipe of
        0.1 has the defaults of 0.1."""
        if isinstance(values, dict):
            if "version" not in values and values.keys() >= FIRST_SETTINGS:
                values = {"version": "0.1", **values}
            if values.get("version") == "0.1":
                values = {**DEFAULTS_OF_0_1, **values}
        return values

    @model_serializer(mode="wrap")
    def _leave_out_later(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out settings that came after this version and have their defaults: what is kept of a
        recipe is then as it was before there were any, and machines that know none can read it."""
        values: dict[str, Any] = dump(self)
        later = values.keys() - SETTINGS_OF[NEWEST]
        fields = type(self).model_fields
        return {
            k: v for k, v in values.items() if k not in later or getattr(self, k) != fields[k].default
        }

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        known = list_layer_names(self.features)
        for field, layers in (("content", self.content_layers), ("style", self.style_layers)):
            unknown = [name[:LONGEST_NAME] or "a nameless one" for name in layers if name not in known]
            if unknown:
                named = ", ".join(unknown[:MAX_PROBLEMS])
                message = f"has {named}, which is not a layer of {self.features}; there are "
                message += ", ".join(known)
                raise ValueError(f"{field}_layers: {message}")
        return self

    @model_validator(mode="after")
    def _iterations_for_each_level(self) -> Self:
        listed = self.iterations or (1,)
        if len(listed) not in (1, len(sizes := self.level_sizes[len(self.draft_sizes) :])):
            found = ", ".join(str(size) for size in sizes)
            there = "is" if len(sizes) == 1 else "are"
            message = f"lists {format_count(len(listed), 'level')}; there {there} {len(sizes)}: {found}"
            raise ValueError(f"iterations: {message}")
        return self

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if not self.style_weight or not sum(self.style_layers.values()):
            raise ValueError("style_weight: must not be 0, nor may all weights of style_layers be")
        if self.blend is not None and not sum(self.blend):
            raise ValueError("blend: must not be 0 for each painting")
        return self

    @model_validator(mode="after")
    def _arrows_have_length(self) -> Self:
        for number, (x0, y0, x1, y1) in enumerate(self.stroke_arrows, start=1):
            if math.hypot(x1 - x0, y1 - y0) < SHORTEST_ARROW:
                place = f"{format_value(x0)},{format_value(y0)}"
                raise ValueError(f"stroke_arrows: number {number}, at {place}, has no length")
        return self

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Validate untrusted values.

        Raises:
            InvalidInput: naming each field that is wrong and its limit.
        """
        return parse_untrusted(cls, values, "recipe")

    def dump_given(self) -> str:
        """Return the JSON of the settings that were given: the same in all versions that know them."""
        return self.model_dump_json(exclude_unset=True)

    def list_given(self) -> dict[str, Any]:
        """Return the settings that were given, those too that have their defaults."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name in self.model_fields_set
        }

    def convert_to(self, version: Version) -> Self | None:
        """Return what this version of the farm would have made of the settings that were given, with its
        own defaults for the others; None: it would have refused them."""
        given = self.model_dump(mode="json", exclude_unset=True)
        if version == "0.1" and given.pop("version", "0.1") != "0.1":  # it had no such field
            return None
        try:
            old = type(self).model_validate({"version": version} | given)
        except ValidationError:
            return None
        later = old._find_later(version) or old.style_loss not in FIRST_STYLE_LOSSES
        return None if later else old

    def dump_settings_of(self, version: Version) -> str:
        """Return the JSON of the settings that this version had, as its digests of requests took it."""
        return self.model_dump_json(include=set(SETTINGS_OF[version]))

    def _find_later(self, version: Version) -> set[str]:
        """Find the settings that came after this version and do not have their defaults."""
        fields = type(self).model_fields.items()
        later = {name: info.default for name, info in fields if name not in SETTINGS_OF[version]}
        later.pop("version", None)  # no setting, but says what the others mean
        return {name for name, default in later.items() if getattr(self, name) != default}

    def normalise_blend(self, styles: int) -> tuple[float, ...]:
        """Return the paintings' weights, scaled to sum to 1.

        Raises:
            InvalidInput: when `blend` does not have one weight for each of `styles` paintings.
        """
        weights = self.blend or (1.0,) * styles
        if len(weights) != styles:
            message = f"has {_count_for(len(weights), 'weight', styles)}"
            raise InvalidInput(Problem("blend", message))
        return tuple(weight / sum(weights) for weight in weights)

    def begin_with_picture(self) -> Self:
        """Return the recipe of a picture that begins from one of its sender's.

        Raises:
            InvalidInput: it asks for another start.
        """
        if self.init not in ("content", "picture"):
            message = f"is {self.init}, but a picture to begin from came, too"
            raise InvalidInput(Problem("init", message))
        return self.model_copy(update={"init": "picture"})

    def list_style_scales(self, styles: int) -> tuple[float, ...]:
        """Return `style_scale` for each of `styles` paintings.

        Raises:
            InvalidInput: there is not one for each.
        """
        scales = self.style_scale
        if not isinstance(scales, tuple):
            return (scales,) * styles
        if len(scales) != styles:
            message = f"has {_count_for(len(scales), 'size', styles)}"
            raise InvalidInput(Problem("style_scale", message))
        return scales

    def check_number_of_paintings(self, styles: int) -> None:
        """Check that what is listed for each painting goes with this many.

        Raises:
            InvalidInput: it does not.
        """
        self.normalise_blend(styles)
        self.list_style_scales(styles)

    @property
    def look(self) -> str:
        """SHA-256 of the settings that make the look of a picture; the others make it larger, more
        refined, or another file."""
        settings = SETTINGS_OF[self.version] | self._find_later(self.version)
        manner = self.model_dump(mode="json", include=set(settings - NOT_LOOK))
        return hashlib.sha256(json.dumps(manner, sort_keys=True).encode()).hexdigest()

    @property
    def chroma_variation(self) -> float:
        """Weight of differences of colour in total variation, over that of differences of light."""
        return 1.0 if self.version == "0.1" else CHROMA_VARIATION

    @property
    def starts_recoloured(self) -> bool:
        """Return whether a start from the photograph takes the paintings' colours; since version 0.2,
        where `init` leaves it open."""
        return self.init == "recoloured" or (self.init == "content" and self.version != "0.1")

    @property
    def moves_colours(self) -> bool:
        """Return whether the paintings' colours are moved to the photograph's before they are used."""
        return self.colour == "photograph" and self.colour_strength > 0

    @property
    def directs_strokes(self) -> bool:
        """Return whether strokes follow photograph or arrows, for which each painting is turned."""
        return self.stroke_direction == "photograph" or bool(self.stroke_arrows)

    @property
    def schedules(self) -> dict[str, Schedule]:
        """Schedules of the presets in this recipe's version."""
        return PRESETS_OF_0_1 if self.version == "0.1" else PRESETS

    @property
    def begins_after_draft(self) -> bool:
        """Return whether the start is a finished draft, on whose pixels the larger levels go on."""
        return self.init == "picture" and bool(self._drafted_sizes)

    @property
    def drafted_share(self) -> float:
        """Pixels of the draft that this picture grows out of, over its own; 0 without one."""
        return ((self.grown_from or 0) / self.size) ** 2

    @property
    def level_sizes(self) -> list[int]:
        """Longest sides from about `start_size` to exactly `size`, px; of a picture that grows out of a
        draft, the draft's first, or, where the draft is the start, those beyond it alone."""
        draft, growth = self._drafted_sizes, self.schedules[self.preset].growth
        if not draft:
            return space_levels(self.start_size, self.size, growth)
        return self.draft_sizes + (space_levels(draft[-1], self.size, growth)[1:] or [self.size])

    @property
    def draft_sizes(self) -> list[int]:
        """Longest sides of the draft's levels that this picture has first, px; none without one."""
        return [] if self.begins_after_draft else self._drafted_sizes

    @property
    def _drafted_sizes(self) -> list[int]:
        """Longest sides of the levels of the draft that this picture grows out of, px."""
        if self.grown_from is None or self.grown_from >= self.size:
            return []
        start = min(self.start_size, self.grown_from)
        return space_levels(start, self.grown_from, self.schedules["draft"].growth)

    @property
    def level_iterations(self) -> tuple[int, ...]:
        """For each of `level_sizes`. `iterations`, if given, is for those that are not a draft's."""
        draft, larger = len(self._drafted_sizes), len(self.level_sizes) - len(self.draft_sizes)
        schedule = self.schedules[self.preset].compute_iterations(draft + larger)
        own = self.iterations or schedule[draft:]
        if len(own) == 1:
            own *= larger
        if not self.draft_sizes:
            return own
        return self.schedules["draft"].compute_iterations(draft) + own

    def compute_result_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the result for a content picture of this size, in px.

        Raises:
            InvalidInput: the result would be too narrow.
        """
        out = self.compute_picture_size(height, width)
        if min(out) < SHORTEST_RESULT:
            message = f"{self.size} makes {out[1]} x {out[0]} px of this photograph"
            raise InvalidInput(Problem("size", f"{message}; each side needs {SHORTEST_RESULT}"))
        return out

    def compute_picture_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of a level whose longest side is `size`, in px."""
        scale = self.size / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))


def _count_for(count: int, unit: str, styles: int) -> str:
    """Return `2 weights for 1 painting`."""
    return f"{format_count(count, unit)} for {format_count(styles, 'painting')}"


def list_values(kind: Any) -> tuple[str, ...]:
    """List the values that a Literal allows."""
    return get_args(kind)


def get_title(name: str) -> str:
    """Return a setting's one name for people, on the form, on pages and along the axes of a grid."""
    return Recipe.model_fields[name].title or name.replace("_", " ").capitalize()
