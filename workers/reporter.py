"""The reports of a running attempt: progress and losses each second, previews and checkpoints now and
then. From their answers it learns that it is to stop.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise
from statistics import mean, stdev

import structlog

from farm.database import sessions
from farm.database.models import State
from farm.engine.optimise import LevelDone, Step
from farm.errors import StorageAway
from farm.fleet import registry
from farm.jobs import attempts
from farm.jobs.states import Claim
from farm.pictures import encode
from farm.settings import settings
from farm.storage import Storage
from workers import retries
from workers.checkpoints import CheckpointWriter
from workers.interrupts import Interrupted, stopping

REPORT_SECONDS = 1.0
PREVIEW_SECONDS = 3.0
PREVIEW_SHARE = 0.05  # of the time may go into previews, so large pictures get them less often
SMALLEST_MEASURED = 0.03  # megapixels, less than 256 px have; smaller levels are slower for theirs

log = structlog.get_logger()


class Reporter:
    """Writer of progress rows and previews, not more often than is useful."""

    def __init__(self, claim: Claim, store: Storage) -> None:
        self._job, self._attempt, self._store = claim.job, claim.attempt, store
        self._checkpoints = CheckpointWriter(claim, store)
        self._reported = self._previewed = -1e9
        self._preview_took = 0.0
        self._level = (0, 0.0, 0.0)  # number, and seconds and progress at its start
        self._first = 0  # iteration seen of this level
        self._pace = Pace()
        self._lines: list[str] = []  # not reported yet

    def add_line(self, line: str) -> None:
        """Log a line, and with the next report add it to the log on the job's page."""
        log.info(line, job=self._job.id, attempt=self._attempt.number)
        self._lines.append(line)

    def update(self, step: Step) -> None:
        """Report an iteration, if it is time to.

        Raises:
            Interrupted: a person cancelled the job, or this process shall end.
            AttemptLost: the job is another attempt's.
        """
        if stopping.is_set() and step.progress < 1:
            self._checkpoints.write(step)
            raise Interrupted(State.QUEUED)
        if step.level != self._level[0]:
            self._enter_level(step)
        if step.ends_level:
            self.add_line(str(LevelDone.from_step(step, self._level[1])))
        if step.ends_level or time.monotonic() - self._reported >= REPORT_SECONDS:
            self._reported = time.monotonic()
            self._report(step)
            pause = max(PREVIEW_SECONDS, self._preview_took / PREVIEW_SHARE)
            if step.ends_level or self._reported - self._previewed >= pause:
                self._store_preview(step)
        self._checkpoints.update(step)

    def _enter_level(self, step: Step) -> None:
        self._level = (step.level, step.seconds, step.progress)
        self._first = step.iteration
        self._pace = Pace()

    def _report(self, step: Step) -> None:
        """Write a report; one that the database does not take is left out: the next has all of it."""
        try:
            with sessions.write_session() as session:
                state = attempts.report(session, self._attempt, self._progress(step))
                if speed := self._measure_speed(step):
                    registry.record_speed(session, settings().worker_name, speed)
                if self._lines:
                    attempts.add_log_lines(session, self._attempt, self._lines)
        except retries.DatabaseAway as error:
            log.warning("not reported", job=self._job.id, error=str(error.orig))
            return
        self._lines.clear()
        if state is State.CANCELLING:
            raise Interrupted(state)

    def _store_preview(self, step: Step) -> None:
        """Store a preview; one that cannot be stored is left out."""
        began = time.monotonic()
        try:
            self._store.put(self._job.preview_key, encode.encode_preview(step.picture()))
            with sessions.write_session() as session:
                attempts.record_preview(session, self._attempt)
        except (StorageAway, *retries.DatabaseAway) as error:
            log.warning("preview not stored", job=self._job.id, error=str(error))
        self._previewed = time.monotonic()
        self._preview_took = self._previewed - began

    def _progress(self, step: Step) -> attempts.Progress:
        self._pace.add_sample(step.progress, step.seconds)
        left, spread = self._pace.estimate_left(later_levels=step.level < step.levels)
        return attempts.Progress(
            progress=step.progress,
            level=step.level,
            levels=step.levels,
            iteration=step.done,
            iterations=step.total,
            eta_seconds=left,
            eta_spread_seconds=spread,
            content_loss=step.losses.content,
            style_loss=step.losses.style,
            tv_loss=step.losses.tv,
        )

    def _measure_speed(self, step: Step) -> float | None:
        """Return seconds for an iteration and megapixel over the level that ends, without its first
        iteration, which prepares the others; None: nothing to measure by."""
        megapixels = step.height * step.width / 1e6
        counted = step.iteration - self._first
        if not step.ends_level or megapixels < SMALLEST_MEASURED or not counted:
            return None
        return (step.seconds - self._level[1]) / counted / megapixels


class Pace:
    """The pace of a level, and from it the time left. Each level by itself, because small ones are
    slower for their pixels."""

    LATER_LEVELS = 0.15  # how far off their pace may be from this one's
    AT_FIRST = 0.3  # how far off the first guesses may be
    ENOUGH = 4  # measurements to judge their spread by

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []  # progress, seconds

    def add_sample(self, progress: float, seconds: float) -> None:
        """Add progress, 0..1, and seconds since the start, at each report."""
        self._seen.append((progress, seconds))

    def estimate_left(self, *, later_levels: bool) -> tuple[float, float]:
        """Return the seconds to the end, and how many more or less they may well be."""
        progress, seconds = self._seen[-1]
        first, began = self._seen[0] if len(self._seen) > 1 else (0.0, 0.0)
        left = (1 - progress) * (seconds - began) / max(progress - first, 1e-9)
        off = math.hypot(self._compute_spread(), self.LATER_LEVELS if later_levels else 0.0)
        return left, left * off

    def _compute_spread(self) -> float:
        """Return the standard error of the mean pace between reports, relative to it."""
        gains = [
            (after[0] - before[0]) / (after[1] - before[1])
            for before, after in pairwise(self._seen)
            if after[1] > before[1]
        ]
        if len(gains) < self.ENOUGH:
            return self.AT_FIRST
        return stdev(gains) / max(mean(gains), 1e-9) / math.sqrt(len(gains))
