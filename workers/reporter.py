"""The reports of a running attempt: progress and losses each second, previews and checkpoints now and
then. From their answers it learns that it is to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Self

import structlog
from sqlalchemy.orm import Session

from farm.database import sessions, tallies
from farm.database.models import State
from farm.engine.optimise import LevelDone, Step
from farm.errors import StorageAway
from farm.fleet import registry
from farm.jobs import attempts, overtaking, states
from farm.jobs.claims import Taker
from farm.jobs.states import Claim
from farm.pictures import encode
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.recipe.formats import PREVIEW_PIXELS
from farm.recipe.levels import RELATIVE_SECONDS, compute_levels, count_pixel_iterations
from farm.settings import settings
from farm.storage import Storage
from workers import retries
from workers.checkpoints import CheckpointWriter
from workers.interrupts import Interrupted, stopping
from workers.pace import Pace

REPORT_SECONDS = 1.0
WATCH_SECONDS = 2.0
REPORT_SHARE = 0.25  # of the time may go into reports, so a database that is far away gets fewer
PREVIEW_SECONDS = 3.0
PREVIEW_SHARE = 0.05  # of the time may go into previews, so large pictures get them less often
SMALLEST_MEASURED = 0.03  # megapixels, less than 256 px have; smaller ones are slower for theirs

log = structlog.get_logger()


class Reports:
    """Writer of an attempt's progress and log, not more often than is useful; from the answers it learns
    that it is to stop."""

    def __init__(self, claim: Claim, taker: Taker) -> None:
        self._job, self._attempt, self._taker = claim.job, claim.attempt, taker
        self._watched = time.monotonic()
        self._reported, self._report_took = -1e9, 0.0
        self._lines: list[str] = []  # not reported yet

    def add_line(self, line: str) -> None:
        """Log a line, and with the next report add it to the log on the job's page."""
        log.info(line, job=self._job.id, attempt=self._attempt.number)
        self._lines.append(line)

    def is_due(self) -> bool:
        """Check whether it is time for the next report."""
        pause = max(REPORT_SECONDS, self._report_took / REPORT_SHARE)
        return time.monotonic() - self._reported >= pause

    def write(
        self, progress: attempts.Progress, also: Callable[[Session], None] = lambda _: None
    ) -> bool:
        """Write a report; one that the database does not take is left out: the next has all of it.

        Args:
            also: writes what belongs to it, in the same transaction.

        Returns:
            whether it was written.

        Raises:
            Interrupted: a person cancelled the job. AttemptLost: it is another attempt's.
        """
        self._reported = time.monotonic()
        try:
            with sessions.write_session() as session:
                state = attempts.report(session, self._attempt, progress)
                also(session)
                if self._lines:
                    attempts.add_log_lines(session, self._attempt, self._lines)
        except retries.DatabaseAway as error:
            log.warning("not reported", job=self._job.id, error=str(error.orig))
            return False
        finally:
            self._report_took = time.monotonic() - self._reported
        self._lines.clear()
        if state is State.CANCELLING:
            raise Interrupted(state)
        return True

    def watch(self) -> None:
        """Look, between two tiles, whether the job shall go on: an iteration of a large picture takes
        longer than a person waits.

        Raises:
            Interrupted: a person cancelled the job, this process shall end, or drafts wait.
        """
        if stopping.is_set():
            raise Interrupted(State.QUEUED)
        if time.monotonic() - self._watched < max(WATCH_SECONDS, self._report_took / REPORT_SHARE):
            return
        self._watched = time.monotonic()
        try:
            with sessions.read_session() as session:
                state = states.read_state(session, self._attempt)
                aside = overtaking.must_step_aside(session, self._attempt, self._taker)
        except retries.DatabaseAway as error:
            log.warning("not looked at", job=self._job.id, error=str(error.orig))
            return
        if state is State.CANCELLING:
            raise Interrupted(state)
        if aside:
            raise Interrupted(State.QUEUED, for_drafts=True)


class Reporter(Reports):
    """Writer of progress rows and previews, not more often than is useful, and of checkpoints.

    As a context it ends with the block, when the checkpoint that is being stored is stored.
    """

    def __init__(self, claim: Claim, taker: Taker, store: Storage, alpha: Pixels | None = None) -> None:
        """
        Args:
            alpha: of the photograph; previews lie over white where it is transparent.
        """
        super().__init__(claim, taker)
        self._alpha, self._store = alpha, store
        self._sizes = {"preview": 0, "checkpoint": 0}  # bytes of this attempt's files
        self._checkpoints = CheckpointWriter(claim, store, self._sizes)
        self._previewed, self._preview_took = -1e9, 0.0
        self._level = (0, 0.0, 0.0)  # number, and seconds and progress at its start
        self._first = 0  # iteration seen of this level
        photograph = self._job.content
        recipe = Recipe.model_validate(self._job.recipe)
        levels = compute_levels(recipe, photograph.height, photograph.width)
        self._pace = Pace(levels)
        self._relative = RELATIVE_SECONDS[recipe.style_loss]
        self._directed = recipe.directs_strokes  # its iterations are no measure of others
        self._work = count_pixel_iterations(levels) / 1e6  # of the whole, megapixel-iterations
        resumes = self._job.checkpoint_attempt is not None
        self._counted = None if resumes else 0.0  # progress whose work is in the tally; None: not known

    def __enter__(self) -> Self:
        self._checkpoints.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._checkpoints.__exit__(*raised)

    def update(self, step: Step) -> None:
        """Report an iteration, if it is time to.

        Raises:
            Interrupted: a person cancelled the job, or this process shall end.
            AttemptLost: the job is another attempt's.
        """
        if stopping.is_set() and step.progress < 1:
            raise Interrupted(State.QUEUED)
        if self._counted is None:
            self._counted = step.progress
        if step.level != self._level[0]:
            self._start_level(step)
        if step.ends_level:
            self.add_line(str(LevelDone.from_step(step, self._level[1])))
        if step.ends_level or self.is_due():
            self._report(step)
            pause = max(PREVIEW_SECONDS, self._preview_took / PREVIEW_SHARE)
            if step.ends_level or time.monotonic() - self._previewed >= pause:
                self._store_preview(step)
        self._checkpoints.update(step)

    def save(self, step: Step) -> None:
        """Store a checkpoint of the last iteration, for whoever goes on with the job.

        Raises:
            AttemptLost: the job is another attempt's.
        """
        self._checkpoints.write(step)

    def _start_level(self, step: Step) -> None:
        self._level = (step.level, step.seconds, step.progress)
        self._first = step.iteration

    def _report(self, step: Step) -> None:
        def also(session: Session) -> None:
            if speed := self._measure_speed(step):
                small = step.height * step.width / 1e6 < SMALLEST_MEASURED
                registry.record_speed(session, settings().worker_name, speed, first=small)
            self._count_work(session, step)

        if self.write(self._progress(step), also):
            self._counted = step.progress

    def _count_work(self, session: Session, step: Step) -> None:
        """Add what was computed since the last report to the farm's tally."""
        share = step.progress - (self._counted or 0.0)
        tallies.WORK.add(session, self._job.work_class, amount=max(share, 0.0) * self._work)

    def _store_preview(self, step: Step) -> None:
        """Store a preview; one that cannot be stored is left out."""
        began = time.monotonic()
        try:
            preview = encode.encode_preview(step.preview(PREVIEW_PIXELS), alpha=self._alpha)
            self._store.put(self._job.preview_key, preview)
            self._sizes["preview"] = len(preview)
            with sessions.write_session() as session:
                attempts.record_preview(session, self._attempt, sum(self._sizes.values()))
        except (StorageAway, *retries.DatabaseAway) as error:
            log.warning("preview not stored", job=self._job.id, error=str(error))
        self._previewed = time.monotonic()
        self._preview_took = self._previewed - began

    def _progress(self, step: Step) -> attempts.Progress:
        self._pace.add_sample(step.level, step.iteration, step.seconds)
        left, spread = self._pace.estimate_left()
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
        """Return seconds for an iteration and megapixel, as the default style loss takes them, over the
        level that ends, without its first iteration, which prepares the others; of small levels only if
        it is the last. None: nothing to measure by, as where strokes follow the photograph.
        """
        megapixels = step.height * step.width / 1e6
        counted = step.iteration - self._first
        small = megapixels < SMALLEST_MEASURED and step.level < step.levels
        if not step.ends_level or small or not counted or self._directed:
            return None
        return (step.seconds - self._level[1]) / counted / megapixels / self._relative
