"""The janitor judges nobody who had no chance to say that it is alive."""

from __future__ import annotations

import pytest

from farm.database.models import State
from farm.settings import settings
from farm.storage import Storage
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import lapse, state, to_state
from workers.janitor import Janitor

pytestmark = pytest.mark.usefixtures("database")


def long_well() -> Janitor:
    """A janitor for whom all has been well for a lease and more."""
    janitor = Janitor()
    janitor.run_round()
    assert janitor._available_since is not None
    janitor._available_since -= settings().lease_seconds
    return janitor


def test_a_lapsed_lease_is_judged_once_all_was_well_for_a_lease() -> None:
    job_id = to_state(State.RUNNING)
    lapse(job_id)
    Janitor().run_round()
    assert state(job_id) is State.RUNNING
    long_well().run_round()
    assert state(job_id) is State.QUEUED


def test_after_the_database_was_away_every_worker_gets_a_lease_to_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = to_state(State.RUNNING)
    janitor = long_well()
    # Given a database that is away for a round
    with monkeypatch.context() as away:
        away.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        fresh_settings()
        janitor.run_round()
    fresh_settings()
    # When the lease has lapsed meanwhile
    lapse(job_id)
    janitor.run_round()
    # Then the worker is not judged at once
    assert state(job_id) is State.RUNNING
    assert janitor._available_since is not None
    janitor._available_since -= settings().lease_seconds
    janitor.run_round()
    assert state(job_id) is State.QUEUED


def test_a_storage_that_is_away_stops_no_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_store: Storage, _folder: str = "") -> list[str]:
        raise OSError("the storage is away")

    monkeypatch.setattr(Storage, "list_keys", away)
    job_id = to_state(State.RUNNING)
    janitor = long_well()
    lapse(job_id)
    janitor.run_round()
    assert state(job_id) is State.QUEUED
