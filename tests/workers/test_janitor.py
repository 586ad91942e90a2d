"""The janitor judges nobody who had no chance to say that it is alive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from farm.database import sessions
from farm.database.models import State
from farm.jobs import attempts, losses, states, tickets
from farm.settings import settings
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import state, to_state
from workers.heartbeat import LONGEST_STEP, AwakeClock
from workers.janitor import ROUND_SECONDS, Janitor

pytestmark = pytest.mark.usefixtures("database")


class Rounds:
    """A janitor and the monotonic clock that it reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("workers.janitor.time", SimpleNamespace(monotonic=lambda: self.now))
        self.janitor = Janitor()
        self.janitor.run_round()

    def watch(self, seconds: float, each_round: Callable[[], None] = lambda: None) -> None:
        """Go its rounds for so long; something happens before each."""
        until = self.now + seconds
        while self.now < until:
            self.now += ROUND_SECONDS
            each_round()
            self.janitor.run_round()


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    monkeypatch.setenv("FARM_LEASE_SECONDS", "30")  # six rounds
    fresh_settings()
    return Rounds(monkeypatch)


def renew() -> None:
    with sessions.write_session() as session:
        for attempt in losses.list_leases(session):
            attempts.renew_lease(session, attempt)


def test_a_job_is_lost_when_its_lease_was_watched_for_its_length(rounds: Rounds) -> None:
    job_id = to_state(State.RUNNING)
    rounds.watch(settings().lease_seconds)
    assert state(job_id) is State.RUNNING
    rounds.watch(ROUND_SECONDS)
    assert state(job_id) is State.QUEUED


def test_two_janitors_take_a_job_for_lost_once(rounds: Rounds) -> None:
    job_id, other = to_state(State.RUNNING), Janitor()
    rounds.watch(settings().lease_seconds + 3 * ROUND_SECONDS, other.run_round)
    with sessions.read_session() as session:
        job = states.get(session, job_id)
        moves = [event.state for event in job.events]
        outcomes = [attempt.outcome for attempt in job.attempts]
    assert moves == [State.QUEUED, State.RUNNING, State.QUEUED]
    assert outcomes == [losses.LOST]


def test_a_worker_that_renews_its_lease_is_never_lost(rounds: Rounds) -> None:
    job_id = to_state(State.RUNNING)
    rounds.watch(5 * settings().lease_seconds, renew)
    assert state(job_id) is State.RUNNING
    # However seldom, and whatever the rounds between
    beats = iter(range(1000))
    rounds.watch(5 * settings().lease_seconds, lambda: renew() if next(beats) % 4 == 0 else None)
    assert state(job_id) is State.RUNNING


@pytest.mark.parametrize("hours", [2, -2])
def test_a_clock_that_is_set_anew_loses_no_job(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    job_id, waiting = to_state(State.RUNNING), to_state(State.QUEUED)
    rounds.watch(3 * ROUND_SECONDS, renew)
    read = sessions.read_clock
    for room in (sessions, states, tickets):
        monkeypatch.setattr(
            room, "read_clock", lambda session: read(session) + timedelta(hours=hours), raising=True
        )
    # A live one stays, by leases of the old clock and of the new one
    rounds.watch(settings().lease_seconds - 2 * ROUND_SECONDS)
    assert state(job_id) is State.RUNNING
    rounds.watch(3 * settings().lease_seconds, renew)
    assert state(job_id) is State.RUNNING
    # A waiting one gets its tickets
    with sessions.read_session() as session:
        sent = states.get(session, waiting).ticket_at
        assert sent is not None
        assert abs(models_now(sent) - sessions.read_clock(session)) < timedelta(minutes=1)
    # And a dead one is lost
    rounds.watch(settings().lease_seconds + ROUND_SECONDS)
    assert state(job_id) is State.QUEUED


def models_now(moment: datetime) -> datetime:
    """A moment of the database, with its zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def test_a_farm_that_slept_loses_no_job(rounds: Rounds) -> None:
    job_id = to_state(State.RUNNING)
    for _ in range(losses.MAX_FAILURES[losses.LOST] + 1):
        rounds.watch(settings().lease_seconds - 2 * ROUND_SECONDS)
        rounds.now += 8 * 3600  # the lid is closed at night
        # In the morning the janitor is the first to wake
        rounds.watch(settings().lease_seconds - ROUND_SECONDS)
        renew()
        rounds.watch(ROUND_SECONDS)
        assert state(job_id) is State.RUNNING


def test_a_worker_that_slept_does_not_take_itself_for_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr("workers.heartbeat.time", SimpleNamespace(monotonic=lambda: now))
    clock = AwakeClock(LONGEST_STEP)
    for _ in range(4):
        now += LONGEST_STEP / 2
        clock.read()
    assert clock.read() == 2 * LONGEST_STEP
    now += 8 * 3600
    assert clock.read() == 3 * LONGEST_STEP
    assert settings().stall_seconds > 3 * LONGEST_STEP


def test_after_the_database_was_away_every_worker_gets_a_lease_to_say_so(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = to_state(State.RUNNING)
    rounds.watch(settings().lease_seconds)
    # Given a database that is away for a round
    with monkeypatch.context() as away:
        away.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        fresh_settings()
        rounds.watch(ROUND_SECONDS)
    fresh_settings()
    # Then the worker is not judged at once
    rounds.watch(settings().lease_seconds)
    assert state(job_id) is State.RUNNING
    rounds.watch(ROUND_SECONDS)
    assert state(job_id) is State.QUEUED
