"""Parts of films: anchors and stretches painted frame by frame, each stored as soon as it is finished,
and all frames joined.

A stored frame is a checkpoint: the next attempt, on whichever worker, goes on after the last one. Within
a frame there are others, by time, as of a picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from farm.clips.clip import Clip, Sound
from farm.clips.reader import ClipReader
from farm.clips.write import write_film
from farm.counts import format_count
from farm.database import sessions, tallies
from farm.database.films import Film, FilmFrame, frame_key, maps_key
from farm.database.models import Job, State
from farm.engine import device
from farm.engine.checkpoint import Checkpoint
from farm.engine.film.paint import FrameStep, PaintedFrame, paint_part
from farm.engine.loaded import Engine
from farm.engine.optimise import Step
from farm.films import films
from farm.films.parts import read_plan, read_settings
from farm.fleet import registry
from farm.jobs import attempts, states, worker_failures
from farm.jobs.attempts import Progress
from farm.jobs.claims import Taker
from farm.jobs.states import Claim
from farm.pictures.encode import write_eight_bit
from farm.pictures.frame_maps import write_maps
from farm.pictures.jpeg import encode_jpeg
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.recipe.film import Role, shorten_iterations
from farm.recipe.formats import PREVIEW_PIXELS
from farm.recipe.levels import compute_levels, count_pixel_iterations, count_work
from farm.recipe.picture_sizes import compute_held_photograph
from farm.settings import settings
from farm.storage import storage
from workers import checkpoints, decoding, retries
from workers.checkpoints import CheckpointWriter
from workers.film_task import PartTask
from workers.inputs import FilmInputs, Read, load_film_inputs
from workers.interrupts import Interrupted, StorageWait, stopping
from workers.reporter import SMALLEST_MEASURED, Reports

CLIP = "clip"
PREVIEW_QUALITY = 88  # of JPEG
SPREAD = 0.3  # by which the time left may well be off


def can_paint_films() -> bool:
    """Check whether this worker has what films need: the extra `film`."""
    return all(find_spec(name) is not None for name in ("av", "cv2"))


@dataclass(frozen=True)
class Painter:
    """What a worker paints parts with."""

    # Returns the network of a recipe's features and precision.
    load_engine: Callable[[str, str], Engine]
    # Called after each iteration.
    on_progress: Callable[[], None]


def render_part(claim: Claim, taker: Taker, read: Read, painter: Painter) -> None:
    """Paint or join what a part of a film is, and move its row to succeeded.

    Args:
        taker: this worker, as it claims. read: returns the bytes of an upload.

    Raises:
        Interrupted: it is to be left. AttemptLost: it is another attempt's. QuotaTooSmall: the film's
            owner stores as much as they may. And what the engine raises.
    """
    task = _prepare(claim, taker, read, painter)
    began = time.monotonic()
    task.check_storage_left()
    sizes = task.list_kept()  # bytes of the part's files by their keys
    joins = task.part.role is Role.JOIN
    metrics = _join(task, sizes) if joins else _paint(task, read, painter, sizes)
    metrics["seconds"] = round(time.monotonic() - began, 1)
    sizes.pop("checkpoint", None)  # it goes with the attempt
    stored_bytes = sum(sizes.values())
    added = retries.write(lambda session: _succeed(session, task, metrics, stored_bytes))
    films.send_tickets(added)


def _prepare(claim: Claim, taker: Taker, read: Read, painter: Painter) -> PartTask:
    job = claim.job
    film = films.get(str(job.film_id))
    part = read_plan(film)[job.film_part or 0]
    storage_wait = StorageWait(claim.attempt, painter.on_progress)
    return PartTask(
        claim=claim,
        part=part,
        film=film,
        settings=read_settings(film),
        clip=Clip.from_json(film.clip),
        recipe=_choose_network(Recipe.parse(film.recipe), film),
        source=read(job.content, CLIP),
        store=storage(),
        storage_wait=storage_wait,
        on_progress=painter.on_progress,
        reports=Reports(claim, taker),
    )


def _choose_network(recipe: Recipe, film: Film) -> Recipe:
    """Return the recipe with the network that other parts were painted with, if they were: frames of
    two networks would not go together."""
    known = next((job.features for job in film.parts if job.features), None)
    if recipe.features != "auto" or known is None:
        return recipe
    return Recipe.parse(recipe.model_dump(mode="json") | {"features": known})


def _load_network(task: PartTask, painter: Painter) -> Engine:
    """Load the network of the film's frames, and record it. Of parts that began at the same time, the
    first to come here chooses it."""
    loaded = painter.load_engine(task.recipe.features, task.recipe.precision)
    found, attempt = loaded.vgg.network, task.claim.attempt
    chosen = retries.write(lambda session: films.choose_features(session, attempt, task.film.id, found))
    return loaded if chosen == found else painter.load_engine(chosen, task.recipe.precision)


def _paint(task: PartTask, read: Read, painter: Painter, sizes: dict[str, int]) -> dict[str, Any]:
    """Paint the frames of a part that no attempt has finished, and return the figures."""
    done = _count_finished(task)
    try:
        inputs = load_film_inputs(task.job, task.recipe, task.clip.size, read)
    finally:
        decoding.end_used()
    resume = checkpoints.find_usable(task.claim, task.store, task.storage_wait)
    ready = _load_network(task, painter).with_budget(settings().memory_gb)
    device.trim(ready.device)  # what reading the files left
    device.reset_peak_memory(ready.device)
    on = device.describe(ready.device)
    task.reports.add_line(f"{ready.vgg.network} on {on}, {ready.number_format.name}")
    if done:
        task.reports.add_line(f"goes on after {done} of {format_count(len(task.part.frames), 'frame')}")
    _paint_frames(task, inputs, ready, done, resume, sizes)
    return {
        "peak_memory_bytes": device.read_peak_memory(ready.device),
        "precision": ready.number_format.name,
        "device": device.describe(ready.device),
    }


def _count_finished(task: PartTask) -> int:
    """Count the frames of a part that lie in storage already, from its first one on."""
    with sessions.read_session() as session:
        mine = select(FilmFrame.number).where(FilmFrame.film_id == task.film.id)
        known = set(session.scalars(mine.where(FilmFrame.number.in_(task.part.frames))))
    frames = task.part.frames
    return next((place for place, frame in enumerate(frames) if frame not in known), len(frames))


def _paint_frames(
    task: PartTask,
    inputs: FilmInputs,
    ready: Engine,
    done: int,
    resume: Checkpoint | None,
    sizes: dict[str, int],
) -> None:
    """Paint the frames that are left; what is interrupted leaves a checkpoint within its frame."""
    size = compute_held_photograph(task.recipe, task.clip.size)
    writer = CheckpointWriter(task.claim, task.store, sizes)
    with ClipReader(task.source, task.clip, size) as reader, writer:

        def paint(resume: Checkpoint | None) -> Iterator[FrameStep | PaintedFrame]:
            return paint_part(
                task.part,
                reader.read,
                task.read_painted,
                inputs.styles,
                task.recipe,
                ready,
                done=done,
                moving=task.settings.moving,
                guides=inputs.guides,
                read_maps=task.read_maps if task.settings.regions == "follow" else None,
                resume=resume,
                on_tile=task.reports.watch,
            )

        painted = checkpoints.run_from(task.claim.attempt, resume, task.recipe, ready, paint)
        _follow(task, painted, writer, _Pace(done / len(task.part.frames)), sizes)


def _follow(
    task: PartTask,
    painted: Iterator[FrameStep | PaintedFrame],
    writer: CheckpointWriter,
    pace: _Pace,
    sizes: dict[str, int],
) -> None:
    """Report each iteration, and store each finished frame.

    Raises:
        Interrupted: the part is to be left. AttemptLost: it is another attempt's.
    """
    step: Step | None = None  # the last iteration of the frame at work
    try:
        for news in painted:
            task.on_progress()
            if isinstance(news, PaintedFrame):
                writer.finish()  # a checkpoint recorded later would be of a frame that is finished
                # A frame that is as still as its anchor has no iterations.
                _store_frame(task, news, sizes, step.seconds if step else 0.0)
                step = None
                if news.done < news.frames:
                    task.check_storage_left()
            else:
                step = news.step
                _report(task, news, pace)
                writer.update(step)
            decoding.start()  # for the next job; before this one has begun it would be in its way
    except Interrupted as stop:
        if stop.state is State.QUEUED and step is not None:
            writer.write(step)
        raise


def _report(task: PartTask, news: FrameStep, pace: _Pace) -> None:
    """Report an iteration, if it is time to.

    Raises:
        Interrupted: a person cancelled the job, or this process shall end.
    """
    step = news.step
    if stopping.is_set() and step.progress < 1:  # else there is nothing left to resume
        raise Interrupted(State.QUEUED)
    if not task.reports.is_due():
        return
    left = pace.estimate_left(news.progress)
    task.reports.write(
        Progress(
            progress=news.progress,
            level=news.done + 1,
            levels=news.frames,
            iteration=news.done * step.total + step.done,
            iterations=news.frames * step.total,
            eta_seconds=left,
            eta_spread_seconds=SPREAD * left,
            content_loss=step.losses.content,
            style_loss=step.losses.style,
            tv_loss=step.losses.tv,
        )
    )


class _Pace:
    """Time left of a part at the pace of this attempt.

    Args:
        progress: share of the part that was done before.
    """

    def __init__(self, progress: float) -> None:
        self._began, self._before = time.monotonic(), progress

    def estimate_left(self, progress: float) -> float:
        """Return the seconds to the end, at this share of the part."""
        gained = max(progress - self._before, 1e-6)
        return (time.monotonic() - self._began) * (1 - progress) / gained


def _store_frame(task: PartTask, painted: PaintedFrame, sizes: dict[str, int], seconds: float) -> None:
    """Store a finished frame and its preview, then record it under the attempt's fence.

    Args:
        sizes: bytes of the attempt's files by their keys, these among them.
        seconds: that its iterations took.

    Raises:
        AttemptLost: the job is another attempt's; the frame is not recorded.
    """
    attempt = task.claim.attempt
    image = Image.fromarray(painted.picture)
    key = frame_key(attempt.job_id, attempt.number, painted.frame)
    if painted.maps is not None:
        task.put(maps_key(key), partial(write_maps, painted.maps), sizes)
    task.put(key, partial(write_eight_bit, image, "png"), sizes)
    task.put(task.job.preview_key, partial(_write_preview, image), sizes)
    total = sum(sizes.values())

    def record(session: Session) -> None:
        attempts.record_frame(session, attempt, task.film.id, painted.frame, total)
        _record_speed(session, task, seconds)

    retries.write(record)


def _record_speed(session: Session, task: PartTask, seconds: float) -> None:
    """Record what an iteration took for a megapixel, and count what was computed, of one frame."""
    anchor = task.part.role is Role.ANCHOR
    recipe = task.recipe if anchor else shorten_iterations(task.recipe)
    levels = compute_levels(recipe, *task.clip.size)
    tallies.WORK.add(session, task.job.work_class, amount=count_pixel_iterations(levels) / 1_000_000)
    if not recipe.directs_strokes:  # whose iterations are no measure of others
        speed = seconds / (count_work(recipe, levels) / 1_000_000)
        small = levels[-1].pixels / 1_000_000 < SMALLEST_MEASURED
        registry.record_speed(session, settings().worker_name, speed, first=small)


def _write_preview(image: Image.Image, file: Any) -> None:
    small = image.copy()
    small.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS), Image.Resampling.LANCZOS)
    file.write(encode_jpeg(small, quality=PREVIEW_QUALITY))


def _join(task: PartTask, sizes: dict[str, int]) -> dict[str, Any]:
    """Encode all frames, with the clip's sound, and return the figures."""
    numbers = task.part.frames
    first = Image.fromarray(task.read_painted(numbers[0]))
    task.put(task.job.preview_key, partial(_write_preview, first), sizes)
    kind = task.settings.format
    task.reports.add_line(f"joining {format_count(len(numbers), 'frame')}")

    def write(file: Any) -> None:
        frames = _read_all(task, numbers)
        sounds.append(write_film(frames, task.clip, numbers, kind, task.source, file))

    sounds: list[Sound] = []
    task.put(task.job.result_key, write, sizes)
    return {"frames": len(numbers), "sound": sounds[-1].value}


def _read_all(task: PartTask, numbers: Sequence[int]) -> Iterator[Pixels]:
    """Yield painted frames, and report how far joining them is.

    Raises:
        Interrupted: a person cancelled the film, this process shall end, or drafts wait.
    """
    pace = _Pace(0.0)
    for place, number in enumerate(numbers):
        task.on_progress()
        task.reports.watch()
        if place and task.reports.is_due():
            share = place / len(numbers)
            left = pace.estimate_left(share)
            task.reports.write(
                Progress(share, 1, 1, place, len(numbers), left, 0.0, 0.0, 0.0, SPREAD * left)
            )
        yield task.read_painted(number)


def _succeed(session: Session, task: PartTask, metrics: dict[str, Any], stored_bytes: int) -> list[Job]:
    """Move to succeeded, and add the jobs of the parts that waited for this one; return these.

    Raises:
        Interrupted: it was cancelled while its last frame was stored.
    """
    attempt = task.claim.attempt
    if attempts.renew_lease(session, attempt) is State.CANCELLING:
        raise Interrupted(State.CANCELLING)
    states.succeed(session, attempt, metrics, stored_bytes)
    worker_failures.reset(session, settings().worker_name)
    return films.advance(session, task.film.id)
