"""The housekeeper: what it does goes on by itself, and whatever is away ends it not."""

from __future__ import annotations

import threading

import pytest

from farm.database import sessions
from farm.database.models import State
from farm.jobs import holdings
from farm.jobs.holdings import Part
from farm.storage import MARK, storage
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import state
from tests.jobs.test_retention import ended, left, rate
from workers.housekeeper import Housekeeper

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def housekeeper() -> Housekeeper:
    return Housekeeper(threading.Event())


def test_old_jobs_go_and_the_sums_are_kept_for_all(
    housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an operator who wants to keep 30 days
    monkeypatch.setenv("FARM_KEEP_DAYS", "30")
    fresh_settings()
    rate(ended("old", 31))
    ended("new", 29)
    storage().put(f"jobs/{'a' * 32}/1/result.png", b"of a job that is gone")
    # When a step is done, the storage is clean, and the sums are what is left
    housekeeper.run_step()
    assert left() == {"new"}
    assert len(storage().list_keys()) == 1
    ended("since then", 1)
    with sessions.read_session() as session:
        assert holdings.read(session).finished == Part(1, 10)
        assert holdings.measure(session).finished == Part(2, 20)


def test_while_the_storage_is_away_no_row_goes_alone(
    housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_KEEP_DAYS", "30")
    fresh_settings()
    job_id = ended("old", 31)
    storage().delete(MARK)
    for _ in range(2):
        housekeeper.run_step()
    assert state(job_id) is State.SUCCEEDED
    storage().mark()
    housekeeper.run_step()
    assert left() == set()


def test_a_database_that_is_away_is_waited_for(
    housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        fresh_settings()
        housekeeper.run_step()
    fresh_settings()
    housekeeper.run_step()
    with sessions.read_session() as session:
        assert holdings.read(session).unknown == 0
