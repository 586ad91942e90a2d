"""Frames of a clip by their numbers, for those who ask for them mostly in rising order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from farm.clips.clip import Clip
from farm.clips.look import read_frames
from farm.pictures.pixels import Pixels
from farm.recipe.picture_sizes import Size


class ClipReader:
    """A clip's frames at one size, decoded as they are asked for; going back begins anew.

    As a context it ends with the block the process that decodes.

    Args:
        data: the clip's file. size: height and width of the frames, px. field: its name for messages.
    """

    def __init__(self, data: bytes, clip: Clip, size: Size, field: str = "clip") -> None:
        self._data, self._count, self._size, self._field = data, clip.frames, size, field
        self._frames: Iterator[Pixels] = iter(())
        self._last: tuple[int, Pixels] | None = None

    def read(self, number: int) -> Pixels:
        """Return a frame, (H, W, 3) sRGB.

        Raises:
            InvalidInput: the clip cannot be decoded, or has no such frame. FarmError: see `read_frames`.
        """
        if self._last is None or number < self._last[0]:
            self.close()
            self._frames = read_frames(self._data, range(number, self._count), self._size, self._field)
            self._last = number, next(self._frames)
        while self._last[0] < number:
            self._last = self._last[0] + 1, next(self._frames)
        return self._last[1]

    def close(self) -> None:
        """End the process that decodes."""
        close = getattr(self._frames, "close", None)
        self._frames, self._last = iter(()), None
        if close:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()
