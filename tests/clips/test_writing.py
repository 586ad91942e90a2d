"""Films written from frames: their times and sound are the clip's, and half a film is none."""

from __future__ import annotations

import errno
import io
import zipfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av", reason="the extra film")

from farm.clips import clip_process
from farm.clips.clip import Clip, Sound
from farm.clips.frames import ClipLimits
from farm.clips.sources import open_frames
from farm.clips.write import compute_end, write_film
from farm.errors import FarmError
from farm.files import replace_file
from farm.pictures.pixels import Pixels
from farm.recipe.film_formats import FilmKind
from tests.clips.make import (
    BLUE,
    GREEN,
    GREY,
    RED,
    draw_quarters,
    make_clip,
    read_packets,
    read_quarters,
)

LIMITS = ClipLimits(200, 60, 1)
TIMES = [0, 3003, 5000, 12000, 20001, 21000, 30030, 36036]  # of 90,000 a second


def look(data: bytes) -> Clip:
    return clip_process.look(data, LIMITS)[0]


def write(
    source: bytes, numbers: Sequence[int], kind: FilmKind = "mp4", picture: Pixels | None = None
) -> tuple[bytes, Sound]:
    picture = draw_quarters() if picture is None else picture
    file = io.BytesIO()
    sound = write_film((picture for _ in numbers), look(source), numbers, kind, source, file)
    return file.getvalue(), sound


@pytest.mark.parametrize(
    ("kind", "numbers"), [("mp4", range(8)), ("mov", range(2, 7)), ("mp4", range(1, 8, 3))]
)
def test_times_are_the_clips_to_the_tick(kind: FilmKind, numbers: range) -> None:
    source = make_clip(8, times=TIMES, ticks=90_000)
    clip, (film, sound) = look(source), write(source, numbers, kind)
    written = look(film)
    assert written.times == tuple(clip.times[n] - clip.times[numbers[0]] for n in numbers)
    assert written.duration == compute_end(clip, numbers) - clip.times[numbers[0]]
    assert sound is Sound.NONE


def test_times_of_webm_are_the_clips_to_the_millisecond() -> None:
    source = make_clip(8, times=TIMES, ticks=90_000)
    film, _ = write(source, range(8), "webm")
    assert look(film).times == tuple(Fraction(round(Fraction(t, 90)), 1000) for t in TIMES)


def test_a_film_without_a_step_ends_with_the_clip_or_the_next_frame() -> None:
    clip = Clip(2, 2, (Fraction(0), Fraction(1), Fraction(3), Fraction(4)), Fraction(6))
    assert [compute_end(clip, numbers) for numbers in ([0, 1], [2], [3], [0, 2], [0, 3])] == [
        3,
        4,
        6,
        6,
        6,
    ]


@pytest.mark.usefixtures("decoders_as_processes")
@pytest.mark.parametrize("kind", ["mp4", "webm", "mov"])
def test_colours_come_back_and_are_tagged(kind: FilmKind) -> None:
    source = make_clip(4)
    film, _ = write(source, range(4), kind)
    with open_frames(film, LIMITS) as frames:
        frame: Any = next(frames)
        found = np.array(read_quarters(frame.draw((48, 64)))).astype(int)
        tags = frame.frame.colorspace, frame.frame.color_range, frame.frame.color_primaries
        depth = frame.frame.format.components[0].bits
    assert np.abs(found - np.array([RED, GREEN, BLUE, GREY])).max() <= 5
    assert tags == (1, 1, 1)  # BT.709, limited, BT.709
    assert depth == (10 if kind == "mov" else 8)


@pytest.mark.parametrize(("codec", "kind"), [("aac", "mp4"), ("aac", "mov"), ("libopus", "webm")])
def test_sound_is_copied_packet_by_packet(codec: str, kind: FilmKind) -> None:
    source = make_clip(30, "matroska" if kind == "webm" else "mp4", sound=codec)
    film, sound = write(source, range(30), kind)
    before = read_packets(source, "matroska" if kind == "webm" else "mov")
    after = read_packets(film, "matroska" if kind == "webm" else "mov")
    assert sound is Sound.COPIED
    assert len(before) > 50
    assert after == before


def test_sound_is_cut_to_the_frames() -> None:
    source = make_clip(30, sound="aac")
    film, sound = write(source, range(10, 20))
    begin, end = Fraction(10, 24), Fraction(20, 24)
    expected = [(at, data) for at, data in read_packets(source, "mov") if begin <= at < end]
    after = read_packets(film, "mov")
    assert sound is Sound.COPIED
    assert [data for _, data in after] == [data for _, data in expected]
    assert all(
        abs(new - old + begin) <= Fraction(1, 48_000)
        for (new, _), (old, _) in zip(after, expected, strict=True)
    )


def test_sound_that_a_format_does_not_take_is_encoded_anew() -> None:
    source = make_clip(24, sound="aac")
    film, sound = write(source, range(24), "webm")
    packets = read_packets(film, "matroska")
    assert sound is Sound.ENCODED
    assert abs(packets[-1][0] - 1) < Fraction(1, 10)
    assert look(film).sound


def test_the_tables_of_an_mp4_come_first_so_that_it_plays_while_it_loads() -> None:
    film, _ = write(make_clip(30, sound="aac"), range(30))
    assert film.index(b"moov") < film.index(b"mdat")


def test_odd_sides_become_even_by_repeating_the_last_row_and_column() -> None:
    source = make_clip(2)
    film, _ = write(source, range(2), picture=draw_quarters((47, 63)))
    assert look(film).size == (48, 64)


def test_an_archive_has_the_frames_to_the_bit_under_their_numbers() -> None:
    source = make_clip(6)
    film, sound = write(source, (1, 3, 5), "zip")
    with zipfile.ZipFile(io.BytesIO(film)) as archive:
        assert archive.namelist() == ["frame_000001.png", "frame_000003.png", "frame_000005.png"]
        with archive.open("frame_000003.png") as file:
            assert np.array_equal(np.asarray(Image.open(file)), draw_quarters())
    assert sound is Sound.NONE
    assert film == write(source, (1, 3, 5), "zip")[0]


def test_the_same_frames_are_the_same_film() -> None:
    source = make_clip(12, sound="aac")
    assert write(source, range(12)) == write(source, range(12))


class FullDisk(io.BytesIO):
    """A file on a disk with little room."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 20_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_disk_that_fills_leaves_nothing_behind(tmp_path: Path) -> None:
    source, path = make_clip(8), tmp_path / "film.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)

    def write_to(part: Path) -> None:
        part.touch()
        write_film((noise for _ in range(8)), look(source), range(8), "mp4", source, FullDisk())

    with pytest.raises(OSError, match="No space left"), replace_file(path) as part:
        write_to(part)
    assert not list(tmp_path.iterdir())


def test_an_error_between_the_frames_ends_the_film() -> None:
    source = make_clip(4)

    def paint() -> Iterator[Pixels]:
        yield draw_quarters()
        raise FarmError("the storage is away")

    with pytest.raises(FarmError, match="the storage is away"):
        write_film(paint(), look(source), range(4), "mp4", source, io.BytesIO())


def test_frames_of_other_sizes_and_too_few_are_no_film() -> None:
    source = make_clip(3)
    clip = look(source)
    mixed = [draw_quarters(), draw_quarters((64, 64)), draw_quarters()]
    with pytest.raises(ValueError, match="in a film of"):
        write_film(mixed, clip, range(3), "mp4", source, io.BytesIO())
    with pytest.raises(ValueError, match="fewer frames than numbers"):
        write_film(mixed[:1], clip, range(3), "mp4", source, io.BytesIO())
