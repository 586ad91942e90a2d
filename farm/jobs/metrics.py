"""Metrics for Prometheus, from rows: what is now from those that wait and run, what was from tallies.

No query walks over ended jobs, so a million of them cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm.database import disk, sessions, tallies
from farm.database.deliveries import Delivery
from farm.database.fleet import WorkerState
from farm.database.models import HELD, Job, State, WorkClass
from farm.database.tallies import Counter, Histogram
from farm.fleet import queue, registry
from farm.jobs import holdings

ALIVE = (State.QUEUED, *HELD)
BEGIN_SECONDS = 60.0  # in which there should be workers enough to begin all that waits

Values = Mapping[tuple[str, ...], float]  # by labels' values


@dataclass(frozen=True)
class Gauge:
    """Something that is now so much."""

    name: str
    # Description for people.
    text: str
    # Names of its labels.
    labels: tuple[str, ...] = ()


JOBS = Gauge("farm_jobs", "Jobs that wait or that workers have.", ("state", "class"))
OLDEST = Gauge(
    "farm_queue_oldest_seconds", "Time since the oldest job that waits was submitted.", ("class",)
)
PAUSED = Gauge("farm_queue_paused", "1 while an operator has paused the queue.")
WANTED = Gauge(
    "farm_wanted_workers",
    "Workers for this class that the farm could use now, for autoscalers.",
    ("class",),
)
WORKERS = Gauge("farm_workers", "Workers seen within a minute.", ("state",))
AT_WORK = Gauge("farm_workers_at_work", "Workers that have a job.")
STORAGE = Gauge("farm_storage_bytes", "Bytes in the storage, as last added up.", ("kind",))
FREE = Gauge("farm_disk_free_bytes", "Bytes that are free on a disk of the farm's.", ("folder",))
RESERVE = Gauge(
    "farm_disk_reserve_bytes", "Free bytes below which the farm takes nothing new.", ("folder",)
)
TO_SEND = Gauge("farm_webhooks_waiting", "Webhooks that are to be sent.")
GAUGES = (*(JOBS, OLDEST, PAUSED, WANTED, WORKERS, AT_WORK, STORAGE, FREE, RESERVE, TO_SEND),)


@dataclass(frozen=True)
class Load:
    """Jobs of one class that have not ended."""

    # Number by state.
    jobs: dict[State, int] = field(default_factory=dict)
    # When the oldest that waits was submitted; None: none waits.
    oldest: datetime | None = None

    @property
    def waiting(self) -> int:
        """Number of those that wait."""
        return self.jobs.get(State.QUEUED, 0)

    @property
    def running(self) -> int:
        """Number of those that workers have."""
        return sum(self.jobs.get(state, 0) for state in HELD)


class FarmCollector(Collector):
    """Collector of all that the database knows, in one transaction that only reads."""

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its values.

        Raises:
            OperationalError: the database is away.
        """
        with sessions.read_session() as session:
            sums, loads = tallies.read_sums(session), read_loads(session)
            gauges = _read_gauges(session, loads, sums)
        for gauge in GAUGES:
            yield _build_gauge(gauge, gauges[gauge.name])
        for tally in tallies.TALLIED:
            yield _build_tally(tally, sums)


def read_loads(session: Session) -> dict[WorkClass, Load]:
    """Return the jobs that wait or run, by class."""
    counts = select(Job.work_class, Job.state, func.count(), func.min(Job.created_at))
    counts = counts.where(Job.state.in_(ALIVE)).group_by(Job.work_class, Job.state)
    rows = session.execute(counts).all()
    return {
        work_class: Load(
            {state: count for each, state, count, _ in rows if each is work_class},
            next((row[3] for row in rows if row[:2] == (work_class, State.QUEUED)), None),
        )
        for work_class in WorkClass
    }


def count_wanted(load: Load, mean_seconds: float | None, *, paused: bool = False) -> int:
    """Return how many workers a class could use now.

    One for each job that is at work, so that none is ever ended for want of work; and as many as begin
    all that waits within BEGIN_SECONDS, at the mean duration of an attempt: one for each where attempts
    take longer than that, fewer where a worker makes several in that time.

    Args:
        mean_seconds: of an attempt; None: not known yet. paused: nothing that waits is begun.
    """
    if paused or not load.waiting:
        return load.running
    share = min((BEGIN_SECONDS if mean_seconds is None else mean_seconds) / BEGIN_SECONDS, 1.0)
    return load.running + max(1, math.ceil(load.waiting * share))


def _read_gauges(
    session: Session, loads: Mapping[WorkClass, Load], sums: tallies.Sums
) -> dict[str, Values]:
    now, paused = sessions.read_clock(session), queue.is_paused(session)
    means = _compute_means(sums)
    workers = registry.list_alive(session)
    to_send = select(func.count()).where(Delivery.due_at.is_not(None))
    stored, disks = holdings.read_stored(session), disk.list_disks()
    return {
        JOBS.name: {(s, c): loads[c].jobs.get(s, 0) for s in ALIVE for c in WorkClass},
        OLDEST.name: {(c,): _measure_age(loads[c].oldest, now) for c in WorkClass},
        PAUSED.name: {(): float(paused)},
        WANTED.name: {(c,): count_wanted(loads[c], means[c], paused=paused) for c in WorkClass},
        WORKERS.name: {(s,): sum(each.state is s for each in workers) for s in WorkerState},
        AT_WORK.name: {(): sum(each.job_id is not None for each in workers)},
        STORAGE.name: {(k,): part.size_bytes for k, part in stored.parts.items()} if stored else {},
        FREE.name: {(str(each.folder),): each.free for each in disks},
        RESERVE.name: {(str(each.folder),): each.reserve for each in disks},
        TO_SEND.name: {(): session.scalar(to_send) or 0},
    }


def _compute_means(sums: tallies.Sums) -> dict[str, float | None]:
    """Return the mean duration of attempts, s, by class; None: there were none."""
    return {
        values[0]: total / buckets[-1][1] if buckets[-1][1] else None
        for values, buckets, total in tallies.RENDER.list_buckets(sums)
    }


def _measure_age(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0


def _build_gauge(gauge: Gauge, values: Values) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.text, labels=gauge.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _build_tally(tally: Counter, sums: tallies.Sums) -> Metric:
    if isinstance(tally, Histogram):
        histogram = HistogramMetricFamily(tally.name, tally.text, labels=[*tally.labels])
        for values, buckets, total in tally.list_buckets(sums):
            histogram.add_metric(values, buckets, sum_value=total)
        return histogram
    counter = CounterMetricFamily(tally.name, tally.text, labels=[*tally.labels])
    for values, value in tally.list_sums(sums):
        counter.add_metric(values, value)
    return counter


def list_all() -> Iterable[tuple[str, str, str, tuple[str, ...]]]:
    """Return name, kind, description and labels of each metric that is read from rows."""
    for gauge in GAUGES:
        yield gauge.name, "gauge", gauge.text, gauge.labels
    for tally in tallies.TALLIED:
        kind = "histogram" if isinstance(tally, Histogram) else "counter"
        name = tally.name if kind == "histogram" else f"{tally.name}_total"
        yield name, kind, tally.text, tuple(tally.labels)
