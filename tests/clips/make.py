"""Clips for tests, made with PyAV: small, of known colours, times and sound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

from farm.pictures.pixels import Pixels

SIZE = 48, 64  # height and width, px
RATE = 24
BT709, BT601 = 1, 6  # of ITU-T H.273
RED, GREEN, BLUE, GREY = (200, 40, 30), (40, 180, 60), (30, 60, 190), (128, 128, 128)


def draw_quarters(size: tuple[int, int] = SIZE, shift: int = 0) -> Pixels:
    """Draw a picture whose quarters are red, green, blue and grey, from the upper left on."""
    height, width = size
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = GREY
    return pixels if not shift else np.roll(pixels, shift, axis=1)


def read_quarters(pixels: Pixels) -> list[list[int]]:
    """Return the colours in the middle of each quarter."""
    height, width, _ = pixels.shape
    return [
        pixels[height * y // 4, width * x // 4].tolist() for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))
    ]


def make_clip(
    pictures: Sequence[Pixels] | int = 6,
    container: str = "mp4",
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    *,
    times: Sequence[int] | None = None,
    ticks: int = RATE,
    turn: float | None = None,
    aspect: Fraction | None = None,
    matrix: int = BT709,
    full: bool = False,
    curve: int = 0,
    options: dict[str, str] | None = None,
    sound: str | None = None,
) -> bytes:
    """Encode a clip, at a quality that hardly changes it.

    Args:
        pictures: frames, or how many of `draw_quarters`. times: of each, in ticks.
        turn: degrees counter-clockwise in which it is to be shown. curve: of H.273; 0: not told.
        sound: a codec, for a tone as long as the clip.
    """
    frames = [draw_quarters()] * pictures if isinstance(pictures, int) else pictures
    file = io.BytesIO()
    with av.open(file, "w", format=container) as film:
        stream: Any = film.add_stream(codec, RATE, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        context = stream.codec_context
        context.pix_fmt, context.color_range, context.colorspace = pixel_format, 1 + full, matrix
        context.color_trc = curve or 2
        context.time_base = stream.time_base = Fraction(1, ticks)
        if codec == "libx264" and not options:
            stream.options = {"crf": "1", "preset": "ultrafast"}
        if aspect:
            context.sample_aspect_ratio = aspect
        if turn is not None:
            stream.set_display_rotation(turn)
        track: Any = film.add_stream(sound, 48_000) if sound else None
        for number, pixels in enumerate(frames):
            frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24").reformat(
                format=pixel_format,
                src_color_range=2,
                dst_color_range=1 + full,
                dst_colorspace=1 if matrix == BT709 else 5,
                interpolation="BICUBIC",
            )
            frame.pts, frame.time_base = times[number] if times else number, Fraction(1, ticks)
            frame.color_trc = curve or 2
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        if track:
            last = (times[-1] if times else len(frames) - 1) / ticks
            _add_tone(film, track, last + 1 / RATE)
    return file.getvalue()


def _add_tone(film: Any, track: Any, seconds: float) -> None:
    for block in range(int(seconds * 48_000 / 1024) + 1):
        at = np.arange(block * 1024, block * 1024 + 1024) / 48_000
        tone = np.sin(at * 2 * np.pi * 440).astype(np.float32)
        frame: Any = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48_000, block * 1024
        film.mux(track.encode(frame))
    film.mux(track.encode(None))


def read_packets(data: bytes, container: str) -> list[tuple[Fraction, bytes]]:
    """Return when each packet of the sound is played, s, and its bytes."""
    with av.open(io.BytesIO(data), "r", format=container) as film:
        packets = film.demux(film.streams.audio[0])
        return [(each.pts * each.time_base, bytes(each)) for each in packets if each.pts is not None]


def save_animation(frames: Sequence[Pixels], format: str, durations: Sequence[int]) -> bytes:
    """Write an animated GIF, PNG or WebP, ms a frame."""
    file = io.BytesIO()
    first, *others = (Image.fromarray(each) for each in frames)
    lossless = {"lossless": True} if format == "WEBP" else {}
    first.save(
        file, format, save_all=True, append_images=others, duration=list(durations), loop=0, **lossless
    )
    return file.getvalue()
