"""Films written: painted frames at the clip's own times, and the clip's sound.

The encoder, which reads the clip's file for its sound, runs in a process of its own
(`clip_process.py`); what it writes comes here piece by piece, each with its place in the file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image

from farm.clips.clip import Clip, Sound
from farm.clips.clip_child import Answer, ClipProcess, limit_encoding
from farm.clips.clip_messages import NEXT, POSITION, PUT, WRITE, Order
from farm.errors import FarmError, InvalidInput
from farm.pictures.decoder_answers import MAX_HEAD
from farm.pictures.decoder_process import END
from farm.pictures.pixels import Pixels
from farm.recipe.film_formats import FilmKind, name_frame
from farm.recipe.picture_sizes import Size

MAX_PUT = 1 << 26  # bytes of one piece
MAX_BYTES_PER_PIXEL = 8  # of a film's file, for each pixel of its frames
MAX_BYTES_BESIDES = 64_000_000
EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in a ZIP, so that the same frames are the same bytes


def write_film(
    frames: Iterable[Pixels],
    clip: Clip,
    numbers: Sequence[int],
    kind: FilmKind,
    source: bytes,
    file: BinaryIO,
) -> Sound:
    """Write a film.

    Sides are made even by repeating the last row or column, as all but the ZIP need that. WebM knows
    times in whole milliseconds only; they are rounded to these.

    Args:
        frames: H x W x 3, uint8, sRGB, all of one size, asked for one by one; as many as `numbers`.
        clip: what they were painted from. numbers: of its frames, rising; they give the times.
        source: the clip's file, whose sound is taken, as far as the frames reach.
        file: a new one, seekable; if this raises, it holds half a film.

    Raises:
        OSError: of `file`, as of a full disk. FarmError: the encoder failed. ValueError: there are
            fewer frames than numbers, or they differ in size.
    """
    if kind == "zip":
        _write_archive(frames, numbers, file)
        return Sound.NONE
    iterator = iter(frames)
    first = next(iterator)
    height, width, _ = first.shape
    size = height, width
    process = ClipProcess(source, "clip", limit_encoding(len(numbers), height * width, len(source)))
    try:
        process.ask(WRITE, _build_order(clip, numbers, kind, size).to_json())
        most = len(numbers) * height * width * MAX_BYTES_PER_PIXEL + len(source) + MAX_BYTES_BESIDES
        answer = _serve(process, _chain(first, iterator), file, most)
    except InvalidInput as error:
        raise FarmError(f"The film could not be encoded: {error}") from error
    finally:
        process.end()
    if answer.refused:
        raise FarmError(f"The film could not be encoded: {process.explain(answer)}")
    return Sound(answer.sound)


def _chain(first: Pixels, others: Iterator[Pixels]) -> Iterator[Pixels]:
    """Yield all frames, and check their size."""
    yield first
    for frame in others:
        if frame.shape != first.shape:
            raise ValueError(f"a frame of {frame.shape} in a film of {first.shape}")
        yield frame


def _build_order(clip: Clip, numbers: Sequence[int], kind: FilmKind, size: Size) -> Order:
    """Build the encoder's order: times from the film's first frame, and the sound that goes with it.

    A film to the clip's last frame has all sound that is left, one from its first frame also what
    lies before it, which decoders need.
    """
    begin = clip.times[numbers[0]]
    end = compute_end(clip, numbers)
    return Order(
        kind=kind,
        size=size,
        times=tuple(clip.times[number] - begin for number in numbers),
        duration=end - begin,
        begin=None if numbers[0] == 0 else begin,
        end=None if end >= clip.duration else end,
        sound=clip.sound,
    )


def compute_end(clip: Clip, numbers: Sequence[int]) -> Fraction:
    """Compute when a film of some of a clip's frames ends, s on the clip's clock.

    The last frame is shown until the next one of the same step would be, or the clip ends.
    """
    following = find_following(numbers)
    return clip.times[following] if following < clip.frames else clip.duration


def find_following(numbers: Sequence[int]) -> int:
    """Return the number that would come after these frames of a clip, which may not have it."""
    step = numbers[-1] - numbers[-2] if len(numbers) > 1 else 1
    return numbers[-1] + step


def _serve(process: ClipProcess, frames: Iterator[Pixels], file: BinaryIO, most: int) -> Answer:
    """Give the encoder frames as it asks for them, and put what it writes into the file.

    Args:
        most: bytes that the file may have.
    """
    limits = {PUT: MAX_PUT, NEXT: 0, END: MAX_HEAD}
    while True:
        with process.exchange():
            kind, body = process.receive(limits)
            answer = Answer.model_validate_json(body) if kind == END else None
        if answer:
            return answer
        if kind == PUT:
            (position,) = POSITION.unpack_from(body)
            if position + len(body) > most:
                raise FarmError("The film could not be encoded: it becomes larger than any film.")
            file.seek(position)
            file.write(memoryview(body)[POSITION.size :])
        else:
            frame = next(frames, None)
            if frame is None:
                raise ValueError("fewer frames than numbers")
            with process.exchange():
                process.send(np.ascontiguousarray(frame).data.cast("B"))


def _write_archive(frames: Iterable[Pixels], numbers: Sequence[int], file: BinaryIO) -> None:
    """Write frames as PNGs under the numbers that they have in the clip."""
    with zipfile.ZipFile(file, "w") as archive:
        for number, frame in zip(numbers, frames, strict=True):
            png = BytesIO()
            Image.fromarray(frame).save(png, "PNG")
            entry = zipfile.ZipInfo(name_frame(number), EPOCH)
            archive.writestr(entry, png.getvalue())
