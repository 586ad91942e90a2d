"""A farm on several hosts: whatever happens to a link, a clock or a host, each job ends once, with the
bytes of an undisturbed run.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.testbed.processes import wait_for
from tests.hosts.fleet import LEASE, POSTGRES, RECIPES, REDIS, S3, Fleet

pytestmark = [pytest.mark.processes, pytest.mark.postgres, pytest.mark.xdist_group("hosts")]

SHORT, LONG = 10, LEASE + 8  # s
CLOCK_SOURCE = Path(__file__).parent / "clock.c"
CLOCKS_AGREE = 60  # s

log = logging.getLogger(__name__)


@contextmanager
def jobs_at_work(fleet: Fleet, count: int = 1) -> Iterator[list[str]]:
    """Jobs, so many of which are at work; when the block is left all end as if nothing had happened."""
    ids: list[str] = []
    while not ids or not fleet.wait_until_at_work(ids, count):
        ids = [fleet.submit(recipe) for recipe in RECIPES]
    yield ids
    began = time.monotonic()
    assert fleet.wait_for_results(ids) == fleet.undisturbed
    assert fleet.count_ends(ids) == [(1, 1)] * len(ids), fleet.read_logs()
    log.info("all had ended %.0f s later", time.monotonic() - began)
    dead = [name for host in fleet.hosts.values() for name, p in host.processes.items() if p.poll()]
    assert dead == [], fleet.read_logs()


def test_a_host_of_workers_is_cut_off_for_longer_than_a_lease(fleet: Fleet) -> None:
    with jobs_at_work(fleet, count=2), fleet.hosts["two"].cable.cut():
        time.sleep(LONG)


@pytest.mark.hosts
@pytest.mark.parametrize("seconds", [SHORT, LONG])
@pytest.mark.parametrize("host", ["servers", "web", "two"])
def test_a_link_is_cut(fleet: Fleet, host: str, seconds: int) -> None:
    with jobs_at_work(fleet, count=2), fleet.hosts[host].cable.cut():
        time.sleep(seconds)


@pytest.mark.hosts
@pytest.mark.parametrize("port", [POSTGRES, REDIS, S3], ids=["postgres", "redis", "s3"])
def test_one_server_falls_silent(fleet: Fleet, port: int) -> None:
    with jobs_at_work(fleet, count=2), fleet.hosts["servers"].cable.cut(port):
        time.sleep(LONG)


@pytest.mark.hosts
def test_workers_are_far_away_over_a_bad_line(fleet: Fleet) -> None:
    with ExitStack() as stack:
        for host in ("one", "two"):
            stack.enter_context(fleet.hosts[host].cable.slow_down(0.2, 0.05))
        with jobs_at_work(fleet, count=2):
            pass


@pytest.fixture(scope="session")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that sets the clock of whoever loads it."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("another clock needs a C compiler, cc")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.mark.hosts
@pytest.mark.parametrize("offset", [600, -600])
def test_a_hosts_clock_is_ten_minutes_off(fleet: Fleet, clock: Path, offset: int) -> None:
    shifted = {"LD_PRELOAD": str(clock), "CLOCK_OFFSET": str(offset)}
    check = "import time; print(time.time())"
    command = [sys.executable, "-c", check]
    printed = subprocess.check_output(command, env=os.environ | shifted)
    assert abs(float(printed) - time.time() - offset) < CLOCKS_AGREE
    with restarted(fleet, **shifted):
        fleet.hosts["one"].stop("worker-one")  # so that all is done by the wrong clock
        try:
            with jobs_at_work(fleet) as ids:
                pass
        finally:
            fleet.start_worker("one", "worker-one")
    # Every moment of those jobs is by one clock
    rows = fleet.query(
        "SELECT extract(epoch FROM clock_timestamp() - created_at) AS ago, message FROM events"
        " WHERE job_id = ANY(:ids)",
        ids=ids,
    )
    assert [row for row in rows if not -1 < row.ago < 300] == []


@contextmanager
def restarted(fleet: Fleet, **environment: str) -> Iterator[None]:
    """The processes of the second host of workers run in another environment while the block does."""
    stop_second(fleet)
    start_second(fleet, **environment)
    yield
    stop_second(fleet)
    start_second(fleet)


def stop_second(fleet: Fleet) -> None:
    for name in ("worker-two", "janitor-two"):
        fleet.hosts["two"].stop(name)


def start_second(fleet: Fleet, **environment: str) -> None:
    fleet.start("two", "janitor-two", "janitor", **environment)
    fleet.start_worker("two", "worker-two", **environment)


@pytest.mark.hosts
def test_a_host_is_gone_for_good(fleet: Fleet) -> None:
    host = fleet.hosts["two"]
    with jobs_at_work(fleet, count=2), host.cable.cut():
        host.kill_all()
        time.sleep(1)
    start_second(fleet)


HOLD_A_ROW = """
import sys, time
from sqlalchemy import update
from farm.database import sessions
from farm.database.models import Job
with sessions.write_session() as session:
    session.execute(update(Job).where(Job.id == sys.argv[1]).values(version=Job.version))
    print("held", flush=True)
    time.sleep(1000)
"""


@pytest.mark.hosts
def test_a_host_that_is_gone_holds_no_row(fleet: Fleet) -> None:
    # Given a host that vanishes in the middle of a transaction
    ids = [fleet.submit(RECIPES[0])]
    fleet.wait_for_results(ids)
    host, output = fleet.hosts["desk"], fleet.log_of("holder")
    command = [sys.executable, "-c", HOLD_A_ROW, ids[0]]
    host.start("holder", command, output, **fleet.environment, FARM_HOME=str(fleet.folder / "desk"))
    wait_for(lambda: "held" in output.read_text(), 60)
    with host.cable.cut():
        host.kill_all()
        # Then what it held is free again soon
        began = time.monotonic()
        free = "UPDATE jobs SET version = version WHERE id = :job RETURNING id"
        assert fleet.query(free, job=ids[0])
        assert time.monotonic() - began < 40


@pytest.mark.hosts
def test_the_web_part_says_soon_that_the_database_is_cut_off(fleet: Fleet) -> None:
    with fleet.hosts["servers"].cable.cut():
        time.sleep(2)
        began = time.monotonic()
        answers = [fleet.api("GET", "/jobs").status_code for _ in range(4)]
        assert set(answers) <= {503, 504}
        assert time.monotonic() - began < 60
    wait_for(lambda: fleet.api("GET", "/jobs").status_code == 200, 30)
