"""Frames encoded into a film, and its sound beside them; runs apart from whoever keeps the file.

Threads are as many on every machine, because the bytes that an encoder writes follow their number.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from farm.clips import colours
from farm.clips.clip import Sound
from farm.clips.clip_messages import Order
from farm.clips.sound import SoundTrack, count_packets, open_sound
from farm.clips.video import SCALING
from farm.pictures.pixels import Pixels

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.film_formats import FilmKind

THREADS = 4
MAX_TICKS = 1_000_000  # a second; finer clocks are rounded to COMMON_TICKS
COMMON_TICKS = 90_000
MILLISECONDS = 1000  # WebM knows no finer clock
WRITE_BYTES = 1 << 20
HEAD_BYTES = 65_536  # kept free at an MP4's or MOV's begin for its tables, so that they come first
FRAME_BYTES, PACKET_BYTES = 96, 48  # and for each of these


@dataclass(frozen=True)
class Codec:
    """Encoding of films of one format."""

    # FFmpeg's names.
    container: str
    encoder: str
    pixel_format: str
    options: dict[str, str]


CODECS: dict[FilmKind, Codec] = {
    # No B-frames: with them MP4 has no exact end where times vary, as it counts in order of decoding.
    "mp4": Codec("mp4", "libx264", "yuv420p", {"preset": "medium", "crf": "16", "bf": "0"}),
    "webm": Codec(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        {"crf": "22", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "tile-columns": "1"},
    ),
    "mov": Codec("mov", "prores_ks", "yuv422p10le", {"profile": "hq", "vendor": "apl0"}),
}


class Output(io.RawIOBase):
    """A file that is somewhere else: what is written is passed on with its position."""

    def __init__(self, put: Callable[[int, bytes], None]) -> None:
        super().__init__()
        self._put = put
        self._position = self._size = 0

    def write(self, data: Any) -> int:
        """Pass on."""
        body = bytes(data)
        self._put(self._position, body)
        self._position += len(body)
        self._size = max(self._size, self._position)
        return len(body)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to where the next bytes go."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = begin + offset
        return self._position

    def tell(self) -> int:
        """Return where the next bytes go."""
        return self._position

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True


class Encoder:
    """A film that is being written: a context that finishes the file when its block ends."""

    def __init__(self, order: Order, data: bytes, output: Output) -> None:
        """
        Args:
            data: the clip's file, for its sound.
        """
        self._order, self._codec = order, CODECS[order.kind]
        self._ticks = _choose_ticks(order)
        self._durations: dict[int, int] = {}
        head = {} if order.kind == "webm" else {"moov_size": str(_reserve_head(order, data))}
        self._film = av.open(
            output,
            "w",
            format=self._codec.container,
            container_options={"fflags": "+bitexact", **head},
            buffer_size=WRITE_BYTES,
        )
        self._video = self._add_video()
        self._sound: SoundTrack | None = None
        if order.sound:
            self._sound = open_sound(self._film, order.kind, data, order.begin, order.end)

    @property
    def sound(self) -> Sound:
        """Fate of the clip's sound."""
        if self._sound is None:
            return Sound.LOST if self._order.sound else Sound.NONE
        return self._sound.state

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._mux(self._video.encode(None))
            if self._sound:
                self._sound.write_until(None)
            self._film.close()
        if self._sound:
            self._sound.close()

    def add(self, number: int, pixels: Pixels) -> None:
        """Encode the film's frame of a number, H x W x 3, uint8, sRGB."""
        times = (*self._order.times, self._order.duration)
        begin, end = (round(time * self._ticks) for time in times[number : number + 2])
        self._durations[begin] = max(end - begin, 1)
        if self._sound:
            self._sound.write_until(times[number])
        even = _pad_to_even(pixels)
        frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), "rgb24").reformat(
            format=self._codec.pixel_format,
            src_color_range=colours.FULL,
            dst_colorspace=colours.SCALERS[colours.BT709],
            dst_color_range=colours.LIMITED,
            interpolation=SCALING,
            threads=1,
        )
        frame.color_trc = frame.color_primaries = colours.BT709
        frame.pts, frame.time_base = begin, Fraction(1, self._ticks)
        self._mux(self._video.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts)
            self._film.mux_one(packet)

    def _add_video(self) -> Any:
        """Add the track of frames: sizes even, BT.709 and limited range, and tagged so."""
        order = self._order
        rate = Fraction(len(order.times)) / order.duration
        stream: Any = self._film.add_stream(
            self._codec.encoder, rate.limit_denominator(1001), options=dict(self._codec.options)
        )
        context = stream.codec_context
        context.height, context.width = (side + side % 2 for side in order.size)
        context.pix_fmt = self._codec.pixel_format
        context.time_base = stream.time_base = Fraction(1, self._ticks)
        context.color_range = colours.LIMITED
        context.colorspace = context.color_primaries = context.color_trc = colours.BT709
        context.thread_count = THREADS
        context.flags |= av.codec.context.Flags.bitexact
        return stream


def _choose_ticks(order: Order) -> int:
    """Choose the film's clock, ticks a second: one in which all times are whole, if there is one."""
    if order.kind == "webm":
        return MILLISECONDS
    ticks = math.lcm(*(time.denominator for time in (*order.times, order.duration)))
    return ticks if ticks <= MAX_TICKS else COMMON_TICKS


def _reserve_head(order: Order, data: bytes) -> int:
    """Compute the bytes that the tables of an MP4 or MOV take at most."""
    packets = count_packets(data) if order.sound else 0
    return HEAD_BYTES + FRAME_BYTES * len(order.times) + PACKET_BYTES * packets


def _pad_to_even(pixels: Pixels) -> Pixels:
    """Repeat the last row or column of a frame with odd sides, so that nothing of it is lost."""
    height, width, _ = pixels.shape
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
