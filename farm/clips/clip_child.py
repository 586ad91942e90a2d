"""A process that looks at, decodes or writes one clip (`clip_process.py`), as its parent sees it.

A hostile clip can at worst end it, and nothing that it answers is trusted. It ends with its parent's
thread, and with the block that uses it.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from farm.clips.clip import Clip
from farm.clips.clip_messages import REQUEST
from farm.clips.turns import Turn
from farm.errors import InvalidInput, Problem, TurnOver
from farm.pictures.decode import LONGEST_SIDE
from farm.pictures.decoder_answers import get_input, get_output, read, receive_head
from farm.pictures.decoder_child import Child, explain_refusal
from farm.pictures.decoder_process import END, LONGEST_MESSAGE, LONGEST_TRACE
from farm.pictures.decoder_request import PictureFile, ProcessLimits
from farm.settings import settings

PROCESS = "farm.clips.clip_process"

MISSING = "cannot be read: this farm is installed without its extra `film`, which its operator can add"
ADVICE = "save it anew as an ordinary MP4, shorter or smaller"

BYTES_PER_PIXEL = 160  # of decoding: up to 17 frames that others refer to, 6 bytes a pixel, and copies
BYTES_BESIDES = 400_000_000
COPIES_OF_FILE = 2
CPU_SECONDS = 20
CPU_SECONDS_PER_MEGAPIXEL = 0.05  # and frame; measured: 0.015 for HEVC with 10 bits
CPU_SECONDS_PER_FRAME = 0.03
PATIENCE = 3  # times the processor's time: others use the processor, too

ENCODING_BYTES_PER_PIXEL = 600  # frames that the encoder looks ahead at, on every thread
ENCODING_BYTES_BESIDES = 3_000_000_000  # of address space, most of it never used
ENCODING_CPU_SECONDS_PER_MEGAPIXEL = 20.0  # and frame
MAX_END_PER_FRAME = 400  # bytes of a clip's JSON


class Answer(BaseModel):
    """The last message of a child, which is not to be trusted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refused: Literal["NotAPicture", "TooLarge", "InvalidInput", "MemoryError", "Exception"] | None = None
    message: str = Field("", max_length=LONGEST_MESSAGE)
    trace: str = Field("", max_length=LONGEST_TRACE)
    clip: _Clip | None = None
    sound: Literal["none", "copied", "encoded", "lost"] = "none"


# No exponent, of which a few characters are gigabytes.
_Fraction = Annotated[str, Field(pattern=r"^[0-9]{1,150}(/[1-9][0-9]{0,149})?$")]


class _Clip(BaseModel):
    """A clip in a child's answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    height: int = Field(ge=1, le=LONGEST_SIDE)
    width: int = Field(ge=1, le=LONGEST_SIDE)
    times: list[_Fraction] = Field(min_length=2)
    duration: _Fraction
    shots: list[int] = Field(min_length=1)
    sound: bool

    def convert(self) -> Clip:
        """Return the clip.

        Raises:
            ValueError: it is none.
        """
        clip = Clip.from_json(self.model_dump())
        rises = all(one < other for one, other in zip(clip.times, clip.times[1:], strict=False))
        cut = all(one < other for one, other in zip(clip.shots, clip.shots[1:], strict=False))
        ends = clip.duration > clip.times[-1] and clip.shots[-1] < clip.frames
        if not (rises and cut and ends and clip.times[0] == 0 and clip.shots[0] == 0):
            raise ValueError("times or shots that do not rise")
        return clip


Answer.model_rebuild()


class ClipProcess:
    """One process at one clip.

    Args:
        turn: in which it runs, and with which it ends; None: it waits for nobody.
    """

    def __init__(self, data: bytes, field: str, limits: ProcessLimits, turn: Turn | None = None) -> None:
        self._turn = turn
        self._file = PictureFile(data, field)
        self._limits = limits
        self._child = Child(PROCESS)
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Guard a block that writes to the process and reads from it, as `Child.exchange` does.

        Raises:
            TurnOver: its turn was, and others wait.
        """
        try:
            with self._child.exchange(self._started, self._file, self._limits, ADVICE):
                yield
        except InvalidInput as error:
            if self._turn is not None and self._turn.was_ended:
                raise TurnOver from error
            raise

    def ask(self, kind: bytes, order: dict[str, Any]) -> None:
        """Start the process and send it its request.

        Raises:
            InvalidInput: it did not take it, or there is no reader of clips here.
            FarmError: it could not be started.
        """
        if not self._file.data:
            raise InvalidInput(Problem(self._file.field, "is empty; choose a clip"))
        if importlib.util.find_spec("av") is None:
            raise InvalidInput(Problem(self._file.field, MISSING))
        self._process = self._child.await_ready(self._limits)
        if self._turn is not None:
            self._turn.end_by(self._process.kill)
        text = json.dumps(order).encode()
        with self.exchange():
            pipe = get_input(self._started)
            pipe.write(REQUEST.pack(kind, len(text), len(self._file.data)) + text)
            pipe.write(self._file.data)
            pipe.flush()

    def receive(self, limits: dict[bytes, int]) -> tuple[bytes, bytes]:
        """Receive a message, within an exchange: its kind and body. As `receive_head`."""
        kind, size = receive_head(self._started, limits)
        return kind, read(self._started, size)

    def receive_into(self, kind: bytes, body: memoryview, end: int) -> bytes | None:
        """Receive a message of a kind into `body`, which it fills; or else END, whose body is returned.

        Args:
            end: most bytes of END's body.
        """
        got, size = receive_head(self._started, {kind: body.nbytes, END: end})
        if got == END:
            return read(self._started, size)
        if size != body.nbytes or get_output(self._started).readinto(body) < size:
            raise ValueError(f"a message {kind!r} of {size} bytes")
        return None

    def send(self, body: memoryview) -> None:
        """Send bytes, within an exchange."""
        pipe = get_input(self._started)
        pipe.write(body)
        pipe.flush()

    def explain(self, answer: Answer) -> InvalidInput:
        """Return a refusal as the error that names the field."""
        refused = str(answer.refused)
        return explain_refusal(self._file, refused, answer.message, answer.trace, ADVICE)

    def end(self) -> None:
        """End the process."""
        self._child.end()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process
        return self._process


def limit_decoding(frames: int, size_bytes: int) -> ProcessLimits:
    """Compute what decoding the largest clip takes that the settings permit.

    Args:
        frames: how many are decoded at most. size_bytes: of the file.
    """
    megapixels = settings().max_clip_megapixels
    a_frame = CPU_SECONDS_PER_FRAME + megapixels * CPU_SECONDS_PER_MEGAPIXEL
    cpu_seconds = round(CPU_SECONDS + frames * a_frame)
    pixels = megapixels * 1_000_000 * BYTES_PER_PIXEL
    return ProcessLimits(
        memory=BYTES_BESIDES + pixels + COPIES_OF_FILE * size_bytes,
        cpu_seconds=cpu_seconds,
        seconds=float(PATIENCE * cpu_seconds),
    )


def limit_encoding(frames: int, pixels: int, size_bytes: int) -> ProcessLimits:
    """Compute what encoding a film takes.

    Args:
        pixels: of a frame. size_bytes: of the clip's file.
    """
    a_frame = 1 + pixels / 1e6 * ENCODING_CPU_SECONDS_PER_MEGAPIXEL
    return ProcessLimits(
        memory=ENCODING_BYTES_BESIDES + ENCODING_BYTES_PER_PIXEL * pixels + COPIES_OF_FILE * size_bytes,
        cpu_seconds=round(CPU_SECONDS + frames * a_frame),
        seconds=CPU_SECONDS + 100 * a_frame,  # until the next frame: an encoder looks ahead
    )
