"""Looking at one row, and the connections of a process, on both databases."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import bindparam, create_engine, select, text
from sqlalchemy.exc import DBAPIError

from farm.cli import main
from farm.database import sessions
from farm.database.fleet import Worker
from farm.database.setup import install
from farm.settings import lock_folder, settings
from tests.conftest import fresh_settings
from workers.janitor import Janitor

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
    end_connections()
    # Then the next look makes a new one
    row = sessions.read_one(ONE, name="a")
    assert row is not None
    assert row.device == "CPU"


@pytest.mark.usefixtures("database")
def test_threads_that_come_first_together_share_their_connections() -> None:
    count = 8
    start, engines = Barrier(count), []

    def ask() -> None:
        start.wait()
        engines.append((sessions.engine(), sessions.get_autocommit_engine()))

    asking = [Thread(target=ask) for _ in range(count)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert engines == [(sessions.engine(), sessions.get_autocommit_engine())] * count


def end_connections() -> None:
    """Have the server end all connections of this process."""
    admin = create_engine(settings().database_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        ended = connection.scalars(
            text(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).all()
    admin.dispose()
    assert any(ended)


def test_a_session_after_a_rest_outlasts_the_end_of_its_connection(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres)
    fresh_settings()
    monkeypatch.setattr(sessions, "UNTESTED_SECONDS", 0.0)
    for _ in range(2):
        with sessions.read_session() as session:
            assert session.scalar(text("SELECT 1")) == 1
        end_connections()


@pytest.mark.parametrize(("given", "seconds"), [("", "5"), ("&connect_timeout=9", "9")])
def test_silence_ends_a_connection_on_both_sides_unless_the_url_says_otherwise(
    postgres: str, monkeypatch: pytest.MonkeyPatch, given: str, seconds: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres + given)
    fresh_settings()
    for engine in (sessions.engine(), sessions.get_autocommit_engine()):
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            ours = driver.info.get_parameters()
            servers = connection.scalars(text("SHOW idle_in_transaction_session_timeout")).one()
        assert (ours["connect_timeout"], ours["tcp_user_timeout"]) == (seconds, "15000")
        assert servers == "2min"


def test_no_connection_checkpoints_and_the_janitors_round_does(farm_home: Path) -> None:
    # Given more in the log than SQLite would leave there by itself
    install()
    with sessions.write_session() as session:
        session.execute(text("CREATE TABLE large (page BLOB)"))
        session.execute(text("INSERT INTO large VALUES (zeroblob(8000000))"))
    file, log = farm_home / "farm.db", farm_home / "farm.db-wal"
    with sessions.read_session() as session:
        assert session.scalar(text("PRAGMA wal_autocheckpoint")) == 0
    assert file.stat().st_size < 8_000_000 < log.stat().st_size
    # While another process is at it, nobody else is
    with lock_folder(farm_home):
        sessions.checkpoint()
        assert file.stat().st_size < 8_000_000
    Janitor().run_round()
    assert file.stat().st_size > 8_000_000


def test_a_check_names_the_database_and_what_is_wrong_with_it(database: str, farm_home: Path) -> None:
    def check() -> Result:
        return CliRunner().invoke(main, ["db", "check"])

    good = check()
    assert good.exit_code == 0
    assert good.output.startswith("SQLite 3." if database == "sqlite" else "PostgreSQL 1")
    assert "whole and up to date" in good.output
    if database == "sqlite":
        sessions.close()
        file = farm_home / "farm.db"
        with file.open("r+b") as data:
            data.seek(file.stat().st_size - 4096)
            data.write(b"\xff" * 4096)
        bad = check()
        assert bad.exit_code == 1
        assert "damaged" in bad.output or "malformed" in bad.output


@pytest.mark.usefixtures("worker")
def test_a_glance_that_cannot_be_answered_is_an_error() -> None:
    with pytest.raises(DBAPIError):
        sessions.read_one(text("SELECT nothing FROM nowhere"))
