"""The process in which this worker's pictures are decoded: another for each job, started beforehand.

Whatever a picture makes of it, it reaches no picture of another job, and its memory ends with it.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable

import structlog

from farm.errors import FarmError
from farm.pictures.decode import Channels, Decoded
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_request import Limits, PictureFile
from farm.pictures.pixels import Pixels
from farm.recipe.picture_sizes import Size

log = structlog.get_logger()
_child = Child()


def start() -> None:
    """Start the process, unless it is there; do not wait until it is ready."""
    try:
        _child.start(Limits.from_settings())
    except OSError:
        log.exception("no process to decode pictures; the next job tries again")


def await_ready() -> None:
    """Wait until the process is ready, and log what holds it."""
    try:
        _child.await_ready(Limits.from_settings())
    except (FarmError, OSError):
        log.exception("no process to decode pictures; the next job tries again")


def decode(
    data: bytes,
    label: str,
    compute_size: Callable[[Size], Size],
    channels: Channels = Channels.COLOUR,
) -> Decoded:
    """Decode an upload as `decode_to_size` does.

    Args:
        label: the picture's name in messages. channels: COLOUR or COLOUR_AND_ALPHA.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it, or the process did not survive it.
        FarmError: no process could be started.
    """
    picture = PictureFile(data, label, 1, channels)
    return _child.decode(picture, Limits.from_settings(), compute_size)


def decode_map(data: bytes, label: str, compute_size: Callable[[Size], Size]) -> Pixels:
    """Decode an upload as `decode_map_to_size` does.

    Raises:
        NotAPicture, TooLarge, InvalidInput, FarmError: as `decode`.
    """
    picture = PictureFile(data, label, 1, Channels.MAP)
    return _child.decode_map(picture, Limits.from_settings(), compute_size)


def end_used() -> None:
    """End the process if it has seen a picture; another is there when it is asked for, or by `start`."""
    if _child.was_used:
        _child.end()


@atexit.register
def close() -> None:
    """End the process; the next picture gets a new one."""
    _child.end()
