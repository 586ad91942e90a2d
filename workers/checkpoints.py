"""Checkpoints of a job in storage, so that whichever machine takes it next resumes from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from farm.database.models import Job
from farm.engine import checkpoint
from farm.engine.checkpoint import Checkpoint
from farm.engine.checkpoint_writer import CheckpointThread
from farm.engine.loaded import Engine
from farm.engine.optimise import Step
from farm.errors import InvalidInput, NotFound, StorageAway
from farm.jobs import attempts
from farm.jobs.states import AttemptRef, Claim
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import Storage
from workers import retries
from workers.interrupts import StorageWait

T = TypeVar("T")
log = structlog.get_logger()


def read_newest(job: Job, store: Storage) -> Checkpoint | None:
    """Read the checkpoint that an earlier attempt stored; None: it stored none.

    Raises:
        InvalidInput, NotFound: the file cannot be used, or it is gone.
        StorageAway: it may be readable later.
    """
    if job.checkpoint_attempt is None:
        return None
    with store.provide_file(job.checkpoint_key(job.checkpoint_attempt)) as path:
        return checkpoint.read(path)


def find_usable(claim: Claim, store: Storage, storage_wait: StorageWait) -> Checkpoint | None:
    """Return the checkpoint to resume from; None: there is none, or none that can be read, which the
    job's timeline says.

    Args:
        storage_wait: called while the storage is away.
    """
    try:
        return retries.call_storage(lambda: read_newest(claim.job, store), storage_wait)
    except (InvalidInput, NotFound) as error:
        log.warning("checkpoint not usable", job=claim.job.id, error=str(error))
        _add_note(claim.attempt, "begins anew: what the last attempt left cannot be read")
        return None


def run_from(
    attempt: AttemptRef,
    resume: Checkpoint | None,
    recipe: Recipe,
    ready: Engine,
    run: Callable[[Checkpoint | None], Iterator[T]],
) -> Iterator[T]:
    """Run from the checkpoint on, if it is of any use; else from the beginning. The job's timeline says
    which.

    Args:
        run: runs from a checkpoint, or None; the first it yields raises InvalidInput where that does not
            go with this worker or this picture.
    """
    if resume is not None:
        facts = resume.facts
        if recipe.precision == "auto":  # what suits this device, whatever the last one took
            resume = resume.replace_precision(ready.resolve(recipe).precision)
        steps = run(resume)
        try:
            first = next(steps)
        except InvalidInput as error:
            log.warning("checkpoint not usable", job=attempt.job_id, error=str(error))
            _add_note(attempt, "begins anew: what the last attempt left does not go with this worker")
        else:
            _add_note(attempt, f"resumed at level {facts.level}, iteration {facts.iteration}")
            yield first
            yield from steps
            return
    yield from run(None)


def _add_note(attempt: AttemptRef, message: str) -> None:
    """Add a line to the job's timeline."""
    retries.write(lambda session: attempts.note(session, attempt, message))


class CheckpointWriter:
    """Writer of one attempt's checkpoints, every `checkpoint_seconds`, by a thread.

    One that cannot be made or stored is left out, and the log says why. As a context it ends with the
    block, when what is being stored is stored.

    Args:
        sizes: bytes of the attempt's files by what they are, its own among them; None: nobody asks.
    """

    def __init__(self, claim: Claim, store: Storage, sizes: dict[str, int] | None = None) -> None:
        self._job, self._attempt, self._store = claim.job, claim.attempt, store
        self._sizes = {} if sizes is None else sizes
        self._older = claim.job.checkpoint_attempt  # whose file is replaced by ours
        self._thread = CheckpointThread(settings().checkpoint_seconds, self._store_one)

    def update(self, step: Step) -> None:
        """Write one if it is due after this iteration, while the next ones run.

        Raises:
            AttemptLost: when the last one was stored, the job was another attempt's.
        """
        if step.progress < 1 and self._thread.is_due():
            self._start(step)

    def write(self, step: Step) -> None:
        """Write a checkpoint now, and wait for it.

        Raises:
            AttemptLost: the job is another attempt's.
        """
        self._thread.finish()
        self._start(step)
        self._thread.finish()

    def finish(self) -> None:
        """Wait until what is being stored is stored and recorded.

        Raises:
            AttemptLost: the job is another attempt's.
        """
        self._thread.finish()

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._thread.__exit__(*raised)

    def _start(self, step: Step) -> None:
        try:
            self._thread.start(step.checkpoint)
        except Exception as error:  # whatever a device raises
            self._log_failure(error)

    def _store_one(self, saved: Checkpoint) -> None:
        """Store and record a checkpoint, and delete the one of the attempt before."""
        try:
            with self._store.open_writer(self._job.checkpoint_key(self._attempt.number)) as file:
                saved.write(Path(file.name))
                size = Path(file.name).stat().st_size
        except Exception as error:  # whatever a storage raises
            self._log_failure(error)
            return
        self._sizes["checkpoint"] = size
        total = sum(self._sizes.values())
        try:
            retries.write(lambda session: attempts.record_checkpoint(session, self._attempt, total))
        except retries.DatabaseAway as error:
            self._log_failure(error)
            raise
        if self._older is not None:
            with suppress(StorageAway):  # what is left is removed at the job's end
                self._store.delete(self._job.checkpoint_key(self._older))
            self._older = None

    def _log_failure(self, error: Exception) -> None:
        log.warning("checkpoint not stored", job=self._job.id, error=str(error))
