"""All moments are by the database's clock, whatever this machine's says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from farm.database import clock, sessions
from farm.database.models import Event
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import make_job

OFF = timedelta(minutes=10)
CLOSE = timedelta(seconds=30)


class WrongClock(datetime):
    """A clock that is ten minutes ahead."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + OFF


@pytest.fixture
def wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (clock, sessions):
        monkeypatch.setattr(room, "datetime", WrongClock)


def test_rows_have_the_databases_time(
    wrong_clock: None, postgres_with_tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert clock.now() - datetime.now(UTC) > OFF - CLOSE
    monkeypatch.setenv("DATABASE_URL", postgres_with_tables)
    fresh_settings()
    make_job()
    with sessions.read_session() as session:
        (event,) = session.query(Event).all()
    for moment in (event.created_at, clock.now()):
        assert abs(moment - datetime.now(UTC)) < CLOSE


def test_time_goes_on_from_there_whoever_sets_this_machines_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = datetime(2026, 11, 27, tzinfo=UTC)
    clock.set_clock(began, clock.read_steady() - 5)
    monkeypatch.setattr(clock, "datetime", WrongClock)
    assert timedelta(seconds=5) <= clock.now() - began < CLOSE


def test_where_the_database_has_no_clock_this_machines_is_the_farms(wrong_clock: None) -> None:
    with sessions.read_session() as session:
        assert abs(sessions.read_clock(session) - clock.now()) < CLOSE
    assert clock.now() - datetime.now(UTC) > OFF - CLOSE
