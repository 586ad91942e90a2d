"""Checkpoints of a job in storage, so that whichever machine takes it next resumes from there."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import structlog

from farm.database.models import Job
from farm.engine import checkpoint
from farm.engine.checkpoint import Checkpoint
from farm.engine.optimise import Step
from farm.errors import StorageAway
from farm.jobs import attempts
from farm.jobs.states import Claim
from farm.settings import settings
from farm.storage import Storage
from workers import retries

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


class CheckpointWriter:
    """Writer of one attempt's checkpoints: at each level's end, and every `checkpoint_seconds`."""

    def __init__(self, claim: Claim, store: Storage) -> None:
        self._job, self._attempt, self._store = claim.job, claim.attempt, store
        self._older = claim.job.checkpoint_attempt  # whose file is replaced by ours
        self._written = time.monotonic()

    def update(self, step: Step) -> None:
        """Write one if it is due after this iteration; one that cannot be stored is left out.

        Raises:
            AttemptLost: the job is another attempt's.
        """
        due = step.ends_level or time.monotonic() - self._written >= settings().checkpoint_seconds
        if due and step.progress < 1:
            self.write(step)

    def write(self, step: Step) -> None:
        """Write a checkpoint now, and delete the one of the attempt before.

        Raises:
            AttemptLost: the job is another attempt's.
        """
        self._written = time.monotonic()
        try:
            with self._store.open_writer(self._job.checkpoint_key(self._attempt.number)) as file:
                step.checkpoint().write(Path(file.name))
        except Exception as error:  # whatever a storage raises
            log.warning("checkpoint not stored", job=self._job.id, error=str(error))
            return
        retries.write(lambda session: attempts.record_checkpoint(session, self._attempt))
        if self._older is not None:
            with suppress(StorageAway):  # what is left is removed at the job's end
                self._store.delete(self._job.checkpoint_key(self._older))
            self._older = None
