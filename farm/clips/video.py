"""Videos decoded by FFmpeg: from memory, one container, no protocols; colours brought to sRGB.

Rules where a file does not tell: of unknown matrix, frames of 720 lines or more are BT.709, others
BT.601; of unknown range, they are limited; of an interlaced frame, the upper field is taken, so that
nothing moves between its lines; turns other than by quarters go to the nearest.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import Interpolation

from farm.clips import colours
from farm.clips.frames import check_frame_size, describe
from farm.errors import InvalidInput, NotAPicture, Problem
from farm.pictures.pixels import Pixels

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.picture_sizes import Size

SCALING = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
MAX_PIXELS = 2**31 - 1  # that FFmpeg can be asked for
UNREASONABLE = 10  # pixel aspects beyond it, or below its inverse, are taken for 1
ATTACHED_PICTURE = 0x0400  # of a stream's disposition: a cover


class Video:
    """An MP4, MOV, WebM or MKV, open."""

    def __init__(self, data: bytes, container: str, megapixels: int) -> None:
        """
        Args:
            container: FFmpeg's name of it. megapixels: beyond which nothing is decoded.

        Raises:
            NotAPicture, InvalidInput: it cannot be read, or has no video track.
        """
        self._input = open_input(data, container)
        found = [stream for stream in self._input.streams.video if not _is_cover(stream)]
        if not found:
            self._input.close()
            raise InvalidInput(Problem("", "has no video track"))
        self._stream = found[0]
        if self._stream.codec_context is None:
            self._input.close()
            raise NotAPicture(Problem("", "is coded in a way that is not read here"))
        declared = self._stream.codec_context
        if declared.height and declared.width:
            check_frame_size((declared.height, declared.width), megapixels)
        self._stream.codec_context.options = {"max_pixels": str(min(megapixels * 1_000_000, MAX_PIXELS))}
        self._stream.thread_count = 1
        self._aspect = _read_aspect(self._stream)

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._input.close()

    def iterate_frames(self) -> Iterator[VideoFrame]:
        """Decode the frames that tell their time.

        Raises:
            NotAPicture: the file is damaged.
        """
        count = 0
        try:
            for frame in self._input.decode(self._stream):
                if frame.pts is not None:
                    yield VideoFrame.from_decoded(frame, self._aspect)
                    count += 1
        except av.error.FFmpegError as error:
            _refuse(error, f"after frame {count}" if count else "before its first frame")


@dataclass
class VideoFrame:
    """A decoded frame, which is brought to pixels when it is drawn."""

    time: Fraction
    seconds: Fraction
    frame: Any
    # Width of a pixel to its height.
    aspect: Fraction
    turn: Turn

    @classmethod
    def from_decoded(cls, frame: Any, aspect: Fraction) -> VideoFrame:
        """Take FFmpeg's frame."""
        seconds = Fraction(frame.duration or 0) * frame.time_base
        return cls(frame.pts * frame.time_base, seconds, frame, aspect, Turn.from_frame(frame))

    def draw(self, size: Size) -> Pixels:
        """Draw it at a height and width, as `Frame` says."""
        frame = _take_upper_field(self.frame) if self.frame.interlaced_frame else self.frame
        height, width = size[::-1] if self.turn.transposes else size
        scheme = colours.Scheme.from_frame(self.frame)
        rgb = frame.reformat(
            width,
            height,
            scheme.pixel_format,
            src_colorspace=scheme.matrix,
            src_color_range=scheme.range,
            dst_color_range=colours.FULL,
            interpolation=SCALING,
            threads=1,
        )
        return self.turn.apply(scheme.convert(rgb.to_ndarray()))

    def measure(self) -> Size:
        """Return height and width as it is shown: square pixels by widening, nothing is lost."""
        height, width = self.frame.height, self.frame.width
        if self.aspect >= 1:
            width = round(width * self.aspect)
        else:
            height = round(height / self.aspect)
        return (width, height) if self.turn.transposes else (height, width)


@dataclass(frozen=True)
class Turn:
    """One of the eight ways in which a frame may lie."""

    transposes: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    @classmethod
    def from_frame(cls, frame: Any) -> Turn:
        """Read the display matrix: (x, y) is shown at (a x + c y, b x + d y)."""
        for data in frame.side_data:
            if data.type.name == "DISPLAYMATRIX":
                a, b, _, c, d, *_ = (int(each) for each in np.frombuffer(bytes(data), np.int32))
                if abs(b) > abs(a):
                    return cls(True, b < 0, c < 0)
                return cls(False, d < 0, a < 0)
        return cls()

    def apply(self, pixels: Pixels) -> Pixels:
        """Turn H x W x 3 upright."""
        turned = pixels.transpose(1, 0, 2) if self.transposes else pixels
        turned = turned[::-1] if self.flips_rows else turned
        return np.ascontiguousarray(turned[:, ::-1] if self.flips_columns else turned)


def open_input(data: bytes, container: str) -> Any:
    """Open a file in memory as one container, which may open nothing else.

    Raises:
        NotAPicture: it cannot be read.
    """
    options = {"protocol_whitelist": ""} | ({"enable_drefs": "0"} if container == "mov" else {})
    try:
        return av.open(
            io.BytesIO(data), format=container, container_options=options, io_open=_open_nothing
        )
    except (av.error.FFmpegError, ValueError) as error:
        _refuse(error, "its head makes no sense")


def _open_nothing(url: str, *_: object) -> NoReturn:
    raise PermissionError(f"a clip asks for another file: {url[:80]}")


def _refuse(error: Exception, where: str) -> NoReturn:
    if isinstance(error, MemoryError):
        raise error
    message = f"is damaged or incomplete: {where} ({describe(error)})"
    raise NotAPicture(Problem("", message)) from error


def _is_cover(stream: Any) -> bool:
    return bool(int(stream.disposition) & ATTACHED_PICTURE)


def _read_aspect(stream: Any) -> Fraction:
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return aspect if Fraction(1, UNREASONABLE) <= aspect <= UNREASONABLE else Fraction(1)


def _take_upper_field(frame: Any) -> Any:
    """Return every second line of a frame, from its first; a frame of half the height."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add("field", "type=top"), graph.add("buffersink")).configure()
    graph.push(frame)
    return graph.pull()
