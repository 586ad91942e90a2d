"""The pictures of the job at hand, decoded, and the features of them that were computed already.

The cells of an exploration are made of the same pictures, one after another: they share both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from farm.database.models import Job, Upload
from farm.engine.feature_cache import FeatureCache
from farm.engine.optimise import Picture


@dataclass(frozen=True)
class Inputs:
    """A photograph, paintings, and a cache of both."""

    # float32 (H, W, 3) sRGB in [0, 1], as are the paintings.
    content: Picture
    styles: list[Picture]
    cache: FeatureCache = field(default_factory=FeatureCache)


_cached: tuple[str, Inputs] | None = None  # of the latest exploration


def load_inputs(job: Job, decode: Callable[[Upload, str], Picture]) -> Inputs:
    """Return the inputs of a job.

    Args:
        decode: returns an upload, under the name that a person knows it by.
    """
    global _cached
    if _cached and _cached[0] == job.exploration_id:
        return _cached[1]
    _cached = None  # before the next are decoded, so that both need not fit
    content = decode(job.content, "photograph")
    styles = [
        decode(style.upload, f"painting {number}" if job.styles[1:] else "painting")
        for number, style in enumerate(job.styles, 1)
    ]
    found = Inputs(content, styles)
    if job.exploration_id:
        _cached = (job.exploration_id, found)
    return found
