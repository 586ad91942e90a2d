"""The database: one engine for each process, sessions, and the migrations' state."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    CursorResult,
    Engine,
    Executable,
    Row,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.orm import Session

from farm.database import (  # noqa: F401 - the tables name each other: whoever has a session has all
    clock,
    deliveries,
    films,
    fleet,
    looks,
    models,
    opinions,
    people,
    tallies,
)
from farm.errors import NoFarm
from farm.settings import lock_folder, settings

BUSY_MILLISECONDS = 5000  # a SQLite writer waits this long for another
CONNECT_SECONDS = 5  # for PostgreSQL's answer to a new connection
# A peer that answers nothing for so long is taken for gone, by either side. TCP alone takes a quarter of
# an hour where something was sent, two hours where nothing was, and what a vanished worker has locked
# stays locked meanwhile.
SILENCE_SECONDS = 15
PROBE_SECONDS = 5  # of silence, after which the peer is asked whether it is still there
COUNTED_ON_SECONDS = 30  # in which two clocks go apart by some milliseconds at most
UNTESTED_SECONDS = 1.0  # of rest of a connection, which is used again without a test
RESTS_SINCE = "rests since"  # in what is noted of a connection
LOCKED_SECONDS = 120  # that a transaction may rest, as that of a stopped process; ours end far sooner

_making = threading.Lock()  # is held while the engines are made


def engine() -> Engine:
    """Return this process's engine, made at first use, so that a child process makes its own."""
    return _get_engines()[0]


def get_autocommit_engine() -> Engine:
    """Return this process's engine without transactions, of the same database."""
    return _get_engines()[1]


def _get_engines() -> tuple[Engine, Engine]:
    """Return the same two to all threads, also to those that come first together: the connections of
    another pair nobody would close."""
    if _make_engines.cache_info().currsize:
        return _make_engines()
    with _making:
        return _make_engines()


@lru_cache
def _make_engines() -> tuple[Engine, Engine]:
    whole = _make_engine()
    return whole, _make_autocommit(whole)


def _make_engine() -> Engine:
    url = make_url(settings().database_url)
    if url.get_backend_name() != "sqlite":
        made = _connect_postgres(url)
        event.listen(made, "checkin", _note_rest)
        event.listen(made, "checkout", _test_rested)
        return made
    if url.database:
        with suppress(OSError):  # SQLite tells what is wrong
            settings().make_home()
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    made = create_engine(url, connect_args={"timeout": BUSY_MILLISECONDS / 1000})
    event.listen(made, "connect", _prepare_sqlite)
    event.listen(made, "begin", _begin_immediate)
    return made


def _connect_postgres(url: URL, **options: Any) -> Engine:
    """Return an engine whose connections end, on both sides, when the other host is silent. What the
    URL itself sets, it sets otherwise."""
    silence = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": PROBE_SECONDS,
        "keepalives_interval": PROBE_SECONDS,
        "keepalives_count": SILENCE_SECONDS // PROBE_SECONDS - 1,
        "tcp_user_timeout": 1000 * SILENCE_SECONDS,
    }
    given = {name: value for name, value in silence.items() if name not in url.query}
    made = create_engine(url, connect_args=given, **options)
    event.listen(made, "connect", _prepare_postgres)
    return made


def _prepare_postgres(connection: Any, _record: Any) -> None:
    """Have the server watch this connection, too, as it holds the locks of a host that is gone; take its
    time."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET tcp_keepalives_idle = {PROBE_SECONDS};"
            f"SET tcp_keepalives_interval = {PROBE_SECONDS};"
            f"SET tcp_keepalives_count = {SILENCE_SECONDS // PROBE_SECONDS - 1};"
            f"SET tcp_user_timeout = '{SILENCE_SECONDS}s';"
            f"SET idle_in_transaction_session_timeout = '{LOCKED_SECONDS}s'"
        )
        began = clock.read_steady()
        cursor.execute("SELECT clock_timestamp()")
        clock.set_clock(cursor.fetchone()[0], (began + clock.read_steady()) / 2)
    connection.commit()


def _note_rest(_connection: Any, record: Any) -> None:
    """Remember when a connection was last used."""
    record.info[RESTS_SINCE] = time.monotonic()


def _test_rested(connection: Any, record: Any, _proxy: Any) -> None:
    """Test a connection that rested before it is used again: its server may have ended meanwhile.

    Raises:
        InvalidatePoolError: it is broken, as all others may be; SQLAlchemy makes a new one.
    """
    rests_since = record.info.get(RESTS_SINCE)
    if rests_since is None or time.monotonic() - rests_since < UNTESTED_SECONDS:
        return
    try:
        engine().dialect.do_ping(connection)
    except engine().dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def is_on_one_machine() -> bool:
    """Check whether the database is a file, so that all processes of the farm are on its machine."""
    return make_url(settings().database_url).get_backend_name() == "sqlite"


def check_exists() -> None:
    """Check that a database in a file is there, without making one.

    Raises:
        NoFarm: it is not; names the folder.
    """
    url = make_url(settings().database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        folder = Path(url.database or "").parent
        raise NoFarm(
            f"There is no farm in {folder}: set FARM_HOME to its folder, or run this where it was "
            "started. `farm up` makes a new one, `farm db upgrade` its database alone."
        )


def close() -> None:
    """Close this process's connections; the next session opens new ones."""
    if _make_engines.cache_info().currsize:
        for each in _make_engines():
            each.dispose()
    _make_engines.cache_clear()
    clock.reset()


def redact_url() -> str:
    """Return the database's URL without its password and query."""
    url = make_url(settings().database_url).set(query={})
    return url.render_as_string(hide_password=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Set the write-ahead log, so that readers and one writer do not wait for each other.

    No connection checkpoints it by itself (`checkpoint`).
    """
    connection.isolation_level = None  # SQLAlchemy's `begin` event begins, not the driver
    for pragma in (
        "journal_mode=WAL",
        "wal_autocheckpoint=0",
        f"busy_timeout={BUSY_MILLISECONDS}",
        "foreign_keys=ON",
        "synchronous=NORMAL",
    ):
        connection.execute(f"PRAGMA {pragma}")


def checkpoint() -> None:
    """Bring what was written from SQLite's log into its database, unless another process is at it.

    Below 3.51.3 a checkpoint that begins while another connection commits can damage the database, and
    each connection would begin them by itself: https://sqlite.org/wal.html#walresetbug. So the janitor
    alone does, and holds the lock of writers meanwhile.
    """
    file = make_url(settings().database_url).database
    if engine().dialect.name != "sqlite" or not file:
        return
    with (
        suppress(BlockingIOError),
        lock_folder(Path(file).parent, wait=False),
        write_session() as writer,
    ):
        writer.execute(text("SELECT 1"))  # which begins, and so takes the lock
        with get_autocommit_engine().connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def describe_version() -> str:
    """Return the database's name and version; of SQLite also its bug, and what is done about it."""
    if engine().dialect.name != "sqlite":
        with engine().connect() as connection:
            return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"
    found = sqlite3.sqlite_version_info
    fixed = found >= (3, 51, 3) or (3, 50, 7) <= found < (3, 51) or (3, 44, 6) <= found < (3, 45)
    note = "" if fixed else " (its log is checkpointed by the janitor alone: below 3.51.3 it has a bug)"
    return f"SQLite {sqlite3.sqlite_version}{note}"


def list_damage() -> list[str]:
    """Return what SQLite finds wrong in its file, a line each; nothing for other databases."""
    if engine().dialect.name != "sqlite":
        return []
    with get_autocommit_engine().connect() as connection:
        lines = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    return [] if lines == ["ok"] else [str(line) for line in lines]


def _begin_immediate(connection: Any) -> None:
    """Begin deferred for readers; a session that will write takes the lock first, or two that read and
    then write would fail each other."""
    options = connection.get_execution_options()
    if options.get("transactions", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes", False) else "BEGIN")


@contextmanager
def read_session() -> Iterator[Session]:
    """Open a session that only reads."""
    with Session(engine(), expire_on_commit=False) as session:
        yield session


def read_one(statement: Executable, **values: Any) -> Row[Any] | None:
    """Return the one row that a single SELECT finds, without a transaction around it, which would cost
    as much again; None: no row.

    Args:
        values: its parameters.
    """
    try:
        return _read_row(statement, values)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return _read_row(statement, values)  # the database was away meanwhile; this connection is new


def _read_row(statement: Executable, values: dict[str, Any]) -> Row[Any] | None:
    with get_autocommit_engine().connect() as connection:
        return connection.execute(statement, values).one_or_none()


def _make_autocommit(whole: Engine) -> Engine:
    """Return an engine of the same database without transactions. PostgreSQL's has connections of its
    own, not tested before each use and not reset after it: one round trip instead of three."""
    if whole.dialect.name == "sqlite":
        return whole.execution_options(transactions=False)
    return _connect_postgres(whole.url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)


@contextmanager
def write_session() -> Iterator[Session]:
    """Open a session that writes: committed at the end, rolled back on an error. Keep it short."""
    writer = engine().execution_options(writes=True)
    with Session(writer, expire_on_commit=False) as session, session.begin():
        yield session
        if session.in_transaction():  # the block has not rolled it back
            tallies.write(session)


def execute_count(session: Session, statement: Any) -> int:
    """Execute an UPDATE or DELETE and return the number of rows that it changed."""
    options = {"synchronize_session": False}
    result: CursorResult[Any] = session.execute(statement, execution_options=options)  # type: ignore[assignment]
    return result.rowcount


def execute_core(session: Session, statement: Executable, values: Any = None) -> CursorResult[Any]:
    """Execute a statement past the session's objects, which it neither returns nor changes; the session
    would take as long again for a short one."""
    session.flush()
    return session.connection().execute(statement, values)


def read_clock(session: Session) -> datetime:
    """Return the time, in UTC, by the database's clock, so that all machines agree on leases.

    SQLite has none, but all that use it are on one machine. From a moment that was read lately time is
    counted on: the steady clock that does so goes as the database's for as long.
    """
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    if known := clock.count_on(COUNTED_ON_SECONDS):
        return known
    began = clock.read_steady()
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    clock.set_clock(moment, (began + clock.read_steady()) / 2)
    return moment.astimezone(UTC)
