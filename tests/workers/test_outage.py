"""A worker goes on when the storage or the database was away for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import State
from farm.errors import AttemptLost, NotFound, StorageAway
from farm.jobs import states
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef, Claim
from farm.storage import Storage
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import make_job, state
from workers import retries
from workers.claims import claim_next
from workers.interrupts import Interrupted

TAKER = Taker("worker@test")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A storage's folder, in the place of which there is a file."""
    place = tmp_path / "storage"
    place.write_bytes(b"")
    return place


def put(place: Path) -> None:
    Storage(f"file://{place}").put("jobs/1/a", b"picture")


def test_a_storage_that_comes_back_has_been_waited_for(away: Path) -> None:
    def come_back() -> None:
        away.unlink()
        Storage(f"file://{away}").mark()

    back = threading.Timer(0.1, come_back)
    back.start()
    retries.call_storage(lambda: put(away))
    assert (away / "jobs/1/a").read_bytes() == b"picture"


def test_one_that_stays_away_is_given_up(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "settings", lambda: SimpleNamespace(outage_seconds=0.1))
    with pytest.raises(StorageAway, match="not there: it has no file"):
        retries.call_storage(lambda: put(away))


def test_a_file_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    tries = []
    store = Storage(f"file://{tmp_path}/storage")
    store.mark()

    def fetch() -> bytes:
        tries.append(1)
        return store.get("a")

    with pytest.raises(NotFound):
        retries.call_storage(fetch)
    assert len(tries) == 1


@pytest.fixture
def lost_answer(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first transaction is committed, but the connection breaks before anybody learns of it."""
    write_session, broken = sessions.write_session, threading.Event()

    @contextmanager
    def lose_the_first_answer() -> Iterator[Session]:
        with write_session() as session:
            yield session
        if not broken.is_set():
            broken.set()
            raise OperationalError("COMMIT", {}, Exception("the connection is gone"))

    monkeypatch.setattr(sessions, "write_session", lose_the_first_answer)


def make_and_claim(count: int) -> tuple[list[str], Claim]:
    """Jobs, and the claim of a worker that is told of the first to wait."""
    ids = [make_job() for _ in range(count)]
    claim = claim_next(TAKER)
    assert claim is not None
    return ids, claim


@pytest.mark.usefixtures("database")
def test_a_claim_whose_answer_was_lost_is_the_workers_all_the_same(
    request: pytest.FixtureRequest,
) -> None:
    # Given a claim that is stored although the worker hears of an outage
    ids = [make_job() for _ in range(2)]
    request.getfixturevalue("lost_answer")
    # When it is tried again
    claim = claim_next(TAKER)
    # Then it is the same, and no job is held by nobody
    assert claim is not None
    assert claim.attempt == AttemptRef(ids[0], 1)
    assert [state(job_id) for job_id in ids] == [State.RUNNING, State.QUEUED]


@pytest.mark.usefixtures("database")
def test_a_result_whose_answer_was_lost_is_stored_once(request: pytest.FixtureRequest) -> None:
    (job_id,), claim = make_and_claim(1)
    request.getfixturevalue("lost_answer")
    with pytest.raises(AttemptLost):
        retries.write(lambda session: states.succeed(session, claim.attempt, {"ssim": 0.5}))
    with sessions.read_session() as session:
        job = states.get(session, job_id)
        ends = [event.state for event in job.events if event.state.ended]
    assert (job.state, job.metrics, ends) == (State.SUCCEEDED, {"ssim": 0.5}, [State.SUCCEEDED])


@pytest.mark.usefixtures("database")
def test_a_worker_that_is_stopped_waits_for_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    fresh_settings()
    stopping = threading.Event()
    stopping.set()
    monkeypatch.setattr("workers.claims.stopping", stopping)
    with pytest.raises(Interrupted):
        claim_next(TAKER)
