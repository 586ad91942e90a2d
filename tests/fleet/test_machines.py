"""What the farm knows of its workers, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from farm.database import sessions
from farm.database.base import now
from farm.database.fleet import Worker
from farm.fleet import registry
from tests.jobs.test_jobs import machine

pytestmark = pytest.mark.usefixtures("database")


def test_a_worker_seen_twice_is_one_worker() -> None:
    for device in ("CPU", "GPU"):
        with sessions.write_session() as session:
            registry.record_heartbeat(session, "a", machine(device))
    with sessions.read_session() as session:
        assert [(w.name, w.device) for w in registry.list_alive(session)] == [("a", "GPU")]


def test_a_workers_speed_is_smoothed_and_survives_its_heartbeat() -> None:
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "a", machine("CPU"))
        registry.record_heartbeat(session, "b", machine("CPU"))
    for seconds, known in ((8.0, 8.0), (4.0, 6.0), (6.0, 6.0), (10.0, 8.0)):
        with sessions.write_session() as session:
            registry.record_speed(session, "a", seconds)
            registry.record_heartbeat(session, "a", machine("CPU"))
        with sessions.read_session() as session:
            speeds = [worker.seconds_per_megapixel for worker in registry.list_alive(session)]
        assert speeds == [pytest.approx(known), None]


def test_a_worker_that_was_not_seen_for_long_is_forgotten() -> None:
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "old", machine("CPU"))
        registry.record_heartbeat(session, "new", machine("CPU"))
        session.get_one(Worker, "old").seen_at = now() - timedelta(days=2)
    with sessions.write_session() as session:
        registry.delete_stale(session)
    with sessions.read_session() as session:
        assert [worker.name for worker in session.query(Worker)] == ["new"]
