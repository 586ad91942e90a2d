"""The pictures of the job at hand, decoded, and the features of them that were computed already.

The cells of an exploration are made of the same pictures, one after another: they share both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from farm.database.models import Job, Upload
from farm.engine.feature_cache import FeatureCache
from farm.pictures.decode import Decoded
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.recipe.picture_sizes import Size, compute_held_painting, compute_held_photograph


@dataclass(frozen=True)
class Inputs:
    """A photograph, paintings, and a cache of both."""

    # (H, W, 3) sRGB, as are the paintings.
    content: Pixels
    styles: list[Pixels]
    # The photograph's height and width as it was sent.
    size: Size
    cache: FeatureCache = field(default_factory=FeatureCache)


# Returns an upload, under the name that a person knows it by, at the size that is computed from its own.
Decode = Callable[[Upload, str, Callable[[Size], Size]], Decoded]
Key = tuple[str | None, list[Size]]  # an exploration, and the sizes at which its pictures are held

_cached: tuple[Key, Inputs] | None = None  # of the latest exploration


def load_inputs(job: Job, recipe: Recipe, decode: Decode) -> Inputs:
    """Return the inputs of a job, at the sizes at which its recipe needs them."""
    global _cached
    key = job.exploration_id, job.picture_sizes.compute_held(recipe)
    if _cached and _cached[0] == key:
        return _cached[1]
    _cached = None  # before the next are decoded, so that both need not fit
    found = _decode_inputs(job, recipe, decode)
    if job.exploration_id:
        _cached = (key, found)
    return found


def _decode_inputs(job: Job, recipe: Recipe, decode: Decode) -> Inputs:
    content = decode(job.content, "photograph", partial(compute_held_photograph, recipe))
    fit = partial(compute_held_painting, recipe, content.sent)
    styles = [
        decode(style.upload, f"painting {number}" if job.styles[1:] else "painting", fit).pixels
        for number, style in enumerate(job.styles, 1)
    ]
    return Inputs(content.pixels, styles, content.sent)
