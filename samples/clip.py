"""A short clip: a slow pan over each of the two scenes, with something that flies over it.

Two shots of 24 frames, so that a film of it has a cut, anchors and stretches; what flies hides and
uncovers the ground behind it, which is what a painted film has to get right. Encoding needs PyAV, the
farm's extra `film`; the script's pictures do without.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from brushes import Array
from PIL import Image, ImageDraw

SIZE = 270, 480  # height and width, px
FRAMES = 24  # of each shot, and a second
FINER = 3  # what flies is drawn so much larger, and made smaller, so that it moves by parts of a pixel
QUALITY = "23"  # x264's constant rate factor


def iterate_frames(scenes: list[Array]) -> Iterator[Array]:
    """Yield the frames of all shots, SIZE x 3, uint8.

    Args:
        scenes: one for each shot, float32 HWC in [0, 1], larger than SIZE.
    """
    for shot, scene in enumerate(scenes):
        image = Image.fromarray(np.clip(scene * 255 + 0.5, 0, 255).astype(np.uint8))
        for number in range(FRAMES):
            yield _draw_frame(image, number / (FRAMES - 1), balloon=shot == 0)


def _draw_frame(scene: Image.Image, share: float, *, balloon: bool) -> Array:
    """Draw the frame at a share of its shot: the scene from a window that moves, and what flies."""
    height, width = SIZE
    scale = scene.width / (1.35 * width)
    left = share * (scene.width - scale * width)
    top = (0.30 if balloon else 0.45) * (scene.height - scale * height)
    window = (left, top, left + scale * width, top + scale * height)
    frame = scene.resize((width, height), Image.Resampling.BICUBIC, box=window)
    flying = Image.new("RGBA", (FINER * width, FINER * height))
    draw = ImageDraw.Draw(flying)
    x, y = FINER * width * (0.15 + 0.6 * share), FINER * height * (0.42 - 0.18 * share)
    (_draw_balloon if balloon else _draw_kite)(draw, x, y, FINER * height / 7)
    small = flying.resize((width, height), Image.Resampling.BOX)
    return np.asarray(Image.alpha_composite(frame.convert("RGBA"), small).convert("RGB"))


def _draw_balloon(draw: ImageDraw.ImageDraw, x: float, y: float, size: float) -> None:
    for part, colour in enumerate(("#c8452e", "#efc94c", "#c8452e", "#efc94c", "#c8452e")):
        half = size * (1 - 0.42 * part) if part < 3 else size * 0.08
        if half > size * 0.1:
            draw.ellipse((x - half, y - size, x + half, y + size), fill=colour)
    for side in (-1, 1):
        end = (x + side * 0.2 * size, y + 1.5 * size)
        draw.line(((x + side * 0.6 * size, y + 0.75 * size), end), fill="#3b2a20", width=3)
    basket = (x - 0.22 * size, y + 1.45 * size, x + 0.22 * size, y + 1.8 * size)
    draw.rectangle(basket, fill="#6b4a2f")


def _draw_kite(draw: ImageDraw.ImageDraw, x: float, y: float, size: float) -> None:
    top, bottom = (x, y - size), (x - 0.2 * size, y + 1.2 * size)
    left, right = (x - 0.75 * size, y - 0.1 * size), (x + 0.75 * size, y)
    draw.polygon((top, right, bottom), fill="#2f6fb0")
    draw.polygon((top, left, bottom), fill="#e8e2cf")
    for knot in range(1, 6):
        end_x, end_y = x - (0.2 + 0.25 * knot) * size, y + (1.2 + 0.18 * knot) * size
        colour = "#c8452e" if knot % 2 else "#efc94c"
        draw.ellipse((end_x - 6, end_y - 6, end_x + 6, end_y + 6), fill=colour)


def save_clip(scenes: list[Array], path: Path) -> None:
    """Write the clip as MP4 (H.264), the same bytes each time with the same FFmpeg."""
    import av

    height, width = SIZE
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as film:
        stream = film.add_stream("libx264", FRAMES, options={"crf": QUALITY, "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.color_range = 1  # limited
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.bitexact
        for number, pixels in enumerate(iterate_frames(scenes)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24").reformat(
                format="yuv420p", src_color_range=2, dst_colorspace=1, dst_color_range=1
            )
            frame.color_trc = frame.color_primaries = 1
            frame.pts, frame.time_base = number, Fraction(1, FRAMES)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
