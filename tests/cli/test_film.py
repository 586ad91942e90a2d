"""`farm film`: a clip on one machine, with stand-ins for the engine and for clips' files."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from farm.cli import film_files, main
from farm.cli.film_frames import FrameFolder
from farm.clips import reader
from farm.clips.clip import Clip, Sound
from farm.engine.film.paint import PaintedFrame
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.recipe.film import Part
from tests.conftest import SAMPLES

BRUSH = str(SAMPLES / "brushwork.jpg")
FRAMES = 8
CLIP = Clip(36, 64, tuple(Fraction(n, 24) for n in range(FRAMES)), Fraction(FRAMES, 24), (0, 6), True)
SMALL = ["--size", "64", "--spacing", "3"]


@dataclass
class Studio:
    """Stand-ins, and what was asked of them."""

    # Frames that were painted.
    painted: list[int] = field(default_factory=list)
    # Whether maps of anchors were read, or stayed.
    reads_maps: set[bool] = field(default_factory=set)
    # Called before each; may raise.
    before: Callable[[int], None] = lambda frame: None
    # Error of the encoder.
    broken: OSError | None = None

    def paint_part(
        self, part: Part, read: Any, painted: Any, *_: Any, done: int, read_maps: Any, **__: Any
    ) -> Iterator[Any]:
        """Paint each frame with its own lightness and a part of that before it."""
        self.reads_maps.add(read_maps is not None)
        last = part.before if done == 0 else part.frames[done - 1]
        light = 0 if last is None else int(painted(last)[0, 0, 0])
        for place, frame in enumerate(part.frames[done:], start=done + 1):
            self.before(frame)
            light = (int(read(frame)[0, 0, 0]) + light) // 2
            self.painted.append(frame)
            yield PaintedFrame(frame, np.full((36, 64, 3), light, np.uint8), place, len(part.frames))

    def write_film(
        self, frames: Iterator[Pixels], clip: Clip, numbers: Sequence[int], kind: str, *rest: Any
    ) -> Sound:
        """Write the frames' lightness."""
        file: BinaryIO = rest[-1]
        file.write(b"half a film")
        if self.broken:
            raise self.broken
        file.seek(0)
        lights = [int(frame[0, 0, 0]) for frame in frames]
        file.write(json.dumps({"kind": kind, "numbers": list(numbers), "lights": lights}).encode())
        return Sound.COPIED


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    studio = Studio()

    def read_frames(data: bytes, numbers: Sequence[int], size: Any, field: str) -> Iterator[Pixels]:
        return (np.full((36, 64, 3), 30 * (n + 1), np.uint8) for n in numbers)

    engine = SimpleNamespace(
        resolve=lambda recipe: recipe,
        vgg=SimpleNamespace(network="vgg16"),
        number_format=SimpleNamespace(name="float32"),
    )
    monkeypatch.setattr(film_files, "check_clip", lambda data, field: (CLIP, b""))
    monkeypatch.setattr(reader, "read_frames", read_frames)
    monkeypatch.setattr(film_files, "load_engine", lambda *_: engine)
    monkeypatch.setattr(film_files, "paint_part", studio.paint_part)
    monkeypatch.setattr(film_files, "write_film", studio.write_film)
    return studio


def run_film(folder: Path, *options: str, output: str = "out.mp4") -> Result:
    """Paint a clip in this folder."""
    clip = folder / "clip.mp4"
    clip.write_bytes(b"a clip")
    command = ["film", str(clip), BRUSH, "-o", str(folder / output), *SMALL, *options]
    return CliRunner().invoke(main, command)


def read_words(done: Result) -> str:
    """Return all that was printed, on one line."""
    return " ".join(done.output.split())


def test_a_clip_is_painted_part_by_part_and_joined(tmp_path: Path, studio: Studio) -> None:
    done = run_film(tmp_path, "--json")
    assert done.exit_code == 0, done.output
    # Anchors 0 and 3, the stretch between them, the rest of the shot, then the other shot
    assert studio.painted == [0, 3, 1, 2, 4, 5, 6, 7]
    assert json.loads((tmp_path / "out.mp4").read_bytes())["numbers"] == list(range(FRAMES))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["frames"], report["anchors"], report["shots"], report["painted"]) == (8, 3, 2, 8)
    assert "8 frames of 64 x 36, sound copied" in read_words(done)


def test_some_of_the_frames_can_be_chosen(tmp_path: Path, studio: Studio) -> None:
    assert run_film(tmp_path, "--frames", "1:7", "--every", "2").exit_code == 0
    assert json.loads((tmp_path / "out.mp4").read_bytes())["numbers"] == [1, 3, 5]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_film_that_was_stopped_goes_on_to_the_same_film(
    tmp_path: Path, studio: Studio, number: signal.Signals
) -> None:
    # Given a film that is stopped within a stretch
    def stop(frame: int) -> None:
        if frame == 2:
            signal.raise_signal(number)

    studio.before = stop
    done = run_film(tmp_path)
    assert done.exit_code == 128 + number
    assert f"The same command goes on from {tmp_path / 'out.frames'}" in done.output.replace("\n", "")
    assert not (tmp_path / "out.mp4").exists()
    assert studio.painted == [0, 3, 1]
    # When the same command is given again
    studio.before, studio.painted = lambda frame: None, []
    done = run_film(tmp_path)
    # Then nothing is painted twice, and the film is that of a run without a stop
    assert "3 of 8 frames are painted" in read_words(done)
    assert studio.painted == [2, 4, 5, 6, 7]
    assert not (tmp_path / "out.frames").exists()
    (tmp_path / "whole").mkdir()
    run_film(tmp_path / "whole")
    assert (tmp_path / "whole" / "out.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()


def test_frames_that_are_kept_need_no_painting_for_another_format(
    tmp_path: Path, studio: Studio
) -> None:
    keep = ["--keep-frames", str(tmp_path / "frames")]
    assert run_film(tmp_path, *keep).exit_code == 0
    studio.painted.clear()
    assert run_film(tmp_path, *keep, output="out.webm").exit_code == 0
    assert studio.painted == []
    assert len(list((tmp_path / "frames").glob("*.png"))) == FRAMES
    mp4, webm = (json.loads((tmp_path / f"out.{kind}").read_bytes()) for kind in ("mp4", "webm"))
    assert (webm["kind"], webm["lights"]) == ("webm", mp4["lights"])


def test_frames_of_another_film_are_left_alone(tmp_path: Path, studio: Studio) -> None:
    keep = ["--keep-frames", str(tmp_path / "frames")]
    assert run_film(tmp_path, *keep).exit_code == 0
    other = run_film(tmp_path, *keep, "--style-scale", "2", "--every", "2")
    assert other.exit_code == 1
    assert "holds frames of another film (other settings, frames)" in read_words(other)
    for damaged in (b"{", b"\xff"):
        (tmp_path / "frames" / "film.json").write_bytes(damaged)
        assert "holds a damaged film.json; delete" in read_words(run_film(tmp_path, *keep))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    assert "holds notes.txt, which is no film's" in read_words(
        run_film(tmp_path, "--keep-frames", str(mine))
    )


def test_one_command_at_a_time_paints_in_a_folder(tmp_path: Path, studio: Studio) -> None:
    # Given a folder in which another command paints
    other = tmp_path / "out.frames"
    with FrameFolder(other, "output") as frames:
        frames.open({"clip": "another"})
        refused = run_film(tmp_path)
        assert refused.exit_code == 1
        assert f"{other} is in use: another farm film paints in it" in read_words(refused)
        kept = run_film(tmp_path, "--keep-frames", str(other))
        assert "wait, or name another keep-frames" in read_words(kept)
    assert studio.painted == []
    # When that has ended, its folder can be gone on with, and was not touched
    frames.remove([])
    assert run_film(tmp_path).exit_code == 0


def test_masks_go_with_their_things_unless_they_are_to_stay(tmp_path: Path, studio: Studio) -> None:
    mask = tmp_path / "mask.png"
    Image.new("L", (64, 36), 255).save(mask)
    keep = ["--keep-frames", str(tmp_path / "frames"), "--mask", str(mask)]
    # Given a film whose masks stay, as those of earlier versions did
    assert run_film(tmp_path, *keep, "--regions", "stay").exit_code == 0
    assert studio.reads_maps == {False}
    assert "regions" not in json.loads((tmp_path / "frames" / "film.json").read_bytes())
    # Then it does not go on with masks that follow, and a film whose masks do is another
    assert "holds frames of another film (other regions)" in read_words(run_film(tmp_path, *keep))
    assert run_film(tmp_path, "--mask", str(mask), output="other.mp4").exit_code == 0
    assert studio.reads_maps == {False, True}


def test_a_frame_whose_file_broke_is_named_and_painted_again(tmp_path: Path, studio: Studio) -> None:
    keep = ["--keep-frames", str(tmp_path / "frames")]
    run_film(tmp_path, *keep)
    whole = (tmp_path / "out.mp4").read_bytes()
    frame = tmp_path / "frames" / "frame_000001.png"
    frame.write_bytes(frame.read_bytes()[:40])
    broken = run_film(tmp_path, *keep)
    assert broken.exit_code == 1
    assert "frame_000001.png cannot be read; delete it" in read_words(broken)
    assert (tmp_path / "out.mp4").read_bytes() == whole
    frame.unlink()
    assert run_film(tmp_path, *keep).exit_code == 0
    assert (tmp_path / "out.mp4").read_bytes() == whole


def test_a_disk_that_fills_leaves_no_half_film(tmp_path: Path, studio: Studio) -> None:
    studio.broken = OSError(28, "No space left on device")
    done = run_film(tmp_path)
    assert done.exit_code == 1
    assert "No space left on device" in read_words(done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.frames"]
    studio.broken, studio.painted = None, []
    assert run_film(tmp_path).exit_code == 0
    assert studio.painted == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--frames", "4"], "frames: must be such as 0:48"),
        (["--frames", "0:9"], "frames: must be within 0:8, which is the whole clip (got 0:9)"),
        (["--every", "9"], "every: must be 1 to 8"),
        (["--spacing", "0"], "0 is not in the range 1<=x<=120"),
        (["--moving", "{"], "moving: is no JSON: "),
        (["--moving", "nowhere.json"], "moving: must be JSON or its file; nowhere.json cannot be read"),
        (["--moving", '{"blend": {"0": [1, 0]}}'], "blend: has 2 numbers at frame 0 for 1 painting"),
        (["--format", "webp"], "format: is a picture's; the ending of --output chooses the film's"),
        (["--init", BRUSH], "init: is a picture's"),
        (
            ["-o", "out.avi"],
            "output: ends in .avi; a film's file must end in one of .mp4, .webm, .mov, .zip",
        ),
        (
            ["--keep-frames", "nowhere/frames"],
            "keep-frames: nowhere/frames cannot be used: No such file",
        ),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_painted(
    tmp_path: Path, studio: Studio, options: list[str], said: str
) -> None:
    done = run_film(tmp_path, *options)
    assert done.exit_code in (1, 2)
    assert said in read_words(done)
    assert studio.painted == []
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_disk_without_room_is_named_before_anything_is_painted(
    tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "MB free for frames that may take" in read_words(run_film(tmp_path))
    assert studio.painted == []


def test_a_machine_without_opencv_says_what_to_install_before_anything_is_painted(
    tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "install the extra `film`" in read_words(run_film(tmp_path))
    assert studio.painted == []


def test_time_left_counts_held_frames_as_the_less_work_they_are() -> None:
    film = SimpleNamespace(recipe=Recipe(size=64), clip=CLIP)
    anchor, stretch = (film_files._Film.weigh(film, part) for part in _list_parts())  # type: ignore[arg-type]
    assert 0 < stretch < anchor / 2


def _list_parts() -> tuple[Part, Part]:
    from farm.recipe.film import plan_parts

    anchor, _, stretch, *_ = plan_parts((0,), range(8), 3)
    return anchor, stretch


def test_settings_that_films_refuse_are_not_offered() -> None:
    words = CliRunner().invoke(main, ["film", "--help"]).output
    assert "--frames" in words
    assert "--format" not in words
    assert "--grown-from" not in words
