"""What besides photograph and paintings steers a rendering, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]  # (H, W), 0 to 255
Source = NDArray[np.float32 | np.uint8]  # (H, W, 3) sRGB, float32 in [0, 1] or bytes


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

    def iterate_named(self) -> Iterator[tuple[str, Mask | Source]]:
        """Yield each array that is given with its name, always in the same order."""
        for number, mask in enumerate(self.masks, start=1):
            yield f"mask {number}", mask
        for name, array in (("keep", self.keep), ("opaque", self.opaque), ("start", self.start)):
            if array is not None:
                yield name, array


NO_GUIDES = Guides()
