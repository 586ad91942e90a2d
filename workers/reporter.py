"""What a job at work tells: progress and losses each second, previews and checkpoints now and then.

Here it also learns that it shall stop.
"""

from __future__ import annotations

import time

import structlog

from farm import attempts, db, images, machines
from farm.engine.optimise import Step
from farm.errors import StorageAway
from farm.models import Job, State
from farm.settings import settings
from farm.storage import Storage
from workers import outage
from workers.checkpoints import Checkpoints
from workers.stop import Stop, stopping

REPORT_SECONDS = 1.0
PREVIEW_SECONDS = 3.0
PREVIEW_SHARE = 0.05  # of the time may go into previews, so large pictures get them less often
SMALLEST_MEASURED = 0.05  # megapixels; smaller levels are slower for their pixels

log = structlog.get_logger()


class Reporter:
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
            Stop: a person cancelled the job, or this process shall end.
            AttemptLost: the job is another attempt's.
        """
        if stopping.is_set() and step.progress < 1:
            self._checkpoints.write(step)
            raise Stop(State.QUEUED)
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
            raise Stop(state)

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
