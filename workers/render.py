"""Rendering of a claimed job, from its uploads to its result: the loop around the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import structlog
import torch
from sqlalchemy.orm import Session

from farm.database.models import Job, State, Upload
from farm.engine import cuda, device, precision, quality
from farm.engine.checkpoint import Checkpoint
from farm.engine.loaded import Engine, compute_budget
from farm.engine.optimise import Picture, Step, stylize
from farm.engine.passes import OnTile
from farm.errors import (
    AttemptLost,
    FarmError,
    NoDevice,
    NotFound,
    RenderFailed,
    StorageAway,
    WeightsUnavailable,
)
from farm.fleet import registry
from farm.jobs import attempts, losses, states, worker_failures
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef, Claim
from farm.pictures import encode
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import Storage, storage
from workers import checkpoints, decoding, film, retries
from workers.exit_status import ExitStatus
from workers.inputs import Inputs, load_inputs
from workers.interrupts import Interrupted, StorageWait
from workers.reporter import Reporter

AGAIN = "Send the same picture again, then retry this job."

log = structlog.get_logger()


def describe_machine() -> registry.Machine:
    """Describe what this process renders on, for the list of workers and for estimates.

    Raises:
        NoDevice: not on what FARM_DEVICE asks for.
    """
    chosen = device.choose(settings().device, log.warning)
    device.limit_threads()
    form = precision.choose("auto", chosen)
    return registry.Machine(
        device=device.describe(chosen),
        memory_bytes=device.read_total_memory(chosen),
        device_kind=chosen.type,
        itemsize=form.dtype.itemsize,
        winograd=form.winograd,
        budget_bytes=measure_budget(chosen.type),
        precision=form.setting,
        device_uuid=cuda.read_uuid() if chosen.type == "cuda" else None,
        driver=cuda.read_driver_version() if chosen.type == "cuda" else None,
        films=film.can_paint_films(),
    )


def measure_budget(device_kind: str) -> int:
    """Return the bytes that a rendering may use here now."""
    return compute_budget(settings().memory_gb, torch.device(device_kind))


@lru_cache(maxsize=1)
def engine(features: str, form: str) -> Engine:
    """Load a network; the last one stays loaded, so that the next job starts at once."""
    given = settings()
    where = device.choose(given.device)
    return Engine.load(features, form, given.weights_dir, log.info, where, given.memory_gb)


@dataclass(frozen=True)
class Ending:
    """Consequence of an attempt's end for its process."""

    # With what status it has to end, so that another can go on with the job; None: it stays.
    exit_status: ExitStatus | None = None
    # Whether drafts wait that the job made way for.
    made_way: bool = False


def render(claim: Claim, taker: Taker, on_progress: Callable[[], None]) -> Ending:
    """Render a claimed job and move its row to its next state. Raises nothing.

    Args:
        taker: this worker, as it claims.
        on_progress: called after each iteration.
    """
    job, attempt = claim.job, claim.attempt
    logger = log.bind(job=job.id, attempt=attempt.number)
    logger.info("rendering", name=job.name, width=job.width, height=job.height)
    try:
        _render(claim, taker, on_progress)
        logger.info("finished")
    except AttemptLost:
        logger.warning("attempt lost; another owns the job, or it is gone")
        _write_end(attempt, lambda s: losses.mark_asleep(s, attempt))
    except Interrupted as stop:
        _end_interrupted(attempt, stop)
        logger.info("stopped", state=stop.state.value, for_drafts=stop.for_drafts)
        return Ending(made_way=stop.for_drafts)
    except retries.DatabaseAway:  # the lease lapses, and the job goes on elsewhere
        logger.exception("the database stays away; given up")
    except Exception as error:
        return Ending(_end_by_error(error, attempt, logger))
    return Ending()


def _end_by_error(error: Exception, attempt: AttemptRef, logger: Any) -> ExitStatus | None:
    """Log the error of an attempt and move its row; return the status to end with, if it was none of
    the job's."""
    if device.is_out_of_memory(error):
        logger.exception("out of memory")
        _release(attempt, losses.OUT_OF_MEMORY, "its worker ran out of memory", "it ran out of memory")
        return ExitStatus.OUT_OF_MEMORY
    if fault := _find_device_fault(error):
        logger.exception("the device failed", fault=fault)
        message = "its worker's GPU failed; waits for another"
        _release(attempt, losses.DEVICE_FAILED, message, f"its device failed: {fault}")
        return ExitStatus.DEVICE_FAILED
    message = _explain(error, attempt, logger)
    broke = not isinstance(error, FarmError)
    _write_end(attempt, lambda s: _fail(s, attempt, message, broke=broke))
    return None


def _fail(session: Session, attempt: AttemptRef, message: str, *, broke: bool) -> None:
    """Fail a job; a renderer that broke may be the worker's fault."""
    states.fail(session, attempt, message, states.BROKE if broke else None)
    if broke:
        worker_failures.count(session, attempt, "the renderer broke")


def _find_device_fault(error: Exception) -> str | None:
    """Return what is wrong with the device after an error that is not the farm's own; None: nothing."""
    if isinstance(error, NoDevice):
        return str(error)
    return None if isinstance(error, FarmError) else cuda.find_fault()


def _release(attempt: AttemptRef, outcome: str, message: str, reason: str) -> None:
    """Give the job of an attempt back, which broke off by no fault of the job.

    Args:
        message: on the job's timeline. reason: for which the worker may be sick.
    """

    def move(session: Session) -> None:
        losses.release_interrupted(session, attempt, outcome, message)
        worker_failures.count(session, attempt, reason)

    _write_end(attempt, move)


def _explain(error: Exception, attempt: AttemptRef, logger: Any) -> str:
    """Log an error and return its message to people."""
    if isinstance(error, StorageAway):
        logger.exception("the storage stays away")
        return f"{error} Once that is mended, retry this job."
    if isinstance(error, FarmError):
        logger.warning("failed", error=str(error))
        return str(error)
    logger.exception("the renderer broke")
    return (
        "The renderer broke while making this picture. The worker's log says why, under"
        f" job {attempt.job_id}, attempt {attempt.number}."
    )


@dataclass(frozen=True)
class _Task:
    """An attempt with all that it works with."""

    claim: Claim
    store: Storage
    # Called while the storage is away.
    storage_wait: StorageWait
    recipe: Recipe
    inputs: Inputs
    engine: Engine


def _render(claim: Claim, taker: Taker, on_progress: Callable[[], None]) -> None:
    job, attempt = claim.job, claim.attempt
    store = storage()
    storage_wait = StorageWait(attempt, on_progress)
    read = partial(_read_upload, store, storage_wait)
    if job.film_id is not None:
        film.render_part(claim, taker, read, film.Painter(engine, on_progress))
        return
    recipe = Recipe.parse(job.recipe)
    try:
        inputs = load_inputs(job, recipe, read)
    finally:
        decoding.end_used()
    resume = checkpoints.find_usable(claim, store, storage_wait)
    ready = _load_engine(recipe, resume).with_budget(settings().memory_gb)
    device.trim(ready.device)  # what reading the files left
    retries.write(lambda s: attempts.set_features(s, attempt, ready.vgg.network))
    device.reset_peak_memory(ready.device)
    task = _Task(claim, store, storage_wait, recipe, inputs, ready)
    step = None
    with Reporter(claim, taker, store, inputs.guides.opaque) as reporter:
        on = device.describe(ready.device)
        reporter.add_line(f"{ready.vgg.network} on {on}, {ready.number_format.name}")
        if inputs.guides.opaque is not None and not job.format.alpha:
            reporter.add_line(f"{job.format.title} has no transparency: the picture will lie on white")
        try:
            for step in _run_steps(task, resume, reporter.watch):
                on_progress()
                reporter.update(step)
                decoding.start()  # for the next job; before this one has begun it would be in its way
        except Interrupted as stop:
            if stop.state is State.QUEUED and step is not None:
                reporter.save(step)
            raise
    assert step is not None, "a schedule has at least one iteration"
    _finish(task, step)


def _load_engine(recipe: Recipe, resume: Checkpoint | None) -> Engine:
    """Return the checkpoint's network; the recipe's if there is no checkpoint, or if this worker lacks
    its network: `_run_steps` begins anew then."""
    try:
        return engine(resume.network if resume else recipe.features, recipe.precision)
    except WeightsUnavailable:
        if resume is None:
            raise
        return engine(recipe.features, recipe.precision)


def _read_upload(store: Storage, storage_wait: StorageWait, upload: Upload, label: str) -> bytes:
    """Return the bytes of an upload.

    Args:
        label: the picture's name in messages.

    Raises:
        RenderFailed: what is stored is not what was sent, or it is gone.
    """
    try:
        return retries.call_storage(lambda: store.get_whole(upload.key, upload.sha256), storage_wait)
    except NotFound as error:
        raise RenderFailed(f"{label.capitalize()}: {error} {AGAIN}") from error


def _run_steps(task: _Task, resume: Checkpoint | None, on_tile: OnTile) -> Iterator[Step]:
    """Run from the checkpoint on, if it is of any use; else from the beginning."""
    inputs = task.inputs

    def run(resume: Checkpoint | None) -> Iterator[Step]:
        return stylize(
            inputs.content,
            inputs.styles,
            task.recipe,
            task.engine,
            guides=inputs.guides,
            size=inputs.size,
            resume=resume,
            cache=inputs.cache,
            on_tile=on_tile,
        )

    return checkpoints.run_from(task.claim.attempt, resume, task.recipe, task.engine, run)


def _finish(task: _Task, step: Step) -> None:
    """Store the result under the attempt's key, then make it the job's by the row."""
    job, ready = task.claim.job, task.engine
    picture = step.picture()
    inputs = task.inputs
    pictures = inputs.content, inputs.styles
    figures = quality.measure(picture, *pictures, task.recipe, ready, inputs.cache, guides=inputs.guides)
    resolved = ready.resolve(task.recipe)
    stored_bytes = retries.call_storage(
        lambda: store_pictures(job, task.store, picture, resolved, inputs.guides.opaque),
        task.storage_wait,
    )
    metrics = figures.as_dict() | {
        "seconds": round(step.seconds, 1),
        "peak_memory_bytes": device.read_peak_memory(ready.device),
        "precision": ready.number_format.name,
        "device": device.describe(ready.device),
    }
    retries.write(lambda s: _succeed(s, task, metrics, stored_bytes))


def _succeed(session: Session, task: _Task, metrics: dict[str, Any], stored_bytes: int) -> None:
    """Move to succeeded, unless the job was cancelled while its picture was measured and stored.

    Raises:
        Interrupted: it was.
    """
    if attempts.renew_lease(session, task.claim.attempt) is State.CANCELLING:
        raise Interrupted(State.CANCELLING)
    states.succeed(session, task.claim.attempt, metrics, stored_bytes)
    worker_failures.reset(session, settings().worker_name)


def store_pictures(
    job: Job, store: Storage, picture: Picture, recipe: Recipe, alpha: Pixels | None = None
) -> int:
    """Store the preview, the result with its recipe and, where browsers need one, the view; return the
    bytes of all of them.

    Args:
        alpha: of the photograph, see `encode.write`.
    """
    preview = encode.encode_preview(picture, alpha=alpha)
    store.put(job.preview_key, preview)
    stored_bytes = len(preview)
    with store.open_writer(job.result_key) as file:
        description = encode.compose_description(*job.source_names)
        encode.write_result(picture, recipe, file, description, alpha)
        stored_bytes += file.seek(0, os.SEEK_END)
    if job.has_view:
        with store.open_writer(job.view_key) as file:
            encode.write_view(picture, file, alpha)
            stored_bytes += file.seek(0, os.SEEK_END)
    return stored_bytes


def _end_interrupted(attempt: AttemptRef, stop: Interrupted) -> None:
    """Move the row of an attempt that was asked to stop."""
    if stop.state is State.CANCELLING:
        _write_end(attempt, lambda s: states.confirm_cancelled(s, attempt))
    elif stop.for_drafts:
        _write_end(attempt, lambda s: states.step_aside(s, attempt))
    else:
        reason = "its worker was stopped; waits for another"
        _write_end(attempt, lambda s: states.requeue(s, attempt, reason))


def _write_end(attempt: AttemptRef, move: Callable[[Session], None]) -> None:
    """Move the row of an attempt that ends; where that fails, its lease lapses."""
    try:
        retries.write(move)
    except AttemptLost:
        log.warning("attempt lost while ending", job=attempt.job_id)
    except retries.DatabaseAway:
        log.exception("the database stays away; the job's end is left to its lease", job=attempt.job_id)
