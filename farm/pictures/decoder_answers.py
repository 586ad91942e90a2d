"""Answers of a process that decodes pictures, as its parent receives them; none is to be trusted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import BufferedReader
from typing import IO, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from farm.pictures.decode import LONGEST_SIDE, Channels, check_size
from farm.pictures.decoder_process import (
    CHANNELS,
    END,
    LONGEST_MESSAGE,
    LONGEST_TRACE,
    MARKS,
    MESSAGE,
    ROWS,
    SIZE,
    SIZE_ASKED,
    THUMBNAIL,
)
from farm.pictures.decoder_request import Limits, PictureFile
from farm.pictures.marks import LONGEST as LONGEST_MARKS
from farm.pictures.marks import Marks
from farm.pictures.pixels import Pixels
from farm.recipe.picture_sizes import Size

MAX_HEAD = 30_000  # bytes of an answer's JSON
MAX_MARKS = 2 * LONGEST_MARKS**2 // 8  # bytes
MAX_THUMBNAIL = 10_000_000  # bytes; 960 x 960 px of noise are 1 MB
MAY_HAVE = {Channels.COLOUR: (3,), Channels.COLOUR_AND_ALPHA: (3, 4), Channels.MAP: (1,)}


class Answer(BaseModel):
    """The answer of a child, which is not to be trusted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refused: Literal["NotAPicture", "TooLarge", "InvalidInput", "MemoryError", "Exception"] | None = None
    message: str = Field("", max_length=LONGEST_MESSAGE)
    trace: str = Field("", max_length=LONGEST_TRACE)
    width: int = Field(1, ge=1, le=LONGEST_SIDE)
    height: int = Field(1, ge=1, le=LONGEST_SIDE)


def receive_check(process: subprocess.Popen[bytes]) -> tuple[Answer, bytes, Marks | None]:
    """Receive the answer to a check, the thumbnail (JPEG), empty for a picture that was refused, and the
    marks of a map.

    Raises:
        OSError, EOFError: the process is gone. ValueError: its answer breaks the protocol.
    """
    thumbnail = packed = b""
    while True:
        limits = {THUMBNAIL: MAX_THUMBNAIL, MARKS: MAX_MARKS, END: MAX_HEAD}
        kind, size = receive_head(process, limits)
        body = read(process, size)
        if kind == THUMBNAIL:
            thumbnail = body
        elif kind == MARKS:
            packed = body
        else:
            answer = Answer.model_validate_json(body)
            marks = Marks.from_bytes((answer.height, answer.width), packed) if packed else None
            return answer, thumbnail, marks


class Received:
    """A picture that comes row by row into the one array that is kept of it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        picture: PictureFile,
        limits: Limits,
        compute_size: Callable[[Size], Size],
    ) -> None:
        self._process, self._picture, self._limits = process, picture, limits
        self._compute_size = compute_size
        self._filled = 0  # bytes
        self._wanted: Size = (0, 0)
        self.sent: Size = (0, 0)
        self.pixels: Pixels = np.empty((0, 0, 3), np.uint8)

    def receive(self) -> Answer:
        """Receive the answer to its end.

        Raises:
            OSError, EOFError: the process is gone. ValueError: its answer breaks the protocol.
            TooLarge, InvalidInput: a picture may not have this size.
        """
        while True:
            left = self.pixels.nbytes - self._filled or -1  # none of it, not even an empty one
            limits = {SIZE_ASKED: SIZE.size, CHANNELS: 1, ROWS: left, END: MAX_HEAD}
            kind, size = receive_head(self._process, limits)
            if kind == END:
                return self._finish(Answer.model_validate_json(read(self._process, size)))
            if kind == ROWS:
                self._receive_rows(size)
            elif kind == CHANNELS:
                self._make_room(*read(self._process, size))
            else:
                self._answer_size(read(self._process, size))

    def _answer_size(self, body: bytes) -> None:
        """Answer at what size the picture is wanted; the size that is asked about last is its own."""
        self.sent = height, width = SIZE.unpack(body)
        check_size(width, height, self._picture.field, self._limits.megapixels, self._picture.shortest)
        self._wanted = self._compute_size(self.sent)
        pipe = get_input(self._process)
        pipe.write(SIZE.pack(*self._wanted))
        pipe.flush()

    def _make_room(self, channels: int = 0) -> None:
        if channels not in MAY_HAVE[self._picture.channels]:
            raise ValueError(f"{channels} channels")
        self.pixels, self._filled = np.empty((*self._wanted, channels), np.uint8), 0

    def _receive_rows(self, size: int) -> None:
        rows = self.pixels.data.cast("B")[self._filled : self._filled + size]
        if get_output(self._process).readinto(rows) < size:
            raise EOFError("it ended")
        self._filled += size

    def _finish(self, answer: Answer) -> Answer:
        if not answer.refused and (
            self._filled < self.pixels.nbytes
            or self.pixels.shape[:2] != self._wanted
            or self.sent != (answer.height, answer.width)
        ):
            raise ValueError(f"{self._filled} of {self.pixels.nbytes} bytes of pixels")
        return answer


def receive_head(process: subprocess.Popen[bytes], limits: dict[bytes, int]) -> tuple[bytes, int]:
    """Receive the head of a message: its kind, and the bytes of its body.

    Args:
        limits: most bytes of a body, for each kind that may come.

    Raises:
        OSError, EOFError: the process is gone. ValueError: another message came.
    """
    kind, size = MESSAGE.unpack(read(process, MESSAGE.size))
    if size > limits.get(kind, -1):
        raise ValueError(f"a message {kind!r} of {size} bytes")
    return kind, size


def read(process: subprocess.Popen[bytes], size: int) -> bytes:
    data = get_output(process).read(size)
    if len(data) < size:
        raise EOFError("it ended")
    return data


def get_input(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin
    return process.stdin


def get_output(process: subprocess.Popen[bytes]) -> BufferedReader:
    assert isinstance(process.stdout, BufferedReader)
    return process.stdout
