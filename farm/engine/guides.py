"""Arrays that steer a rendering besides photograph and paintings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from farm.counts import format_count
from farm.errors import InvalidInput, Problem
from farm.recipe.picture_sizes import NOTHING_LEFT, Size, check_proportion, name_mask

Mask = NDArray[np.uint8]  # (H, W), 0 to 255
Source = NDArray[np.float32 | np.uint8]  # (H, W, 3) sRGB, float32 in [0, 1] or bytes


@dataclass(frozen=True, eq=False)
class Hold:
    """A picture that a frame of a film is held to, of any size, on the CPU."""

    # (1, 3, H, W) float32 in [0, 1].
    picture: Tensor
    # How much each pixel is held, (1, 1, H, W) float32 in [0, 1]; 0 where nothing is known of it.
    weight: Tensor
    # How much of each pixel stays as it is held, of the same shape. None: nothing does.
    stays: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Guides:
    """Maps over the photograph, of any size but its proportion, and the picture to begin from."""

    # For each painting, in their order: 255 where it paints. Empty: every painting everywhere.
    masks: tuple[Mask, ...] = ()
    # 255 where the photograph stays as it is. None: nowhere.
    keep: Mask | None = None
    # The photograph's own alpha: what is transparent is painted by nobody. None: nothing is.
    opaque: Mask | None = None
    # What the first level starts from. None: what the recipe's `init` says.
    start: Source | None = None
    # What a frame of a film is held to. None: nothing.
    hold: Hold | None = None

    @property
    def keeps(self) -> bool:
        """Return whether some of the photograph stays in the picture."""
        return self.keep is not None or self.opaque is not None

    def iterate_named(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield each array that is given with its name, always in the same order."""
        for number, mask in enumerate(self.masks, start=1):
            yield f"mask {number}", mask
        for name, array in (("keep", self.keep), ("opaque", self.opaque), ("start", self.start)):
            if array is not None:
                yield name, array
        if self.hold is not None:
            yield "hold", self.hold.picture[0].numpy()
            yield "hold weight", self.hold.weight[0, 0].numpy()
            if self.hold.stays is not None:
                yield "hold stays", self.hold.stays[0, 0].numpy()

    def check(self, photograph: Size, paintings: int) -> None:
        """Check that the maps go with a photograph of this size, px, and so many paintings. Those of a
        held frame may mark nothing or all: what they were on has left a film, or fills it.

        Raises:
            InvalidInput: one has another proportion or marks nothing, a painting lacks its mask, or
                nothing is left to paint.
        """
        if self.masks and len(self.masks) != paintings:
            these = format_count(paintings, "painting")
            message = f"has {len(self.masks)} for {these}; give one for each, or none"
            raise InvalidInput(Problem("mask", message))
        named = [(name_mask(n, len(self.masks)), mask) for n, mask in enumerate(self.masks, start=1)]
        for name, array in (*named, ("keep", self.keep), ("init", self.start)):
            if array is not None:
                check_proportion(name, (array.shape[0], array.shape[1]), photograph)
        for name, array in (*named, ("keep", self.keep)):
            if array is not None and self.hold is None and not array.any():
                raise InvalidInput(Problem(name, "is black all over, so that it marks nothing"))
        if self.keep is not None and self.hold is None and self.keep.min() == 255:
            raise InvalidInput(Problem("keep", NOTHING_LEFT))
        if self.opaque is not None and not self.opaque.any():
            raise InvalidInput(Problem("content", "is transparent all over; there is nothing to paint"))


NO_GUIDES = Guides()
