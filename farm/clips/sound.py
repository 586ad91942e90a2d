"""A clip's sound on its way into a film: packet by packet where the format takes it, else anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from farm.clips.clip import Sound
from farm.clips.sources import MATROSKA, MOV, find_container
from farm.clips.video import Video, open_input
from farm.errors import InvalidInput

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.film_formats import FilmKind

PCM = ("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le")
TAKEN: dict[FilmKind, tuple[str, ...]] = {  # codecs that formats and their players take
    "mp4": ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"),
    "webm": ("opus", "vorbis"),
    "mov": ("aac", "mp3", "ac3", "alac", *PCM),
}
ENCODERS: dict[FilmKind, tuple[str, int]] = {  # for others, and their bit rate
    "mp4": ("aac", 192_000),
    "webm": ("libopus", 128_000),
    "mov": ("aac", 192_000),
}
PRIMING = Fraction(1, 10)  # s; packets that lie before what is heard, because decoders need them
MAX_MEGAPIXELS = 2000  # of the frame that tells when the clip begins; it was looked at before
OPUS_RATE = 48_000  # Hz; Opus takes no more than this


def find_sound(data: bytes) -> str | None:
    """Find the codec of a clip's sound; None: it has none that can be read."""
    if find_container(data) not in (MOV, MATROSKA):
        return None
    with open_input(data, find_container(data)) as container:
        stream = _find_stream(container)
        return _name_codec(stream) if stream else None


def count_packets(data: bytes) -> int:
    """Count the packets of a clip's sound; 0: it has none that can be read."""
    if find_sound(data) is None:
        return 0
    with open_input(data, find_container(data)) as container:
        return sum(1 for _ in container.demux(_find_stream(container)))


def _name_codec(stream: Any) -> str:
    """Return the codec's name, whichever decoder reads it."""
    return str(stream.codec_context.codec.canonical_name)


def _find_stream(container: Any) -> Any:
    return next((each for each in container.streams.audio if each.codec_context is not None), None)


class SoundTrack:
    """A track of an open film that takes a clip's sound in step with the film's frames."""

    def __init__(
        self, film: Any, kind: FilmKind, data: bytes, begin: Fraction | None, end: Fraction | None
    ) -> None:
        """
        Args:
            film: FFmpeg's open output. data: the clip's file, which has sound.
            begin, end: s on the clip's clock; None: from its first frame, to its last packet.
        """
        self._film, self._begin, self._end = film, begin, end
        self._origin = _find_origin(data)
        self._shift = self._origin + (begin or 0)
        self._input = open_input(data, find_container(data))
        self._stream = _find_stream(self._input)
        self._copies = _name_codec(self._stream) in TAKEN[kind]
        self.state = Sound.COPIED if self._copies else Sound.ENCODED
        self._track = self._add_track(kind)
        self._packets = self._copy() if self._copies else self._encode()
        self._waiting = self._take()

    def write_until(self, time: Fraction | None) -> None:
        """Write the packets before a time of the film, s; None: all that are left."""
        while self._waiting is not None:
            packet = self._waiting
            if time is not None and packet.dts * packet.time_base >= time:
                return
            self._film.mux_one(packet)
            self._waiting = self._take()

    def close(self) -> None:
        """Close the clip."""
        self._input.close()

    def _add_track(self, kind: FilmKind) -> Any:
        if self._copies:
            return self._film.add_stream_from_template(self._stream)
        codec, rate = ENCODERS[kind]
        source = self._stream.codec_context
        track = self._film.add_stream(codec, OPUS_RATE if codec == "libopus" else source.sample_rate)
        track.codec_context.layout = "mono" if source.layout.nb_channels == 1 else "stereo"
        track.codec_context.bit_rate = rate
        return track

    def _take(self) -> Any:
        """Take the next packet; None: there is none, or none that can be read."""
        try:
            return next(self._packets, None)
        except av.error.FFmpegError:
            self.state = Sound.LOST
            return None

    def _is_within(self, time: Fraction) -> bool:
        """Check whether a time of the clip's own clock, s, is in the film."""
        begin = self._shift - (PRIMING if self._begin is None and self._copies else 0)
        return time >= begin and (self._end is None or time < self._origin + self._end)

    def _copy(self) -> Iterator[Any]:
        for packet in self._input.demux(self._stream):
            if packet.dts is None or packet.pts is None:  # it ends the stream
                continue
            if self._is_within(packet.pts * packet.time_base):
                ticks = round(self._shift / packet.time_base)
                packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
                packet.stream = self._track
                yield packet

    def _encode(self) -> Iterator[Any]:
        for frame in self._input.decode(self._stream):
            if frame.pts is not None and self._is_within(frame.pts * frame.time_base):
                frame.pts -= round(self._shift / frame.time_base)
                yield from self._track.encode(frame)
        yield from self._track.encode(None)


def _find_origin(data: bytes) -> Fraction:
    """Find when the clip's first frame is shown, s on the file's clock."""
    with Video(data, find_container(data), MAX_MEGAPIXELS) as video:
        return next((frame.time for frame in video.iterate_frames()), Fraction(0))


def open_sound(
    film: Any, kind: FilmKind, data: bytes, begin: Fraction | None, end: Fraction | None
) -> SoundTrack | None:
    """Add a clip's sound to a film; None: there is none that can be read."""
    try:
        if find_sound(data) is None:
            return None
        return SoundTrack(film, kind, data, begin, end)
    except (InvalidInput, av.error.FFmpegError):
        return None
