"""Looking at one row, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, create_engine, select, text
from sqlalchemy.exc import DBAPIError

from farm.database import sessions
from farm.database.models import Worker
from farm.settings import settings

ONE = select(Worker.device).where(Worker.name == bindparam("name"))


@pytest.fixture
def worker(database: str) -> str:
    """The database's kind; there is one worker in it."""
    with sessions.write_session() as session:
        session.add(
            Worker(
                name="a",
                device="CPU",
                memory_bytes=1,
                device_kind="cpu",
                itemsize=4,
                winograd=False,
                budget_bytes=1,
            )
        )
    return database


@pytest.mark.usefixtures("worker")
def test_a_glance_finds_what_was_written_a_moment_ago() -> None:
    assert sessions.read_one(ONE, name="b") is None
    for device in ("CPU, 2 threads", "CPU, 4 threads"):
        with sessions.write_session() as session:
            session.get_one(Worker, "a").device = device
        row = sessions.read_one(ONE, name="a")
        assert row is not None
        assert row.device == device


def test_a_glance_outlasts_the_end_of_its_connection(worker: str) -> None:
    if worker == "sqlite":
        pytest.skip("SQLite has no connections that could be ended")
    # Given connections that were used, and ended by the server
    assert sessions.read_one(ONE, name="a")
    admin = create_engine(settings().database_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        ended = connection.scalars(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).all()
    admin.dispose()
    assert any(ended)
    # Then the next look makes a new one
    row = sessions.read_one(ONE, name="a")
    assert row is not None
    assert row.device == "CPU"


@pytest.mark.usefixtures("worker")
def test_a_glance_that_cannot_be_answered_is_an_error() -> None:
    with pytest.raises(DBAPIError):
        sessions.read_one(text("SELECT nothing FROM nowhere"))
