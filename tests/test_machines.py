"""What the farm knows of its workers, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from farm import db, machines
from farm.models import Worker, now
from tests.test_jobs import machine

pytestmark = pytest.mark.usefixtures("database")


def test_a_worker_seen_twice_is_one_worker() -> None:
    for device in ("CPU", "GPU"):
        with db.writing() as session:
            machines.seen(session, "a", machine(device))
    with db.reading() as session:
        assert [(w.name, w.device) for w in machines.alive(session)] == [("a", "GPU")]


def test_a_workers_speed_is_smoothed_and_survives_its_heartbeat() -> None:
    with db.writing() as session:
        machines.seen(session, "a", machine("CPU"))
        machines.seen(session, "b", machine("CPU"))
    for seconds, known in ((8.0, 8.0), (4.0, 6.0), (6.0, 6.0), (10.0, 8.0)):
        with db.writing() as session:
            machines.measured(session, "a", seconds)
            machines.seen(session, "a", machine("CPU"))
        with db.reading() as session:
            speeds = [worker.seconds_per_megapixel for worker in machines.alive(session)]
        assert speeds == [pytest.approx(known), None]


def test_a_worker_that_was_not_seen_for_long_is_forgotten() -> None:
    with db.writing() as session:
        machines.seen(session, "old", machine("CPU"))
        machines.seen(session, "new", machine("CPU"))
        session.get_one(Worker, "old").seen_at = now() - timedelta(days=2)
    with db.writing() as session:
        machines.forget(session)
    with db.reading() as session:
        assert [worker.name for worker in session.query(Worker)] == ["new"]
