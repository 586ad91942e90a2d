"""What a job at work tells: progress and losses each second, previews and checkpoints now and then.

Here it also learns that it shall stop.
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
from workers.checkpoints import Checkpoints
from workers.interrupts import Stop, stopping

REPORT_SECONDS = 1.0
PREVIEW_SECONDS = 3.0
PREVIEW_SHARE = 0.05  # of the time may go into previews, so large pictures get them less often
SMALLEST_MEASURED = 0.03  # megapixels, less than 256 px have; smaller levels are slower for theirs

log = structlog.get_logger()


class Reporter:
    """Turns steps into rows and previews, not more often than is useful."""

    def __init__(self, claim: Claim, store: Storage) -> None:
        self._job, self._attempt, self._store = claim.job, claim.attempt, store
        self._checkpoints = Checkpoints(claim, store)
        self._reported = self._previewed = -1e9
        self._preview_took = 0.0
        self._level = (0, 0.0, 0.0)  # number, and seconds and progress at its start
        self._first = 0  # iteration seen of this level
        self._pace = Pace()
        self._lines: list[str] = []  # not told yet

    def say(self, line: str) -> None:
        """For the log, and with the next report for the job's page."""
        log.info(line, job=self._job.id, attempt=self._attempt.number)
        self._lines.append(line)

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
            self._pace = Pace()
        if step.ends_level:
            self.say(str(LevelDone.from_step(step, self._level[1])))
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
            with sessions.writing() as session:
                state = attempts.report(session, self._attempt, self._progress(step))
                if speed := self._speed(step):
                    registry.record_speed(session, settings().worker_name, speed)
                if self._lines:
                    attempts.add_log_lines(session, self._attempt, self._lines)
        except retries.DatabaseAway as error:
            log.warning("not reported", job=self._job.id, error=str(error.orig))
            return
        self._lines.clear()
        if state is State.CANCELLING:
            raise Stop(state)

    def _preview(self, step: Step) -> None:
        """One that cannot be stored is left out."""
        began = time.monotonic()
        try:
            self._store.put(self._job.preview_key, encode.encode_preview(step.picture()))
            with sessions.writing() as session:
                attempts.record_preview(session, self._attempt)
        except (StorageAway, *retries.DatabaseAway) as error:
            log.warning("preview not stored", job=self._job.id, error=str(error))
        self._previewed = time.monotonic()
        self._preview_took = self._previewed - began

    def _progress(self, step: Step) -> attempts.Progress:
        self._pace.saw(step.progress, step.seconds)
        left, spread = self._pace.left(later_levels=step.level < step.levels)
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

    def _speed(self, step: Step) -> float | None:
        """Seconds an iteration and megapixel over the level that ends; None: nothing to measure by.
        Without the level's first iteration, which prepares the others."""
        megapixels = step.height * step.width / 1e6
        counted = step.iteration - self._first
        if not step.ends_level or megapixels < SMALLEST_MEASURED or not counted:
            return None
        return (step.seconds - self._level[1]) / counted / megapixels


class Pace:
    """How fast a level goes, and so how long the rest will take. A level by itself, because small ones
    are slower for their pixels."""

    LATER_LEVELS = 0.15  # how far off their pace may be from this one's
    AT_FIRST = 0.3  # how far off the first guesses may be
    ENOUGH = 4  # measurements to judge their spread by

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []  # progress, seconds

    def saw(self, progress: float, seconds: float) -> None:
        """At each report."""
        self._seen.append((progress, seconds))

    def left(self, *, later_levels: bool) -> tuple[float, float]:
        """Seconds to the end, and how many more or less they may well be."""
        progress, seconds = self._seen[-1]
        first, began = self._seen[0] if len(self._seen) > 1 else (0.0, 0.0)
        left = (1 - progress) * (seconds - began) / max(progress - first, 1e-9)
        off = math.hypot(self._own_spread(), self.LATER_LEVELS if later_levels else 0.0)
        return left, left * off

    def _own_spread(self) -> float:
        """Of the mean of the paces between reports, relative to it."""
        gains = [
            (after[0] - before[0]) / (after[1] - before[1])
            for before, after in pairwise(self._seen)
            if after[1] > before[1]
        ]
        if len(gains) < self.ENOUGH:
            return self.AT_FIRST
        return stdev(gains) / max(mean(gains), 1e-9) / math.sqrt(len(gains))
