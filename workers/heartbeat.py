"""Heartbeat of the rendering process: a thread that renews the lease of its job.

It ends the process if the job makes no progress.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from farm.database import sessions, tallies
from farm.database.models import Job, WorkClass
from farm.errors import AttemptLost, NameTaken
from farm.fleet import registry
from farm.jobs import attempts, losses, states
from farm.jobs.claims import Taker
from farm.settings import settings, split_list
from workers.exit_status import ExitStatus
from workers.orders import Orders

BEATS_IN_A_LEASE = 4
LONGEST_PAUSE = 15.0  # s between beats
ORDER_SECONDS = 2.0  # between two looks at the worker's orders
LONGEST_STEP = 2 * LONGEST_PAUSE  # s between two readings of the clock; more was sleep
SECONDS_PER_MEGAPIXEL = 120.0  # of an iteration at most; a slow CPU takes a tenth of that
STUCK = "its worker got no further and was ended"

log = structlog.get_logger()


class AwakeClock:
    """Monotonic clock that counts little of the time in which this process was stopped or the machine
    slept. Any thread may read it; the heartbeat does so each `LONGEST_PAUSE`.

    Args:
        longest_step: counted between two readings, s.
    """

    def __init__(self, longest_step: float) -> None:
        self._longest_step, self._elapsed = longest_step, 0.0
        self._read_at = time.monotonic()
        self._lock = threading.Lock()

    def read(self) -> float:
        """Return the time since the clock was made, s."""
        with self._lock:
            now = time.monotonic()
            self._elapsed += min(now - self._read_at, self._longest_step)
            self._read_at = now
            return self._elapsed


class Heartbeat(threading.Thread):
    """Beats from the start of the process to its end; inside `renew_lease_of`, for a job too.

    Args:
        machine: None: this process cannot use it.
        measure_budget: returns the bytes that a rendering may use, asked while there is no job: others
            may have begun or ceased to use the card, and estimates should know.
        process: that is the worker. read_device: returns how busy the device is, at once.
        orders: followed between the beats, too.
    """

    def __init__(
        self,
        worker: str,
        machine: registry.Machine | None,
        measure_budget: Callable[[], int] | None = None,
        *,
        process: registry.Process = registry.UNKNOWN,
        read_device: Callable[[], registry.Reading] = registry.Reading,
        orders: Orders | None = None,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._worker, self._machine = worker, machine
        self._measure_budget = measure_budget
        self._process, self._read_device, self._orders = process, read_device, orders
        self._claim: states.Claim | None = None
        self._clock = AwakeClock(LONGEST_STEP)
        self._progressed_at = self._clock.read()
        self._pause = min(LONGEST_PAUSE, settings().lease_seconds / BEATS_IN_A_LEASE)

    @contextmanager
    def renew_lease_of(self, claim: states.Claim) -> Iterator[None]:
        """Renew this claim's lease while the block runs."""
        self.note_progress()
        self._claim = claim
        try:
            yield
        finally:
            self._claim = None

    def note_progress(self) -> None:
        """Note that the job made progress, if only by an iteration."""
        self._progressed_at = self._clock.read()

    def describe_taker(self) -> Taker:
        """Return what this worker takes, with the memory that was free when last measured."""
        given, machine = settings(), self._machine
        classes = frozenset(WorkClass(name) for name in split_list(given.classes))
        tags = frozenset(split_list(given.tags))
        if machine is None:  # with which it takes nothing
            return Taker(self._worker, classes, tags)
        device, budget = machine.device_kind, machine.budget_bytes
        return Taker(self._worker, classes, tags, device, budget, machine.films)

    def run(self) -> None:
        wait, beat_at = threading.Event().wait, 0.0
        while True:
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + self._pause
                self._beat()
            self._follow_orders()
            wait(min(ORDER_SECONDS, self._pause))

    def _follow_orders(self) -> None:
        try:
            if self._orders:
                self._orders.follow()
        except SQLAlchemyError as error:  # a database that is away is asked again
            log.warning("orders not read", error=str(error))

    def _update_budget(self) -> None:
        if self._machine is None or self._measure_budget is None:
            return
        try:
            self._machine = replace(self._machine, budget_bytes=self._measure_budget())
        except RuntimeError as error:  # a card that fails; the next job finds out, and is given back
            log.warning("budget not measured", error=str(error))

    def _beat(self) -> None:
        claim = self._claim
        silent = self._clock.read() - self._progressed_at
        stuck = claim is not None and silent > compute_patience(claim.job)
        if claim is None:
            self._update_budget()
        try:
            # Apart: who reports on a job locks its row first, and both would wait for each other.
            if claim:
                self._renew_lease(claim, stuck=stuck)
            with sessions.write_session() as session:
                reading = self._read_device()
                registry.record_heartbeat(session, self._worker, self._machine, self._process, reading)
        except NameTaken as error:
            log.warning("heartbeat refused", error=str(error))  # the orders are to end
        except SQLAlchemyError as error:  # a database that is away is tried again
            log.warning("heartbeat failed", error=str(error))
        if stuck:
            log.critical("no progress; this process ends", job=claim.job.id if claim else None)
            os._exit(ExitStatus.STUCK)

    def _renew_lease(self, claim: states.Claim, *, stuck: bool) -> None:
        """Renew the lease of a job, or release the job if it made no progress."""
        with suppress(AttemptLost), sessions.write_session() as session:  # the renderer learns of it
            if stuck:
                losses.release_interrupted(session, claim.attempt, losses.LOST, STUCK)
                tallies.STALLS.add(session)
            else:
                attempts.renew_lease(session, claim.attempt)


def compute_patience(job: Job) -> float:
    """Return the seconds that one iteration may take before its process is taken for stuck."""
    return settings().stall_seconds + SECONDS_PER_MEGAPIXEL * job.width * job.height / 1e6
