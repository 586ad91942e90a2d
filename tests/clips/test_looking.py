"""Clips looked at to their end: times, sizes, shots; and what is refused, in words."""

from __future__ import annotations

import io
import struct
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av", reason="the extra film")

from farm.clips.clip import Clip
from farm.clips.clip_process import look
from farm.clips.frames import ClipLimits
from farm.errors import InvalidInput, NotAPicture, TooLarge
from tests.clips.make import BT601, draw_quarters, make_clip, save_animation
from tests.conftest import SAMPLES

AMPLE = ClipLimits(frames=200, seconds=60, megapixels=1)


def look_at(data: bytes, **limits: float) -> Clip:
    return look(data, ClipLimits(**AMPLE.__dict__ | limits))[0]


def refuse(data: bytes, kind: type[InvalidInput] = InvalidInput, **limits: float) -> str:
    with pytest.raises(kind) as raised:
        look_at(data, **limits)
    return raised.value.problems[0].message


def zip_frames(names: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return file.getvalue()


def save_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_sample_is_two_shots_of_a_second() -> None:
    clip = look_at((SAMPLES / "flight.mp4").read_bytes())
    assert clip == Clip(
        270, 480, tuple(Fraction(n, 24) for n in range(48)), Fraction(2), (0, 24), sound=False
    )


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "libx264"), ("mov", "prores_ks"), ("webm", "libvpx-vp9"), ("matroska", "libx264")],
)
def test_videos_are_read_from_their_containers(container: str, codec: str) -> None:
    pixel_format = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    clip = look_at(make_clip(4, container, codec, pixel_format))
    assert (clip.size, clip.frames, clip.sound) == ((48, 64), 4, False)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animations_have_the_times_of_their_frames(format: str) -> None:
    frames = [draw_quarters(shift=4 * n) for n in range(3)]
    clip = look_at(save_animation(frames, format, (40, 100, 70)))
    assert clip.size == (48, 64)
    assert clip.times == (Fraction(0), Fraction(4, 100), Fraction(14, 100))
    assert clip.duration == Fraction(21, 100)


def test_an_archive_has_frames_in_the_order_of_their_numbers() -> None:
    names = {f"f{n}.png": save_png(draw_quarters(shift=n)) for n in (10, 9, 1)}
    clip = look_at(zip_frames(names | {"__MACOSX/f2.png": b"", ".f3.png": b"", "notes.txt": b""}))
    assert clip.times == (Fraction(0), Fraction(1, 24), Fraction(2, 24))
    assert clip.duration == Fraction(3, 24)


def test_times_that_vary_are_kept_exactly() -> None:
    times = [0, 3003, 5000, 12000, 20001, 21000]
    clip = look_at(make_clip(6, times=times, ticks=90_000))
    assert clip.times == tuple(Fraction(time, 90_000) for time in times)


def test_a_clip_begins_with_its_first_frame_whenever_that_is() -> None:
    clip = look_at(make_clip(3, "matroska", times=[1000, 1040, 1100], ticks=1000))
    assert clip.times == (Fraction(0), Fraction(4, 100), Fraction(1, 10))


def test_sizes_are_those_of_frames_upright_with_square_pixels() -> None:
    assert look_at(make_clip(2, turn=90)).size == (64, 48)
    assert look_at(make_clip(2, aspect=Fraction(4, 3))).size == (48, 85)
    assert look_at(make_clip(2, aspect=Fraction(1, 2))).size == (96, 64)
    assert look_at(make_clip(2, aspect=Fraction(4, 3), turn=-90)).size == (85, 48)


def test_a_clip_with_sound_says_so() -> None:
    assert look_at(make_clip(3, sound="aac")).sound


def test_cuts_are_found_and_flashes_and_pans_are_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 3), np.uint8)
    scene = np.kron(noise, np.ones((8, 8, 1), np.uint8))  # 96 x 512
    pan = [scene[:, n : n + 96] for n in range(20)]
    dark = [frame // 3 for frame in pan[:8]]
    flash = [*pan[:10], np.full_like(pan[0], 255), *pan[10:]]
    assert look_at(make_clip(pan)).shots == (0,)
    assert look_at(make_clip(flash)).shots == (0,)
    assert look_at(make_clip([*pan, *dark])).shots == (0, 20)


@pytest.mark.parametrize("kind", ["noise", "text", "png", "heic"])
def test_other_files_are_refused_with_what_is_read(kind: str) -> None:
    data = {
        "noise": np.random.default_rng(1).bytes(5000),
        "text": b"<html>" * 100,
        "png": save_png(draw_quarters()),
        "heic": b"\0\0\0\x18ftypheic" + bytes(500),
    }[kind]
    if kind == "png":
        assert refuse(data) == "holds only one frame; send it as a photograph"
    else:
        assert "is not a clip that is read here: MP4, MOV" in refuse(data, NotAPicture)


def test_an_empty_file_is_refused() -> None:
    assert refuse(b"") == "is empty; choose a clip"


@pytest.mark.parametrize("head", [b"ftyp", b"\x1a\x45\xdf\xa3", b"GIF89a", b"RIFF", b"PK\x03\x04"])
def test_noise_behind_a_good_beginning_is_refused(head: bytes) -> None:
    noise = np.random.default_rng(2).bytes(20_000)
    start = b"\0\0\0\x18" + head + b"isom" if head == b"ftyp" else head
    if head == b"RIFF":
        start = b"RIFF\xff\xff\0\0WEBPVP8X"
    refuse(start + noise)


@pytest.mark.parametrize("container", ["mp4", "matroska", "GIF", "PNG", "WEBP", "zip"])
def test_a_file_that_is_cut_is_refused(container: str) -> None:
    frames = [np.random.default_rng(n).integers(0, 256, (48, 64, 3), np.uint8) for n in range(8)]
    if container == "zip":
        data = zip_frames({f"{n}.png": save_png(frame) for n, frame in enumerate(frames)})
    elif container in ("GIF", "PNG", "WEBP"):
        data = save_animation(frames, container, [40] * 8)
    else:
        data = make_clip(frames, container)
    look_at(data)
    words = refuse(data[: len(data) * 6 // 10], NotAPicture)
    assert "cut" in words or "damaged" in words


def test_a_clip_without_a_video_track_is_refused() -> None:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as film:
        track = film.add_stream("aac", 48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48_000
        film.mux(track.encode(frame))
        film.mux(track.encode(None))
    assert refuse(file.getvalue()) == "has no video track"


def test_one_frame_is_a_photograph() -> None:
    assert refuse(make_clip(1)) == "holds only one frame; send it as a photograph"


def test_frames_that_change_their_size_are_refused() -> None:
    names = {f"{n}.png": save_png(draw_quarters((48, 64 + 16 * (n == 2)))) for n in range(3)}
    expected = "changes its size: frame 2 is 80 x 48 px, those before it are 64 x 48"
    assert refuse(zip_frames(names)) == expected
    halves = [make_clip([draw_quarters(size)] * 3, "h264") for size in ((48, 64), (64, 80))]
    assert "changes its size: frame 3" in refuse(remux(b"".join(halves)))


def remux(stream: bytes) -> bytes:
    """Put a stream of H.264 whose sizes change into a Matroska file."""
    import av

    file = io.BytesIO()
    with (
        av.open(io.BytesIO(stream), "r", format="h264") as source,
        av.open(file, "w", format="matroska") as film,
    ):
        track = film.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux() if p.size):
            packet.stream, packet.time_base = track, Fraction(1, 24)
            packet.pts = packet.dts = number
            film.mux(packet)
    return file.getvalue()


def test_a_bomb_of_frames_is_refused_at_the_limit() -> None:
    still = Image.new("P", (16, 16))
    gif = io.BytesIO()
    still.save(gif, "GIF")
    head, body = gif.getvalue()[:13], gif.getvalue()[13:-1]
    control = b"\x21\xf9\x04\x00\x04\x00\x00\x00"
    image = body[body.index(b"\x2c") :]
    table = body[: body.index(b"\x2c")]
    table = table[: 3 * 2 ** ((head[10] & 7) + 1)]
    bomb = head + table + (control + image) * 100_000 + b";"
    words = refuse(bomb, TooLarge)
    assert words == "has more than 200 frames, which is the limit"


def test_too_long_and_too_large_name_the_limit() -> None:
    long = make_clip(3, times=[0, 24, 24 * 61])
    assert refuse(long, TooLarge) == "is longer than 1 minute, which is the limit"
    words = refuse(make_clip([draw_quarters((1200, 1000))] * 2), TooLarge)
    assert words == "has frames of 1000 x 1200 px; the limit is 1 megapixel"
    words = refuse(make_clip([draw_quarters((8, 64))] * 2, matrix=BT601))
    assert words == "has frames of 64 x 8 px; they need at least 16 px a side"


@pytest.mark.parametrize(
    "text",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"<?xml version='1.0'?><MPD><BaseURL>http://localhost/</BaseURL></MPD>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    ],
)
def test_lists_of_other_files_are_no_clips(text: bytes) -> None:
    assert "is not a clip that is read here" in refuse(text, NotAPicture)


def test_a_track_that_lies_in_another_file_is_not_looked_for() -> None:
    """QuickTime may refer to media elsewhere; here to one that would be found."""
    data = make_clip(3)
    here = data.index(b"dref") + 12
    entry = b"alis" + bytes(4)
    size = struct.unpack_from(">I", data, here)[0]
    assert data[here + 4 : here + 8] == b"url "
    moved = data[: here + 4] + entry + data[here + 4 + len(entry) : here + size] + data[here + size :]
    try:
        clip = look_at(moved)
    except InvalidInput:
        return
    assert clip.frames == 3  # from the file itself


def test_hdr_without_a_curve_is_refused() -> None:
    from types import SimpleNamespace

    from farm.clips.colours import NO_TAGS, Scheme

    light = SimpleNamespace(type=SimpleNamespace(name="CONTENT_LIGHT_LEVEL"))
    frame = SimpleNamespace(color_trc=2, side_data=[light])
    with pytest.raises(InvalidInput) as raised:
        Scheme.from_frame(frame)
    assert raised.value.problems[0].message == NO_TAGS
