"""Films written: painted frames at the clip's own times, and the clip's sound."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from farm.clips.clip import Clip
from farm.pictures.pixels import Pixels
from farm.recipe.film_formats import FilmKind


class Sound(enum.StrEnum):
    """What became of a clip's sound."""

    NONE = "none"  # the clip has none, or the format takes none
    COPIED = "copied"  # packet by packet, as it was
    ENCODED = "encoded"  # anew, because the format does not take the clip's own


def write_film(
    frames: Iterable[Pixels],
    clip: Clip,
    numbers: Sequence[int],
    kind: FilmKind,
    source: bytes,
    file: BinaryIO,
) -> Sound:
    """Write a film.

    Args:
        frames: H x W x 3, uint8, sRGB, all of one size, asked for one by one; as many as `numbers`.
        clip: what they were painted from. numbers: of its frames, rising; they give the times.
        source: the clip's file, whose sound is taken, as far as the frames reach.
        file: a new one, seekable; if this raises, it holds half a film.

    Raises:
        OSError: of `file`, as of a full disk. FarmError: the encoder failed.
    """
    raise NotImplementedError
