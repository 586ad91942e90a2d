"""The pictures of the job at hand, decoded, and the features of them that were computed already.

The cells of an exploration are made of the same pictures, one after another: they share both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from farm.database.models import Job, JobPicture, Upload
from farm.engine.feature_cache import FeatureCache
from farm.engine.guides import NO_GUIDES, Guides
from farm.pictures.decode import Channels
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.recipe.picture_sizes import (
    Size,
    compute_held_map,
    compute_held_painting,
    compute_held_photograph,
    compute_held_start,
)
from workers import decoding

PHOTOGRAPH = "photograph"


@dataclass(frozen=True)
class Inputs:
    """A photograph, paintings, what else steers them, and a cache of all."""

    # (H, W, 3) sRGB, as are the paintings.
    content: Pixels
    styles: list[Pixels]
    # The photograph's height and width as it was sent.
    size: Size
    guides: Guides = NO_GUIDES
    cache: FeatureCache = field(default_factory=FeatureCache)


# Returns the bytes of an upload, which a person knows by this name. Raises RenderFailed: they are gone.
Read = Callable[[Upload, str], bytes]
Key = tuple[str | None, list[Size]]  # an exploration, and the sizes at which its pictures are held

_cached: tuple[Key, Inputs] | None = None  # of the latest exploration


def load_inputs(job: Job, recipe: Recipe, read: Read) -> Inputs:
    """Return the inputs of a job, at the sizes at which its recipe needs them.

    Raises:
        RenderFailed: what is stored is not what was sent, or it is gone. InvalidInput: it is no picture
            that can be decoded here.
    """
    global _cached
    key = job.exploration_id, job.picture_sizes.compute_held(recipe)
    if _cached and _cached[0] == key:
        return _cached[1]
    _cached = None  # before the next are decoded, so that both need not fit
    found = _decode_inputs(job, recipe, read)
    if job.exploration_id:
        _cached = (key, found)
    return found


def _decode_inputs(job: Job, recipe: Recipe, read: Read) -> Inputs:
    fit_photograph = partial(compute_held_photograph, recipe)
    data = read(job.content, PHOTOGRAPH)
    content = decoding.decode(data, PHOTOGRAPH, fit_photograph, Channels.COLOUR_AND_ALPHA)
    styles = _decode_paintings(job, recipe, read, content.sent)
    guides = _decode_maps(job, recipe, read)
    start = None
    if job.start:
        fit = partial(compute_held_start, recipe, content.sent)
        start = decoding.decode(read(job.start.upload, "start"), "start", fit).pixels
    guides = replace(guides, opaque=content.alpha, start=start)
    return Inputs(content.pixels, styles, content.sent, guides)


@dataclass(frozen=True)
class FilmInputs:
    """What all frames of a film are made with."""

    # (H, W, 3) sRGB each.
    styles: list[Pixels]
    guides: Guides


def load_film_inputs(job: Job, recipe: Recipe, clip: Size, read: Read) -> FilmInputs:
    """Return the inputs of a part of a film but for the clip, whose frames are of this height and width.

    Raises:
        RenderFailed, InvalidInput: as `load_inputs`.
    """
    return FilmInputs(_decode_paintings(job, recipe, read, clip), _decode_maps(job, recipe, read))


def _decode_paintings(job: Job, recipe: Recipe, read: Read, photograph: Size) -> list[Pixels]:
    fit = partial(compute_held_painting, recipe, photograph)
    scales, labels = recipe.list_style_scales(len(job.styles)), _number("painting", job.styles)
    return [
        decoding.decode(read(style.upload, label), label, partial(fit, scale=scale)).pixels
        for label, style, scale in zip(labels, job.styles, scales, strict=True)
    ]


def _decode_maps(job: Job, recipe: Recipe, read: Read) -> Guides:
    """Return the masks, and what stays."""

    def decode_map(picture: JobPicture, label: str) -> Pixels:
        data = read(picture.upload, label)
        return decoding.decode_map(data, label, partial(compute_held_map, recipe))

    return Guides(
        masks=tuple(map(decode_map, job.masks, _number("mask", job.masks))),
        keep=decode_map(job.keep, "map of what stays") if job.keep else None,
    )


def _number(label: str, pictures: Sequence[JobPicture]) -> list[str]:
    """Return the names that a person knows these by; one alone has no number."""
    if not pictures[1:]:
        return [label] * len(pictures)
    return [f"{label} {number}" for number, _ in enumerate(pictures, 1)]
