"""Features and moments that were computed once, for the next rendering of the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from farm.engine.guides import Guides
from farm.recipe import Recipe
from farm.recipe.levels import Level

LARGEST_PIXELS = 512 * 512  # of a level; the values of larger ones would fill the memory

T = TypeVar("T")


class FeatureCache:
    """Features and moments of one photograph and its paintings, at small levels.

    For many small renderings of the same pictures with other settings. Whoever passes it on makes sure
    that the pictures, and the maps over the photograph, are the same.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}

    def get_at_level(self, level: Level, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of a key at a level, computed once unless the level is a large one."""
        if level.pixels > LARGEST_PIXELS:
            return compute()
        return self.get((level.height, level.width, key), compute)

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value of a key, computed once; for what is small however large the pictures are."""
        if key not in self._values:
            self._values[key] = compute()
        value: T = self._values[key]
        return value


class FrameCache(FeatureCache):
    """The cache of one frame of a film: what depends on the paintings alone is the film's, however large
    the level.

    Args:
        film: of all frames with these settings. recipe, guides: of this frame.
    """

    def __init__(self, film: FeatureCache, recipe: Recipe, guides: Guides) -> None:
        super().__init__()
        self._film = film
        frames_too = recipe.moves_colours or recipe.directs_strokes  # paintings change with the frame
        shared = set() if frames_too else {"painting", "style"}
        if guides.masks or guides.keeps:
            shared.discard("style")  # which targets there are follows from the maps
        self._shared = shared

    def get_at_level(self, level: Level, key: Hashable, compute: Callable[[], T]) -> T:
        kind = key[0] if isinstance(key, tuple) else key
        if kind in self._shared:
            return self._film.get((level.height, level.width, key), compute)
        return super().get_at_level(level, key, compute)
