"""Tallies: counts and sums for /metrics that only grow, so that nothing is counted over all ended jobs.

They are added to in the transaction of what they count, by one statement at its end: no tally's row is
locked for longer than a commit takes, and two transactions never wait for each other in a circle. Each
process adds to one of `SHARDS` rows of a tally; readers add them up.
"""

from __future__ import annotations

import os
import socket
import zlib
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from sqlalchemy import Executable, Table, func, select
from sqlalchemy.orm import Session

from farm.database.fleet import Tally
from farm.database.models import State, WorkClass
from farm.database.upserts import insert_for

SHARDS = 32
PENDING = "tallies"  # what a session has counted and not yet written

Sums = Mapping[str, Mapping[str, float]]  # by name of the tally and by labels

CLASSES = tuple(WorkClass)
OUTCOMES = (
    *("succeeded", "failed", "cancelled", "queued", "worker_lost", "out_of_memory"),
    *("device_failed", "stepped_aside", "renderer_broke"),
)


@dataclass(frozen=True)
class Counter:
    """A count or sum, by labels."""

    # Of the metric, without `_total`.
    name: str
    # Description for people.
    text: str
    # Names of the labels, each with its values, which are all there from the start.
    labels: Mapping[str, tuple[str, ...]]

    def add(self, session: Session, *values: str, amount: float = 1.0) -> None:
        """Count something in this session's transaction.

        Args:
            values: of the labels, in their order.
        """
        _add(session, self.name, self._join(values), amount)

    def list_sums(self, sums: Sums) -> list[tuple[tuple[str, ...], float]]:
        """Return the sum for each combination of labels' values, zeros included."""
        mine = sums.get(self.name, {})
        return [(values, mine.get(self._join(values), 0.0)) for values in product(*self.labels.values())]

    def _join(self, values: tuple[str, ...]) -> str:
        return ",".join(f"{name}={value}" for name, value in zip(self.labels, values, strict=True))


@dataclass(frozen=True)
class Histogram(Counter):
    """Durations, counted by buckets, and their sum."""

    # Upper ends of the buckets, s, beside the last, which has none.
    buckets: tuple[float, ...]

    def observe(self, session: Session, seconds: float, *values: str) -> None:
        """Count a duration in this session's transaction."""
        seconds, labels = max(seconds, 0.0), self._join(values)
        _add(session, f"{self.name}_bucket", f"{labels},le={self._find_bucket(seconds)}", 1.0)
        _add(session, f"{self.name}_sum", labels, seconds)

    def list_buckets(self, sums: Sums) -> list[tuple[tuple[str, ...], list[tuple[str, float]], float]]:
        """Return for each combination of labels' values the number of durations up to each bucket's end,
        and their sum."""
        counted, totals = sums.get(f"{self.name}_bucket", {}), sums.get(f"{self.name}_sum", {})
        found = []
        for values in product(*self.labels.values()):
            labels, count, buckets = self._join(values), 0.0, []
            for end in (*map(str, self.buckets), "+Inf"):
                count += counted.get(f"{labels},le={end}", 0.0)
                buckets.append((end, count))
            found.append((values, buckets, totals.get(labels, 0.0)))
        return found

    def _find_bucket(self, seconds: float) -> str:
        place = bisect_left(self.buckets, seconds)
        return str(self.buckets[place]) if place < len(self.buckets) else "+Inf"


JOBS_ENDED = Counter(
    "farm_jobs_ended",
    "Ends of jobs; one that is retried ends again.",
    {"state": tuple(state for state in State if state.ended), "class": CLASSES},
)
ATTEMPTS_ENDED = Counter(
    "farm_attempts_ended",
    "Ends of attempts at jobs; `worker_lost`: a lease ran out or a worker was killed, `queued`: it was "
    "stopped and put its job back.",
    {"outcome": OUTCOMES},
)
QUEUE_WAIT = Histogram(
    "farm_queue_wait_seconds",
    "Wait of jobs from submission to their first attempt.",
    {"class": CLASSES},
    (1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0),
)
RENDER = Histogram(
    "farm_render_seconds",
    "Duration of attempts, however they ended.",
    {"class": CLASSES},
    (2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0),
)
WORK = Counter(
    "farm_megapixel_iterations",
    "Iterations, each times the megapixels of its level; a level that ends early counts whole.",
    {"class": CLASSES},
)
RETRIES = Counter("farm_retries", "Failed and cancelled jobs that a person had tried again.", {})
STALLS = Counter("farm_stalls", "Workers that ended themselves because their job made no progress.", {})
DELIVERIES = Counter(
    "farm_webhook_tries",
    "Webhooks sent: taken by the receiver, to be tried again, or given up.",
    {"result": ("delivered", "waiting", "given_up")},
)
TALLIED: tuple[Counter, ...] = (
    *(JOBS_ENDED, ATTEMPTS_ENDED, QUEUE_WAIT, RENDER),
    *(WORK, RETRIES, STALLS, DELIVERIES),
)


def write(session: Session) -> None:
    """Add what a session has counted to the rows of this process's shard; the last statement before the
    commit."""
    pending: dict[tuple[str, str], float] | None = session.info.pop(PENDING, None)
    if not pending:
        return
    session.flush()
    shard = _choose_shard(os.getpid())
    rows = [
        {"name": name, "labels": labels, "shard": shard, "value": pending[name, labels]}
        for name, labels in sorted(pending)
    ]
    connection = session.connection()
    connection.execute(_build_addition(connection.dialect.name), rows)


@lru_cache
def _build_addition(dialect: str) -> Executable:
    """Return the statement that adds to a row, or begins it."""
    table = Tally.__table__
    assert isinstance(table, Table)
    added = insert_for(dialect, table)
    grown = table.c.value + added.excluded.value
    mine = list(table.primary_key)
    return added.on_conflict_do_update(index_elements=mine, set_={"value": grown})


def read_sums(session: Session) -> Sums:
    """Return all tallies, each shard's added up."""
    sums: dict[str, dict[str, float]] = {}
    added = select(Tally.name, Tally.labels, func.sum(Tally.value)).group_by(Tally.name, Tally.labels)
    for name, labels, value in session.execute(added):
        sums.setdefault(name, {})[labels] = value
    return sums


def _add(session: Session, name: str, labels: str, amount: float) -> None:
    pending: dict[tuple[str, str], float] = session.info.setdefault(PENDING, {})
    pending[name, labels] = pending.get((name, labels), 0.0) + amount


@lru_cache
def _choose_shard(process: int) -> str:
    """Return the shard of a process of this machine."""
    return str(zlib.crc32(f"{socket.gethostname()} {process}".encode()) % SHARDS)
