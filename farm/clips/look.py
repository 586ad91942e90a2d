"""Clips of strangers, looked at and decoded in a process of their own (`clip_process.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farm.clips.clip import Clip
from farm.pictures.pixels import Pixels
from farm.recipe.picture_sizes import Size


def check_clip(data: bytes, field: str) -> tuple[Clip, bytes]:
    """Decode a clip to its end, within the limits of the settings.

    Args:
        data: the file: MP4, MOV, WebM, MKV, GIF, animated WebP or PNG, or a zip of frames.
        field: its name in the form, for messages.

    Returns:
        what is known of it, and a thumbnail of its first frame, JPEG.

    Raises:
        InvalidInput and its kin: what is wrong with it. Busy: no process was free in time.
        FarmError: no process could be started.
    """
    raise NotImplementedError


def read_frames(
    data: bytes, numbers: Sequence[int], size: Size, field: str = "clip"
) -> Iterator[Pixels]:
    """Decode some frames of a clip, upright, with square pixels, resized, in sRGB.

    Args:
        numbers: of the frames, rising, from 0. size: height and width of all that is yielded, px.

    Yields:
        H x W x 3, uint8, each of `numbers` in its turn. The process waits meanwhile, and ends with the
        iterator.

    Raises:
        InvalidInput: the clip cannot be decoded, or has no such frame. FarmError: as `check_clip`.
    """
    raise NotImplementedError
