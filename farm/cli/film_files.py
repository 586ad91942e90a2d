"""From a clip and paintings to a film in a file: what `farm film` does, without a farm.

Its parts are those of a film on the farm, painted one after the other, so that on a CPU both have the
same frames to the bit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

from farm.cli import sent_files
from farm.cli.clip_files import read_clip
from farm.cli.film_frames import FrameFolder
from farm.cli.film_options import Choice
from farm.cli.render_files import check_writable, decode_guides, decode_paintings, load_engine
from farm.clips.clip import Clip, Sound
from farm.clips.look import check_clip
from farm.clips.reader import ClipReader
from farm.clips.write import write_film
from farm.counts import format_count
from farm.engine.film.flow import FlowUnavailable
from farm.engine.film.paint import FrameStep, PaintedFrame, paint_part
from farm.engine.guides import Guides
from farm.engine.loaded import Engine
from farm.errors import InvalidInput, Problem
from farm.files import replace_file
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.recipe.film import Part, Role, plan_parts, select_frames, shorten_iterations
from farm.recipe.film_formats import FRAME_BYTES_PER_PIXEL, FilmKind, find_film_format
from farm.recipe.levels import compute_levels, count_work
from farm.recipe.picture_sizes import compute_held_photograph

FORETOLD = 0.1  # share of an anchor after which the pace is known well enough
SOUNDS = {
    Sound.NONE: "no sound",
    Sound.COPIED: "sound copied",
    Sound.ENCODED: "sound encoded anew",
    Sound.LOST: "sound that could not be read",
}


@dataclass(frozen=True)
class FilmProgress:
    """Progress of a film, after an iteration."""

    # Frames that are painted, of all.
    done: int
    frames: int
    # Share of the work, 0..1.
    share: float
    # Until the last frame is painted, s. None: not known yet.
    seconds_left: float | None


def paint_film(
    source: Path,
    styles: list[Path],
    output: Path,
    recipe: Recipe,
    choice: Choice,
    *,
    guides: sent_files.Guides = sent_files.NO_GUIDES,
    keep: Path | None = None,
    say: Callable[[str], None],
    show: Callable[[FilmProgress], None],
) -> dict[str, Any]:
    """Paint a film, write it, and return its figures.

    Args:
        source: a clip's file, or a folder of frames. output: its ending chooses the format.
        guides: masks, and what stays, of each shot's first frame.
        keep: a folder for the painted frames; None: one beside the output, until the film is written.
        say: told one line now and then. show: told each iteration.

    Raises:
        InvalidInput: a file or a setting is wrong. RenderFailed: the engine could not go on.
    """
    kind = find_film_format(output.suffix).name
    check_writable("output", output, [source, *styles, *(path for _, path in guides.list_files())])
    recipe.check_number_of_paintings(len(styles))
    choice.moving.check_number_of_paintings(len(styles))
    if find_spec("cv2") is None:  # before an anchor is painted that could not be gone on from
        raise FlowUnavailable
    began = time.perf_counter()
    film = _Film.load(source, styles, recipe, choice, guides, say)
    with (
        FrameFolder(keep, "keep-frames")
        if keep
        else FrameFolder(name_folder(output), "output") as frames
    ):
        _open_folder(frames, film, say)
        painted = _paint(film, frames, show)
        say(f"Joining {format_count(len(film.numbers), 'frame')} ...")
        sound = _join(film, frames, output, kind)
        if keep is None:
            frames.remove(film.numbers)
    return _report(film, painted, sound, time.perf_counter() - began)


def name_folder(output: Path) -> Path:
    """Return the folder beside a film's file where its frames are until it is written."""
    return output.with_suffix(".frames")


@dataclass(frozen=True)
class _Film:
    """All that the frames of a film depend on."""

    # The clip's file.
    data: bytes
    clip: Clip
    # Of the clip's frames that are painted.
    numbers: tuple[int, ...]
    parts: tuple[Part, ...]
    paintings: list[Pixels]
    guides: Guides
    recipe: Recipe
    choice: Choice
    engine: Engine
    # SHA-256 of each file, by what it is.
    digests: dict[str, list[str]]

    @classmethod
    def load(
        cls,
        source: Path,
        styles: list[Path],
        recipe: Recipe,
        choice: Choice,
        files: sent_files.Guides,
        say: Callable[[str], None],
    ) -> _Film:
        data = read_clip(source)
        clip, _ = check_clip(data, "clip")
        numbers = select_frames(clip.frames, choice.first, choice.end, choice.every)
        height, width = recipe.compute_result_size(*clip.size)
        count = format_count(len(numbers), "frame")
        say(f"{source.name}: {_describe(clip)}; {count} of {width} x {height} to paint")
        parts = plan_parts(clip.shots, numbers, choice.spacing)
        paintings = decode_paintings(styles, recipe, clip.size, whole=False)
        guides = decode_guides(files, recipe, clip.size)
        guides.check(clip.size, len(styles))
        digests = {
            "clip": [hashlib.sha256(data).hexdigest()],
            "paintings": [_hash_file(path) for path in styles],
            "masks": [_hash_file(path) for path in files.masks],
            "what stays": [_hash_file(path) for path in (files.keep,) if path],
        }
        engine = load_engine(recipe, None, say)
        return cls(data, clip, numbers, parts, paintings, guides, recipe, choice, engine, digests)

    @property
    def facts(self) -> dict[str, Any]:
        """All of it as JSON, by names for people."""
        settings = self.engine.resolve(self.recipe).model_dump(mode="json", exclude={"format"})
        moving = self.choice.moving.model_dump(mode="json", exclude_defaults=True)
        regions = {"regions": "follow"} if self.follows else {}  # earlier versions' notes have none
        return {
            **self.digests,
            "settings": settings,
            "settings that move": moving,
            "frames": list(self.numbers),
            "spacing": self.choice.spacing,
            **regions,
        }

    @property
    def maps(self) -> int:
        """Number of maps."""
        return len(self.guides.masks) + (self.guides.keep is not None)

    @property
    def follows(self) -> bool:
        """True where maps go with what they are on."""
        return self.maps > 0 and self.choice.regions == "follow"

    @property
    def painting(self) -> tuple[Part, ...]:
        """The parts that paint."""
        return self.parts[:-1]

    def open_clip(self) -> ClipReader:
        """Return a reader of the clip's frames, at the size at which photographs are held."""
        return ClipReader(self.data, self.clip, compute_held_photograph(self.recipe, self.clip.size))

    def weigh(self, part: Part) -> float:
        """Return the work in each frame of a part, in pixel-iterations."""
        recipe = self.recipe if part.role is Role.ANCHOR else shorten_iterations(self.recipe)
        return count_work(recipe, compute_levels(recipe, *self.clip.size))


def _describe(clip: Clip) -> str:
    shots = f", {format_count(len(clip.shots), 'shot')}" if len(clip.shots) > 1 else ""
    sound = "with sound" if clip.sound else "no sound"
    length = f"{float(clip.duration):.1f} s"
    return (
        f"{format_count(clip.frames, 'frame')} of {clip.width} x {clip.height}, {length}{shots}, {sound}"
    )


def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _open_folder(frames: FrameFolder, film: _Film, say: Callable[[str], None]) -> None:
    """Make the folder of the frames, or go on with it, and say what it will hold.

    Raises:
        InvalidInput: it is another film's, cannot be written, or the disk has no room.
    """
    frames.open(film.facts)
    done = sum(_count_finished(part, frames) for part in film.painting)
    height, width = film.recipe.compute_result_size(*film.clip.size)
    needed = (len(film.numbers) - done) * height * width * FRAME_BYTES_PER_PIXEL
    frames.check_room(needed)
    if done:
        count = f"{done} of {format_count(len(film.numbers), 'frame')} {'is' if done == 1 else 'are'}"
        say(f"Goes on from {frames.path}, where {count} painted")
    if needed:
        say(f"Frames still to paint will take up to {max(1, round(needed / 1e6))} MB in {frames.path}")


def _count_finished(part: Part, frames: FrameFolder) -> int:
    """Count the frames of a part that it need not paint: those in the folder before the first that is
    not."""
    return len(list(takewhile(frames.has, part.frames)))


class _Pace:
    """Share of a film that is painted, and the time left at the pace of this run.

    Args:
        weights: the work in each frame. finished: frames that are painted already.
    """

    def __init__(self, weights: dict[int, float], finished: set[int]) -> None:
        self._weights, self._finished = weights, finished
        self._total = sum(weights.values())
        self._before = self._work = sum(weights[frame] for frame in finished)
        self._began = time.monotonic()

    def update(self, news: FrameStep | PaintedFrame) -> FilmProgress:
        """Count an iteration or a finished frame."""
        weight, partly = self._weights[news.frame], 0.0
        if isinstance(news, PaintedFrame):
            self._finished.add(news.frame)
            self._work += weight
        else:
            partly = weight * news.step.progress
        work = self._work + partly
        done, frames = len(self._finished), len(self._weights)
        return FilmProgress(done, frames, work / self._total, self._foretell(work))

    def _foretell(self, work: float) -> float | None:
        run = work - self._before
        if run < FORETOLD * max(self._weights.values()):
            return None
        return (self._total - work) * (time.monotonic() - self._began) / run


def _paint(film: _Film, frames: FrameFolder, show: Callable[[FilmProgress], None]) -> int:
    """Paint the frames that the folder lacks, part by part; return how many they were."""
    finished = {
        frame for part in film.painting for frame in part.frames[: _count_finished(part, frames)]
    }
    pace = _Pace({frame: film.weigh(part) for part in film.painting for frame in part.frames}, finished)
    before = len(finished)
    with film.open_clip() as clip:
        for part in film.painting:
            for news in _paint_part(film, part, clip, frames):
                if isinstance(news, PaintedFrame):
                    if news.maps is not None:
                        frames.write_maps(news.frame, news.maps)
                    frames.write(news.frame, news.picture)
                show(pace.update(news))
    return len(film.numbers) - before


def _paint_part(
    film: _Film, part: Part, clip: ClipReader, frames: FrameFolder
) -> Iterator[FrameStep | PaintedFrame]:
    """Paint what the folder lacks of a part."""
    done = _count_finished(part, frames)
    if done == len(part.frames):
        return iter(())
    return paint_part(
        part,
        clip.read,
        frames.read,
        film.paintings,
        film.recipe,
        film.engine,
        done=done,
        moving=film.choice.moving,
        guides=film.guides,
        read_maps=partial(frames.read_maps, count=film.maps) if film.follows else None,
    )


def _join(film: _Film, frames: FrameFolder, output: Path, kind: FilmKind) -> Sound:
    """Write the film to a file that appears whole or not at all.

    Raises:
        InvalidInput: the disk does not take it, or a frame is not as it was written.
    """
    pictures = (frames.read(number) for number in film.numbers)
    try:
        with replace_file(output) as part, part.open("wb") as file:
            return write_film(pictures, film.clip, film.numbers, kind, film.data, file)
    except OSError as error:
        again = f"its frames stay in {frames.path}, and the same command joins them"
        raise InvalidInput(Problem("output", f"{output}: {error.strerror}; {again}")) from error


def _report(film: _Film, painted: int, sound: Sound, seconds: float) -> dict[str, Any]:
    height, width = film.recipe.compute_result_size(*film.clip.size)
    return {
        "width": width,
        "height": height,
        "frames": len(film.numbers),
        "painted": painted,
        "anchors": sum(part.role is Role.ANCHOR for part in film.parts),
        "shots": len(film.clip.shots),
        "sound": SOUNDS[sound],
        "seconds": round(seconds, 2),
        "features": film.engine.vgg.network,
        "precision": film.engine.number_format.name,
    }
