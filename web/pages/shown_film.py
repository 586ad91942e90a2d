"""A film as its page shows it: parts, strip, what it is made from, and how it stands in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask import url_for

from farm.clips.clip import Clip
from farm.clips.write import compute_end
from farm.counts import format_count
from farm.database.films import Film
from farm.database.models import Job, State
from farm.films import films
from farm.films.parts import compute_frame_size, describe_part, read_settings
from farm.films.settings import FilmSettings
from farm.films.small_frames import compute_small_size, select_strip
from farm.recipe.film import Part, Role
from farm.recipe.film_formats import FILM_FORMATS, FilmFormat
from farm.recipe.picture_sizes import Size
from web import film_words, words
from web.files import build_source_url
from web.film_files import build_film_url, build_film_version


@dataclass(frozen=True)
class ShownPart:
    """A part of a film as its page shows it."""

    part: Part
    # What it does, for a person.
    title: str
    # None: it waits for other parts.
    job: Job | None
    # Place of its first frame among the film's.
    begin: int
    # Frames of it that lie in storage.
    painted: int

    @property
    def number(self) -> int:
        """Its number, from 0."""
        return self.part.number

    @property
    def state(self) -> State | None:
        """State of its job; None: it has none yet."""
        return self.job.state if self.job else None

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self.job.error if self.job else None

    @property
    def length(self) -> int:
        """Number of the frames that it paints; the last part paints none."""
        return 0 if self.part.role is Role.JOIN else len(self.part.frames)

    @property
    def progress(self) -> float:
        """Share of it that is painted, 0..1."""
        if self.state is State.SUCCEEDED:
            return 1.0
        return self.painted / self.length if self.length else 0.0

    @property
    def words(self) -> str:
        """Progress of the part, for a person."""
        if self.length:
            return f"{self.painted} of {format_count(self.length, 'frame')}"
        return "" if self.job is None else words.format_percent(self.job.progress)


@dataclass(frozen=True)
class Slot:
    """A place of the strip."""

    # Of the clip's frame, from 0.
    number: int
    # Among the film's frames, from 1.
    place: int
    painted: bool
    # Address of its small picture.
    src: str
    # Address of it whole, or while it is not painted of the clip's frame.
    href: str


@dataclass(frozen=True)
class ShownSource:
    """Something that a film is made from."""

    title: str
    file_name: str | None
    small: str
    width: int
    height: int
    # Address of it whole; None: it is not given out.
    whole: str | None = None
    words: str = ""


class ShownFilm:
    """A film as its page shows it, at one moment."""

    def __init__(
        self,
        film: Film,
        plan: Sequence[Part],
        painted: Collection[int],
    ) -> None:
        """Describe a film, which has its parts with it.

        Args:
            plan: of its parts; the last one joins them. painted: numbers of the frames that are.
        """
        self.film = film
        self.left: float | None = None  # s until it is finished
        self.has_painters = True  # whether a worker that is alive paints films
        self.clip = Clip.from_json(film.clip)
        self.numbers = list(plan[-1].frames)
        self.painted = set(painted)
        self._places = {number: place for place, number in enumerate(self.numbers)}
        jobs = {job.film_part: job for job in film.parts}
        self.parts = [self._describe_part(part, plan, jobs.get(part.number)) for part in plan]

    def _describe_part(self, part: Part, plan: Sequence[Part], job: Job | None) -> ShownPart:
        title = words.capitalise(describe_part(part, plan))
        painted = len(self.painted.intersection(part.frames))
        return ShownPart(part, title, job, self._places[part.frames[0]], painted)

    @cached_property
    def state(self) -> State:
        """State of the whole."""
        return films.compute_state(self.film)

    @property
    def error(self) -> str | None:
        """Why it failed, for a person."""
        return self.film.error if self.state is State.FAILED else None

    @property
    def stoppable(self) -> bool:
        """True where a person may cancel it."""
        return self.state in (State.QUEUED, State.RUNNING)

    @cached_property
    def progress(self) -> float:
        """Share of its frames that are painted, 0..1."""
        return films.compute_progress(self.film, len(self.painted))

    @property
    def done(self) -> bool:
        """True where a frame is painted."""
        return bool(self.painted)

    @property
    def width(self) -> int:
        """Width of its frames, px."""
        return self.size[1]

    @property
    def height(self) -> int:
        """Height of its frames, px."""
        return self.size[0]

    @property
    def size(self) -> Size:
        """Height and width of its frames, px."""
        return compute_frame_size(self.film)

    @property
    def small(self) -> Size:
        """Height and width of their small pictures, px."""
        return compute_small_size(self.size)

    @property
    def frames_words(self) -> str:
        """How long it is."""
        return words.describe_length(len(self.numbers), self.times[-1] / 1000)

    @property
    def painted_words(self) -> str:
        """Progress of the film, for a person."""
        done, at_work = len(self.painted), sum(part.state is State.RUNNING for part in self.parts)
        return words.describe_painted(done, len(self.numbers), at_work)

    @property
    def waiting_words(self) -> str:
        """Why nothing happens, or what happens last."""
        if self.state is State.CANCELLING:
            return "Stopping as soon as its workers notice."
        if self.parts[-1].state is State.RUNNING:
            return "All frames are painted; they are being joined."
        if self.state is not State.QUEUED:
            return ""
        return "Waiting for a worker." if self.has_painters else words.NO_PAINTER

    @property
    def times(self) -> list[int]:
        """When each of its frames begins, ms from the first one's, and at last when the film ends."""
        end = compute_end(self.clip, self.numbers)
        times = [*(self.clip.times[number] for number in self.numbers), end]
        return [round(1000 * (time - times[0])) for time in times]

    @property
    def shots(self) -> list[int]:
        """Places of the frames that begin a shot, but for the first."""
        return [
            place for place, number in enumerate(self.numbers) if place and number in self.clip.shots
        ]

    @cached_property
    def painted_runs(self) -> str:
        """Numbers of the painted frames, such as `0-23 48`."""
        return format_runs(sorted(self.painted))

    @property
    def version(self) -> str:
        """What tells it from another of the same id."""
        return build_film_version(self.film)

    def build_url(self, endpoint: str, **values: Any) -> str:
        """Return the address of a file of it that may be kept."""
        return build_film_url(self.film, endpoint, **values)

    @property
    def slots(self) -> Iterator[Slot]:
        """The places of its strip."""
        for number in select_strip(self.numbers):
            painted = number in self.painted
            small = "get_small_frame" if painted else "get_clip_frame"
            href = self.build_url("get_frame" if painted else "get_clip_frame", number=number)
            yield Slot(
                number, self._places[number] + 1, painted, self.build_url(small, number=number), href
            )

    @property
    def result_url(self) -> str:
        """Address of the finished film."""
        return self.build_url("get_film")

    @cached_property
    def settings(self) -> FilmSettings:
        """Its settings as a whole."""
        return read_settings(self.film)

    @property
    def result_words(self) -> str:
        """Words for the finished film."""
        joined = films.find_join(self.film)
        seconds = self.times[-1] / 1000
        return film_words.describe_film(len(self.numbers), seconds, joined.metrics if joined else None)

    @property
    def poster(self) -> str:
        """Address of its first frame, small, once it is painted."""
        return self.build_url("get_small_frame", number=self.numbers[0])

    @property
    def plays(self) -> bool:
        """True where it is finished, in a format that browsers play."""
        return self.state is State.SUCCEEDED and self.format.plays

    @property
    def settings_words(self) -> list[tuple[str, str]]:
        """Titles and words of its settings as a whole."""
        return film_words.list_film_settings(self.settings, self.clip.frames)

    @property
    def format(self) -> FilmFormat:
        """File format of the finished film."""
        return FILM_FORMATS[self.settings.format]

    @property
    def zip_url(self) -> str | None:
        """Address of all frames that are painted, as a zip; None: there is none, or the film is one."""
        if not self.painted or (self.format.name == "zip" and self.state is State.SUCCEEDED):
            return None
        return url_for("film_files.get_frames", film_id=self.film.id)

    @property
    def sources(self) -> Iterator[ShownSource]:
        """The clip and the paintings."""
        job = self.film.parts[0]
        clip_words = words.describe_length(self.clip.frames, float(self.clip.duration))
        thumbnail = build_source_url(job, job.pictures[0])
        yield ShownSource(
            "Clip", job.content_name, thumbnail, self.clip.width, self.clip.height, words=clip_words
        )
        for number, style in enumerate(job.styles, 1):
            title = f"Painting {number}" if len(job.styles) > 1 else "Painting"
            small, whole = (build_source_url(job, style, whole=whole) for whole in (False, True))
            yield ShownSource(
                title, style.file_name, small, style.upload.width, style.upload.height, whole
            )


def format_runs(numbers: Sequence[int]) -> str:
    """Return rising numbers as runs, such as `0-23 48`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)
