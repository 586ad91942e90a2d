"""One claimed job from its uploads to its result: the loop around the engine.

Reports about once a second, stores a preview now and then, stops when a person or the operator asks.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache

import structlog
import torch

from farm import db, images, jobs
from farm.engine import device, precision, quality
from farm.engine.optimise import Picture, Step, stylize
from farm.engine.ready import Engine, budget_bytes
from farm.errors import AttemptLost, FarmError
from farm.models import Job, State
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import Storage, storage

REPORT_SECONDS = 1.0
PREVIEW_SECONDS = 3.0
PREVIEW_SHARE = 0.05  # of the time may go into previews, so large pictures get them less often
SMALLEST_MEASURED = 0.05  # megapixels; smaller levels are slower for their pixels

stopping = threading.Event()  # the operator wants this process to end
log = structlog.get_logger()


class _Stop(Exception):
    """Leave the loop: `state` says who asked for it."""

    def __init__(self, state: State) -> None:
        self.state = state


def machine() -> jobs.Machine:
    """What this process renders on, for the list of workers and for estimates."""
    chosen = device.choose()
    form = precision.choose("auto", chosen)
    memory = device.memory_bytes(chosen)
    return jobs.Machine(
        device=device.describe(chosen),
        memory_bytes=memory,
        device_kind=chosen.type,
        itemsize=form.dtype.itemsize,
        winograd=form.winograd,
        budget_bytes=budget_bytes(settings().memory_gb, memory),
    )


@lru_cache(maxsize=1)
def engine(features: str, form: str) -> Engine:
    """The last network stays loaded, so that the next job starts at once."""
    given = settings()
    return Engine.ready(features, form, given.weights_dir, log.info, memory_gb=given.memory_gb)


def render(claim: jobs.Claim) -> None:
    """Render a claimed job and move its row to where it ends. Raises nothing."""
    job, attempt = claim.job, claim.attempt
    logger = log.bind(job=job.id, attempt=attempt)
    logger.info("rendering", name=job.name, width=job.width, height=job.height)
    try:
        _render(job, attempt)
        logger.info("finished")
    except AttemptLost:
        logger.warning("attempt lost; another owns the job, or it is gone")
    except _Stop as stop:
        _leave(job, attempt, stop.state)
        logger.info("stopped", state=stop.state.value)
    except FarmError as error:
        logger.warning("failed", error=str(error))
        _fail(job, attempt, str(error))
    except (MemoryError, torch.OutOfMemoryError):
        logger.exception("out of memory")
        size = f"{job.width} x {job.height}"
        _fail(job, attempt, f"The worker ran out of memory at {size}. Try a smaller size.")
    except Exception:
        logger.exception("the renderer broke")
        message = "The renderer broke while making this picture. The worker's log says why, under"
        _fail(job, attempt, f"{message} job {job.id}, attempt {attempt}.")


def _render(job: Job, attempt: int) -> None:
    store = storage()
    recipe = Recipe.parse(job.recipe)
    limit = settings().max_upload_megapixels
    content = images.decode(store.get(job.content.key), "content", limit)
    styles = [images.decode(store.get(style.upload.key), "style", limit) for style in job.styles]
    ready = engine(recipe.features, recipe.precision)
    with db.writing() as session:
        jobs.set_features(session, job.id, attempt, ready.vgg.features)
    device.reset_peak_memory(ready.device)
    reporter = _Reporter(job, attempt, store)
    step = None
    for step in stylize(content, styles, recipe, ready):
        reporter.saw(step)
    assert step is not None, "a schedule has at least one iteration"
    picture = step.picture()
    figures = quality.measure(picture, content, styles, recipe, ready)
    _finish(job, attempt, store, picture, recipe, ready, step, figures)


def _finish(
    job: Job,
    attempt: int,
    store: Storage,
    picture: Picture,
    recipe: Recipe,
    ready: Engine,
    step: Step,
    figures: quality.Quality,
) -> None:
    """Store the result under the attempt's key, then make it the job's by the row."""
    store_pictures(job, store, picture, ready.settled(recipe).model_dump_json())
    metrics = figures.as_dict() | {
        "seconds": round(step.seconds, 1),
        "peak_memory_bytes": device.peak_memory_bytes(ready.device),
        "precision": ready.form.name,
        "device": device.describe(ready.device),
    }
    with db.writing() as session:
        jobs.succeed(session, job.id, attempt, metrics)


def store_pictures(job: Job, store: Storage, picture: Picture, recipe: str) -> None:
    """The preview, the result with its recipe (JSON) and, where browsers need one, the view."""
    store.put(job.preview_key, images.preview(picture))
    with store.writing(job.result_key) as file:
        images.write(picture, job.format.name, file, recipe)
    if job.has_view:
        with store.writing(job.view_key) as file:
            images.view(picture, file)


class _Reporter:
    """Turns steps into rows and previews, not more often than is useful."""

    def __init__(self, job: Job, attempt: int, store: Storage) -> None:
        self._job, self._attempt, self._store = job, attempt, store
        self._reported = self._previewed = -1e9
        self._preview_took = 0.0
        self._level = (0, 0.0, 0.0)  # number, and seconds and progress at its start
        self._first = 0  # iteration seen of this level

    def saw(self, step: Step) -> None:
        """After each iteration.

        Raises:
            _Stop: a person cancelled the job, or this process shall end.
            AttemptLost: the job is another attempt's.
        """
        if stopping.is_set():
            raise _Stop(State.QUEUED)
        if step.level != self._level[0]:
            self._level = (step.level, step.seconds, step.progress)
            self._first = step.iteration
        now = time.monotonic()
        last_of_level = step.ends_level
        if now - self._reported < REPORT_SECONDS and not last_of_level:
            return
        self._reported = now
        with db.writing() as session:
            state = jobs.report(session, self._job.id, self._attempt, self._progress(step))
            if speed := self._speed(step):
                jobs.worker_measured(session, settings().worker_name, speed)
        if state is State.CANCELLING:
            raise _Stop(state)
        pause = max(PREVIEW_SECONDS, self._preview_took / PREVIEW_SHARE)
        if now - self._previewed >= pause or last_of_level:
            self._preview(step)

    def _preview(self, step: Step) -> None:
        began = time.monotonic()
        jpeg = images.preview(step.picture())
        self._store.put(self._job.preview_key, jpeg)
        with db.writing() as session:
            jobs.preview_stored(session, self._job.id, self._attempt)
        self._previewed = time.monotonic()
        self._preview_took = self._previewed - began

    def _progress(self, step: Step) -> jobs.Progress:
        return jobs.Progress(
            progress=step.progress,
            level=step.level,
            levels=step.levels,
            iteration=step.done,
            iterations=step.total,
            eta_seconds=self._eta(step),
            content_loss=step.losses.content,
            style_loss=step.losses.style,
            tv_loss=step.losses.tv,
        )

    def _speed(self, step: Step) -> float | None:
        """Seconds an iteration and megapixel over the level that ends; None: nothing to measure by.
        Without the level's first iteration, which prepares the others."""
        megapixels = step.height * step.width / 1e6
        counted = step.iteration - self._first
        if not step.ends_level or megapixels < SMALLEST_MEASURED or not counted:
            return None
        return (step.seconds - self._level[1]) / counted / megapixels

    def _eta(self, step: Step) -> float:
        """By this level's pace once it has one: small levels are slower for their pixels."""
        _, began, at = self._level
        pace = (step.progress - at) / max(step.seconds - began, 1e-6)
        if step.iteration <= 2:
            pace = step.progress / max(step.seconds, 1e-6)
        return (1 - step.progress) / max(pace, 1e-9)


def _leave(job: Job, attempt: int, state: State) -> None:
    try:
        with db.writing() as session:
            if state is State.CANCELLING:
                jobs.stopped(session, job.id, attempt)
            else:
                jobs.give_back(session, job.id, attempt, "its worker was stopped; waits for another")
    except AttemptLost:
        log.warning("attempt lost while leaving", job=job.id)


def _fail(job: Job, attempt: int, message: str) -> None:
    try:
        with db.writing() as session:
            jobs.fail(session, job.id, attempt, message)
    except AttemptLost:
        log.warning("attempt lost while failing", job=job.id)
