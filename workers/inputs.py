"""The pictures of the job at hand, decoded, and what the network has found out about them.

The cells of an exploration are made of the same pictures, one after another: they share both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from farm.database.models import Job, Upload
from farm.engine.feature_cache import FeatureCache
from farm.engine.optimise import Picture


@dataclass(frozen=True)
class Exhibits:
    """A photograph, paintings, and a cache of both."""

    content: Picture
    styles: list[Picture]
    cache: FeatureCache = field(default_factory=FeatureCache)


_kept: tuple[str, Exhibits] | None = None  # of the latest exploration


def exhibits(job: Job, decoded: Callable[[Upload, str], Picture]) -> Exhibits:
    """Those of a job.

    Args:
        decoded: brings an upload, called by what it is to a person.
    """
    global _kept
    if _kept and _kept[0] == job.exploration_id:
        return _kept[1]
    _kept = None  # before the next are decoded, so that both need not fit
    content = decoded(job.content, "photograph")
    styles = [
        decoded(style.upload, f"painting {number}" if job.styles[1:] else "painting")
        for number, style in enumerate(job.styles, 1)
    ]
    found = Exhibits(content, styles)
    if job.exploration_id:
        _kept = (job.exploration_id, found)
    return found
