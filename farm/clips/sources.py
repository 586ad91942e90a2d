"""Clips opened for their frames, whatever holds them; runs where strangers' files are read.

Which container a file is in is decided by its first bytes, and nothing else is tried: a playlist, or a
list of files to be joined, is not among them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

from farm.clips.frames import ClipLimits, Frame
from farm.clips.recognise import MOV_BOXES, STILL_BRANDS
from farm.errors import InvalidInput, NotAPicture, Problem

ACCEPTED = "MP4, MOV, WebM, MKV, GIF, animated WebP or PNG, or a ZIP of pictures"
MOV, MATROSKA, GIF, WEBP, PNG, ZIP = "mov", "matroska", "gif", "webp", "png", "zip"
STARTS = {
    b"\x1a\x45\xdf\xa3": MATROSKA,
    b"GIF87a": GIF,
    b"GIF89a": GIF,
    b"\x89PNG\r\n\x1a\n": PNG,
    b"PK\x03\x04": ZIP,
}
WHOLE_BOXES = (b"moov", b"mdat", b"moof")  # that are never larger than their file
SEGMENT = b"\x18\x53\x80\x67"  # all of a Matroska file but its head
CUT = "is cut: the file says that it is longer than it is"


def find_container(data: bytes) -> str:
    """Find what holds a clip.

    Raises:
        InvalidInput: it is empty. NotAPicture: it is in none of those that are read, or is cut.
    """
    if not data:
        raise InvalidInput(Problem("", "is empty; choose a clip"))
    if data[4:8] in MOV_BOXES and data[8:12] not in STILL_BRANDS:
        _check_boxes(data)
        return MOV
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    for start, name in STARTS.items():
        if data.startswith(start):
            if name == MATROSKA:
                _check_segment(data)
            return name
    raise NotAPicture(Problem("", f"is not a clip that is read here: {ACCEPTED}"))


def _check_boxes(data: bytes) -> None:
    """Check that the boxes of an MP4 or MOV end with it."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if size < 8:  # to the end, or nonsense, of which the demuxer knows more
            return
        if position + size > len(data) and kind in WHOLE_BOXES:
            raise NotAPicture(Problem("", CUT))
        position += size


def _check_segment(data: bytes) -> None:
    """Check that the segment of a Matroska file ends with it, unless it was written without a length."""
    head, position = _read_length(data, 4)
    position += head or 0
    if data[position : position + 4] != SEGMENT:
        return
    size, begin = _read_length(data, position + 4)
    if size is not None and begin + size > len(data):
        raise NotAPicture(Problem("", CUT))


def _read_length(data: bytes, position: int) -> tuple[int | None, int]:
    """Read a length of EBML; return it, None if it is unknown, and where what it counts begins."""
    first = data[position] if position < len(data) else 0
    if not first:
        return None, position
    length = 9 - first.bit_length()  # bytes
    value = int.from_bytes(data[position : position + length]) & ((1 << 7 * length) - 1)
    return None if value == (1 << 7 * length) - 1 else value, position + length


@contextmanager
def open_frames(data: bytes, limits: ClipLimits) -> Iterator[Iterator[Frame]]:
    """Open a clip and yield its frames, in the order in which they are shown.

    Frames that tell no time, or not a later one than those before them, are left out.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it, or with the next frame.
    """
    container = find_container(data)
    frames: Iterator[Frame]
    if container in (MOV, MATROSKA):
        from farm.clips.video import Video

        with Video(data, container, limits.megapixels) as video:
            yield _iterate_rising(video.iterate_frames())
    else:
        from farm.clips import stills

        opener = stills.iterate_archive if container == ZIP else stills.iterate_animation
        frames = opener(data, limits)
        yield _iterate_rising(frames)


def _iterate_rising(frames: Iterator[Frame]) -> Iterator[Frame]:
    last: Fraction | None = None
    for frame in frames:
        if last is None or frame.time > last:
            last = frame.time
            yield frame
