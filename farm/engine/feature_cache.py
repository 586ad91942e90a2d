"""What was found out about pictures once, for the next rendering of the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from farm.recipe.levels import Level

LARGEST_PIXELS = 512 * 512  # of a level; what is found of larger ones would fill the memory

T = TypeVar("T")


class Memory:
    """Features and moments of one photograph and its paintings, at small levels.

    For many small renderings of the same pictures with other settings. Whoever hands it on sees to it
    that the pictures are the same.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def of(self, level: Level, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` finds for this key at this level, found once."""
        if level.pixels > LARGEST_PIXELS:
            return find()
        return self.always((level.height, level.width, key), find)

    def always(self, key: Hashable, find: Callable[[], T]) -> T:
        """The same for what is small however large the pictures are."""
        if key not in self._found:
            self._found[key] = find()
        found: T = self._found[key]
        return found
