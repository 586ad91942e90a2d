"""Frames as they come out of clips: upright, square pixels, in sRGB, the ones that were asked for."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

pytest.importorskip("av", reason="the extra film")

from farm.clips import clip_child
from farm.clips.colours import HLG, PQ, WIDE, Scheme
from farm.clips.frames import ClipLimits
from farm.clips.look import check_clip, read_frames
from farm.clips.sources import open_frames
from farm.clips.turns import Turn
from farm.clips.video import VideoFrame
from farm.errors import InvalidInput, NotAPicture, TurnOver
from farm.pictures.pixels import Pixels
from farm.recipe.picture_sizes import Size
from tests.clips.make import (
    BLUE,
    BT601,
    BT709,
    GREEN,
    GREY,
    RED,
    draw_quarters,
    make_clip,
    read_quarters,
    save_animation,
)
from tests.conftest import fresh_settings

LIMITS = ClipLimits(100, 60, 1)
QUARTERS = [RED, GREEN, BLUE, GREY]


def draw(data: bytes, number: int = 0, size: Size | None = None) -> Pixels:
    with open_frames(data, LIMITS) as frames:
        frame = next(islice(frames, number, None))
        return frame.draw(size or frame.measure())


def assert_near(pixels: Pixels, expected: Any, apart: int = 3) -> None:
    found = np.array(read_quarters(pixels)).astype(int)
    assert np.abs(found - np.array(expected)).max() <= apart, found


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [BT709, BT601])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_colours_are_those_of_matrix_range_and_depth(pixel_format: str, matrix: int, full: bool) -> None:
    assert_near(draw(make_clip(2, pixel_format=pixel_format, matrix=matrix, full=full)), QUARTERS)


@pytest.mark.parametrize(("size", "matrix"), [((48, 64), BT601), ((720, 960), BT709)])
def test_the_matrix_of_a_clip_without_tags_follows_its_size(size: Size, matrix: int) -> None:
    told = make_clip([draw_quarters(size)] * 2, "matroska", matrix=matrix)
    untold = told.replace(b"\x55\xb1\x81" + bytes([matrix]), b"\x55\xb1\x81\x02")  # MatrixCoefficients
    assert untold != told
    assert_near(draw(untold), QUARTERS)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (90, [GREEN, GREY, RED, BLUE]),
        (-90, [BLUE, RED, GREY, GREEN]),
        (180, [GREY, BLUE, GREEN, RED]),
    ],
)
def test_frames_are_turned_upright(turn: int, expected: list[tuple[int, int, int]]) -> None:
    shown = draw(make_clip(2, turn=turn))
    assert shown.shape == ((48, 64, 3) if turn == 180 else (64, 48, 3))
    assert_near(shown, expected)


def test_oblong_pixels_become_square_ones() -> None:
    assert_near(draw(make_clip(2, aspect=Fraction(3, 2), turn=90)), [GREEN, GREY, RED, BLUE])


def test_an_interlaced_frame_shows_its_upper_field() -> None:
    combed = np.full((64, 64, 3), 50, np.uint8)
    combed[::2] = 200
    data = make_clip([combed] * 3, options={"x264-params": "tff=1", "crf": "1"})
    assert np.abs(draw(data)[8:-8, 8:-8].astype(int) - 200).max() <= 4


def test_light_of_hdr_is_mapped_by_the_rule() -> None:
    """A tenth of white stays, white comes near white, and the brightest is white."""

    def map_grey(curve: int, signal: float) -> int:
        samples = np.full((1, 1, 3), round(signal * 65535), np.uint16)
        mapped = Scheme(9, 1, curve, WIDE).convert(samples)
        assert np.ptp(mapped) <= 1  # grey stays grey
        return int(mapped[0, 0, 1])

    assert [map_grey(PQ, signal) for signal in (0.0, 0.3583, 0.5806, 0.7518)] == [0, 89, 240, 255]
    assert map_grey(HLG, 0.75) in range(238, 243)
    assert map_grey(HLG, 1.0) == 255


def test_hdr_is_known_by_its_tags() -> None:
    data = make_clip(2, pixel_format="yuv420p10le", curve=PQ)
    grey = draw(data)[36, 48]
    assert np.abs(grey.astype(int) - 188).max() <= 12  # not 128: PQ's half is 92 cd/m2


def test_a_transparent_frame_lies_over_white() -> None:
    import av

    samples = np.full((32, 32, 4), (200, 100, 0, 51), np.uint8)  # a fifth of it shows
    frame: Any = av.VideoFrame.from_ndarray(samples, "rgba")
    frame.pts, frame.time_base = 0, Fraction(1, 24)
    shown = VideoFrame.from_decoded(frame, Fraction(1)).draw((32, 32))
    assert np.abs(shown.astype(int) - (244, 224, 204)).max() <= 1


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animations_lie_over_white(format: str) -> None:
    frames = [draw_quarters(), draw_quarters(shift=32)]
    data = save_animation(frames, format, (40, 40))
    assert_near(draw(data, 1), [GREEN, RED, GREY, BLUE], 4)
    clear = save_animation(
        [np.zeros((32, 32, 4), np.uint8)] * 1 + [np.full((32, 32, 4), 9, np.uint8)], "PNG", (40, 40)
    )
    assert (draw(clear) == 255).all()


@pytest.mark.usefixtures("decoders_as_processes")
def test_the_process_gives_the_frames_that_are_asked_for_at_their_size() -> None:
    data = make_clip([np.full((48, 64, 3), 20 * n, np.uint8) for n in range(10)])
    shown = list(read_frames(data, (0, 3, 4, 9), (24, 32)))
    assert [frame.shape for frame in shown] == [(24, 32, 3)] * 4
    assert [round(float(frame.mean()) / 20) for frame in shown] == [0, 3, 4, 9]


def test_what_is_wrong_names_the_field() -> None:
    with pytest.raises(NotAPicture, match=r"^film: is not a clip that is read here"):
        check_clip(b"noise" * 100, "film")
    with pytest.raises(InvalidInput, match=r"^film: has no frame 7"):
        list(read_frames(make_clip(6), (5, 7), (24, 32), "film"))


@pytest.mark.usefixtures("decoders_as_processes")
def test_a_process_ends_with_the_frames_that_are_not_asked_for() -> None:
    frames = read_frames(make_clip(6), range(6), (24, 32))
    next(frames)
    assert [each for each in list_processes() if each.is_running()]
    frames.close()
    assert not list_processes()


@pytest.mark.usefixtures("decoders_as_processes")
def test_a_clip_that_takes_long_while_others_wait_ends_in_words() -> None:
    turn = Turn("slow")
    frames = read_frames(make_clip(6), range(6), (1200, 1600), turn=turn)  # more than a pipe holds
    next(frames)
    turn.end()
    with pytest.raises(TurnOver, match="takes long to decode, and others wait"):
        list(frames)
    assert not list_processes()


def list_processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess):  # another test's, for which nobody has waited
            if clip_child.PROCESS in child.cmdline():
                found.append(child)
    return found


def test_without_the_extra_a_clip_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="clip: cannot be read: this farm is installed without"):
        check_clip(make_clip(2), "clip")


@pytest.mark.parametrize("time", ["1e999999999", "-1", "1.5", "9" * 151, "1/0"])
def test_times_that_would_cost_their_reader_dear_are_no_clip(time: str) -> None:
    known = {
        "height": 16,
        "width": 16,
        "times": ["0", "1"],
        "duration": "3",
        "shots": [0],
        "sound": False,
    }
    assert clip_child.Answer.model_validate({"clip": known}).clip
    for wrong in ({"duration": time}, {"times": ["0", time]}):
        with pytest.raises(ValidationError):
            clip_child.Answer.model_validate({"clip": known | wrong})


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, farm_home: Path
) -> None:
    monkeypatch.setenv("FARM_MAX_CLIP_MB", "1")
    fresh_settings()
    with pytest.raises(InvalidInput, match="clip: has 2 MB; the limit is 1 MB"):
        check_clip(bytes(2_000_000), "clip")
