"""Clips of strangers, looked at and decoded in a process of their own (`clip_process.py`)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager

import numpy as np

from farm.clips.clip import Clip
from farm.clips.clip_child import MAX_END_PER_FRAME, Answer, ClipProcess, limit_decoding
from farm.clips.clip_messages import FRAME, LOOK, READ
from farm.clips.turns import Turn, Turns
from farm.errors import Problem, TooLarge
from farm.pictures import decoder_pool
from farm.pictures.decoder_answers import MAX_HEAD, MAX_THUMBNAIL
from farm.pictures.decoder_process import END, THUMBNAIL
from farm.pictures.pixels import Pixels
from farm.recipe.picture_sizes import Size
from farm.settings import settings

_looking = Turns()


def check_clip(data: bytes, field: str) -> tuple[Clip, bytes]:
    """Decode a clip to its end, within the limits of the settings.

    Args:
        data: the file: MP4, MOV, WebM, MKV, GIF, animated WebP or PNG, or a zip of frames.
        field: its name in the form, for messages.

    Returns:
        what is known of it, and a thumbnail of its first frame, JPEG.

    Raises:
        InvalidInput and its kin: what is wrong with it. Busy: it was not this client's turn in time, or
            that was over, and others wait.
        FarmError: no process could be started.
    """
    if len(data) > settings().max_clip_mb * 1_000_000:
        message = f"has {len(data) / 1e6:.0f} MB; the limit is {settings().max_clip_mb} MB"
        raise TooLarge(Problem(field, message))
    with take_turn() as turn:
        return _look(data, field, turn)


def take_turn() -> AbstractContextManager[Turn]:
    """Return a context in which this client, as set for pictures, has a process for a clip it sent.

    Raises:
        Busy: on entering, it was not its turn in time.
    """
    return _looking.take(decoder_pool.get_client())


def _look(data: bytes, field: str, turn: Turn) -> tuple[Clip, bytes]:
    frames = settings().max_clip_frames
    order = {
        "frames": frames,
        "seconds": settings().max_clip_minutes * 60,
        "megapixels": settings().max_clip_megapixels,
    }
    process = ClipProcess(data, field, limit_decoding(frames, len(data)), turn)
    thumbnail = b""
    limits = {THUMBNAIL: MAX_THUMBNAIL, END: MAX_HEAD + MAX_END_PER_FRAME * frames}
    try:
        process.ask(LOOK, order)
        with process.exchange():
            kind, body = process.receive(limits)
            if kind == THUMBNAIL:
                thumbnail = body
                _, body = process.receive({END: limits[END]})
            answer = Answer.model_validate_json(body)
            clip = answer.clip.convert() if answer.clip and thumbnail else None
            if not answer.refused and clip is None:
                raise ValueError("neither a clip nor a refusal")
            if clip and clip.frames > frames:
                raise ValueError("more frames than there may be")
    finally:
        process.end()
    if answer.refused or clip is None:
        raise process.explain(answer)
    return clip, thumbnail


def read_frames(
    data: bytes,
    numbers: Sequence[int],
    size: Size,
    field: str = "clip",
    turn: Turn | None = None,
) -> Generator[Pixels]:
    """Decode some frames of a clip, upright, with square pixels, resized, in sRGB.

    Args:
        numbers: of the frames, rising, from 0. size: height and width of all that is yielded, px.
        turn: in which it is decoded, if others wait for that.

    Yields:
        H x W x 3, uint8, each of `numbers` in its turn. The process waits meanwhile, and ends with the
        iterator.

    Raises:
        InvalidInput: the clip cannot be decoded, or has no such frame. TurnOver: it takes long, and
            others wait. FarmError: as `check_clip`.
    """
    if not numbers:
        return
    process = ClipProcess(data, field, limit_decoding(numbers[-1] + 1, len(data)), turn)
    height, width = size
    order = {"numbers": list(numbers), "height": height, "width": width}
    try:
        process.ask(READ, order | {"megapixels": settings().max_clip_megapixels})
        for _ in numbers:
            pixels = np.empty((height, width, 3), np.uint8)
            with process.exchange():
                ended = process.receive_into(FRAME, pixels.data.cast("B"), MAX_HEAD)
                answer = Answer.model_validate_json(ended) if ended is not None else Answer()
                if ended is not None and not answer.refused:
                    raise ValueError("fewer frames than were asked for")
            if answer.refused:
                raise process.explain(answer)
            yield pixels
    finally:
        process.end()
