"""One claimed job from its uploads to its result: the loop around the engine.

Reports about once a second, stores a preview now and then, stops when a person or the operator asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy.orm import Session

from farm import attempts, db, images, jobs, machines
from farm.engine import device, precision, quality
from farm.engine.checkpoint import Checkpoint
from farm.engine.optimise import Picture, Step, stylize
from farm.engine.ready import Engine, budget_bytes
from farm.errors import (
    AttemptLost,
    FarmError,
    InvalidInput,
    RenderFailed,
    StorageAway,
    WeightsUnavailable,
)
from farm.models import Job, State, Upload
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import Storage, storage
from workers import checkpoints, outage
from workers.checkpoints import Checkpoints

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


def machine() -> machines.Machine:
    """What this process renders on, for the list of workers and for estimates."""
    chosen = device.choose()
    form = precision.choose("auto", chosen)
    memory = device.memory_bytes(chosen)
    return machines.Machine(
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


def render(claim: jobs.Claim, progressed: Callable[[], None]) -> bool:
    """Render a claimed job and move its row to where it ends. Raises nothing.

    Args:
        progressed: called after each iteration.

    Returns:
        Whether this process ran out of memory, and another should go on.
    """
    job, attempt = claim.job, claim.attempt
    logger = log.bind(job=job.id, attempt=attempt)
    logger.info("rendering", name=job.name, width=job.width, height=job.height)
    try:
        _render(job, attempt, progressed)
        logger.info("finished")
    except AttemptLost:
        logger.warning("attempt lost; another owns the job, or it is gone")
    except _Stop as stop:
        _leave(job, attempt, stop.state)
        logger.info("stopped", state=stop.state.value)
    except outage.DatabaseAway:  # the lease lapses, and the job goes on elsewhere
        logger.exception("the database stays away; given up")
    except Exception as error:
        if device.is_out_of_memory(error):
            logger.exception("out of memory")
            message = "its worker ran out of memory"
            _end(job, lambda s: jobs.broke_off(s, job.id, attempt, jobs.OUT_OF_MEMORY, message))
            return True
        if isinstance(error, FarmError):
            logger.warning("failed", error=str(error))
            message = str(error)
        else:
            logger.exception("the renderer broke")
            message = "The renderer broke while making this picture. The worker's log says why, under"
            message += f" job {job.id}, attempt {attempt}."
        _end(job, lambda s: jobs.fail(s, job.id, attempt, message))
    return False


@dataclass(frozen=True)
class _Task:
    """What one attempt has at hand."""

    job: Job
    attempt: int
    store: Storage
    recipe: Recipe
    content: Picture
    styles: list[Picture]
    ready: Engine

    def note(self, message: str) -> None:
        """For the job's timeline."""
        outage.write(lambda s: attempts.note(s, self.job.id, self.attempt, message))


def _render(job: Job, attempt: int, progressed: Callable[[], None]) -> None:
    store = storage()
    recipe = Recipe.parse(job.recipe)
    content, *styles = [
        _decoded(store, upload, field)
        for field, upload in (("content", job.content), *(("style", s.upload) for s in job.styles))
    ]
    resume = checkpoints.newest(job, store)
    try:
        ready = engine(resume.features if resume else recipe.features, recipe.precision)
    except WeightsUnavailable:
        if resume is None:
            raise
        ready = engine(recipe.features, recipe.precision)  # and begin anew, see `_steps`
    outage.write(lambda s: attempts.set_features(s, job.id, attempt, ready.vgg.features))
    device.reset_peak_memory(ready.device)
    reporter = _Reporter(job, attempt, store)
    task = _Task(job, attempt, store, recipe, content, styles, ready)
    step = None
    for step in _steps(task, resume):
        progressed()
        reporter.saw(step)
    assert step is not None, "a schedule has at least one iteration"
    _finish(task, step)


def _decoded(store: Storage, upload: Upload, field: str) -> Picture:
    data = outage.tried(lambda: store.get(upload.key))
    return images.decode(data, field, settings().max_upload_megapixels)


def _steps(task: _Task, resume: Checkpoint | None) -> Iterator[Step]:
    """From the checkpoint on, if it is of any use; else from the beginning."""
    given = (task.content, task.styles, task.recipe, task.ready)
    if resume is not None:
        facts = resume.facts
        if task.recipe.precision == "auto":  # what suits this device, whatever the last one took
            resume = resume.with_precision(task.ready.settled(task.recipe).precision)
        steps = stylize(*given, resume=resume)
        try:
            first = next(steps)
        except InvalidInput as error:
            log.warning("checkpoint not usable", job=task.job.id, error=str(error))
            task.note("began anew: the checkpoint does not go with this worker")
        else:
            task.note(f"resumed at level {facts.level}, iteration {facts.iteration}")
            yield first
            yield from steps
            return
    yield from stylize(*given)


def _finish(task: _Task, step: Step) -> None:
    """Store the result under the attempt's key, then make it the job's by the row."""
    job, ready = task.job, task.ready
    picture = step.picture()
    figures = quality.measure(picture, task.content, task.styles, task.recipe, ready)
    text = ready.settled(task.recipe).model_dump_json()
    try:
        outage.tried(lambda: store_pictures(job, task.store, picture, text))
    except (StorageAway, OSError) as error:
        log.exception("result not stored", job=job.id)
        raise RenderFailed(f"The finished picture could not be stored: {error}") from error
    metrics = figures.as_dict() | {
        "seconds": round(step.seconds, 1),
        "peak_memory_bytes": device.peak_memory_bytes(ready.device),
        "precision": ready.form.name,
        "device": device.describe(ready.device),
    }
    outage.write(lambda s: _succeed(s, task, metrics))


def _succeed(session: Session, task: _Task, metrics: dict[str, Any]) -> None:
    """Unless the job was cancelled while its picture was measured and stored."""
    if attempts.heartbeat(session, task.job.id, task.attempt) is State.CANCELLING:
        raise _Stop(State.CANCELLING)
    jobs.succeed(session, task.job.id, task.attempt, metrics)


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
        self._checkpoints = Checkpoints(job, attempt, store)
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
        if stopping.is_set() and step.progress < 1:
            self._checkpoints.write(step)
            raise _Stop(State.QUEUED)
        if step.level != self._level[0]:
            self._level = (step.level, step.seconds, step.progress)
            self._first = step.iteration
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or step.ends_level:
            self._reported = now
            self._report(step)
            pause = max(PREVIEW_SECONDS, self._preview_took / PREVIEW_SHARE)
            if now - self._previewed >= pause or step.ends_level:
                self._preview(step)
        self._checkpoints.saw(step)

    def _report(self, step: Step) -> None:
        """A report that the database does not take is left out; the next one says it all."""
        try:
            with db.writing() as session:
                state = attempts.report(session, self._job.id, self._attempt, self._progress(step))
                if speed := self._speed(step):
                    machines.measured(session, settings().worker_name, speed)
        except outage.DatabaseAway as error:
            log.warning("not reported", job=self._job.id, error=str(error.orig))
            return
        if state is State.CANCELLING:
            raise _Stop(state)

    def _preview(self, step: Step) -> None:
        """One that cannot be stored is left out."""
        began = time.monotonic()
        try:
            self._store.put(self._job.preview_key, images.preview(step.picture()))
            with db.writing() as session:
                attempts.preview_stored(session, self._job.id, self._attempt)
        except (StorageAway, *outage.DatabaseAway) as error:
            log.warning("preview not stored", job=self._job.id, error=str(error))
        self._previewed = time.monotonic()
        self._preview_took = self._previewed - began

    def _progress(self, step: Step) -> attempts.Progress:
        return attempts.Progress(
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
    if state is State.CANCELLING:
        _end(job, lambda s: jobs.stopped(s, job.id, attempt))
    else:
        reason = "its worker was stopped; waits for another"
        _end(job, lambda s: jobs.give_back(s, job.id, attempt, reason))


def _end(job: Job, move: Callable[[Session], None]) -> None:
    """What cannot be told is left to the lease."""
    try:
        outage.write(move)
    except AttemptLost:
        log.warning("attempt lost while ending", job=job.id)
    except outage.DatabaseAway:
        log.exception("the database stays away; the job's end is left to its lease", job=job.id)
