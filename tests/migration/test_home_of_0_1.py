"""A home that version 0.1 wrote goes on after the upgrade, on both databases."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from flask.testing import FlaskClient
from safetensors.torch import save_file
from sqlalchemy import Integer, MetaData, create_engine, func, select, text, update

from farm.database import schema, sessions
from farm.database.models import Exploration, Job, State, WorkClass
from farm.database.people import Role
from farm.database.setup import install
from farm.engine import checkpoint
from farm.engine.loaded import Engine
from farm.engine.optimise import stylize
from farm.errors import InvalidInput, KeyReused
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.jobs import claims, comparisons, details, losses, ratings, states
from farm.jobs.claims import Taker
from farm.jobs.idempotency import FORM, Key
from farm.jobs.ratings import Rater
from farm.jobs.submit import submit
from farm.people.visitors import Visitor
from farm.pictures.decode import decode
from farm.recipe import Recipe
from farm.recipe.versions import SETTINGS_OF
from farm.settings import settings
from farm.storage import storage
from farm.webhooks import deliveries
from tests.conftest import SAMPLES, fresh_settings, use_broker_in_memory
from web import create_app
from workers.interrupts import Interrupted
from workers.render import render

DUMP = Path(__file__).with_name("home_of_0_1.sql")
PHOTOGRAPH, MOSAIC, BRUSHWORK = (
    (SAMPLES / f"{name}.jpg").read_bytes() for name in ("street", "mosaic", "brushwork")
)
# As programs sent it to 0.1, which had other defaults.
RECIPE = {"size": 128, "preset": "draft"}
ADA = Visitor(1, "Ada", Role.OPERATOR)  # whose token it was
TOKEN = "farm_of-a-home-of-version-0.1"


@pytest.fixture(scope="module")
def upgraded_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the home on SQLite as it was upgraded once, to be copied."""
    return tmp_path_factory.mktemp("upgraded") / "home"


@pytest.fixture
def upgraded(
    empty_database: str, farm_home: Path, monkeypatch: pytest.MonkeyPatch, upgraded_on_sqlite: Path
) -> None:
    """The home of 0.1, brought to this version."""
    use_broker_in_memory(monkeypatch)
    fresh_settings()
    if empty_database == "sqlite" and upgraded_on_sqlite.exists():
        shutil.copytree(upgraded_on_sqlite, farm_home)
        return
    upgrade(empty_database, farm_home)
    if empty_database == "sqlite":
        fresh_settings()  # which closes the database
        shutil.copytree(farm_home, upgraded_on_sqlite)


def upgrade(database: str, farm_home: Path) -> None:
    """Write the home of 0.1 and bring it to this version."""
    old = farm_home / "farm.db"
    old.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(old) as connection:
        connection.executescript(DUMP.read_text())
    connection.close()
    if database == "postgres":
        copy_rows(old)
    storage().mark()
    for data in (PHOTOGRAPH, MOSAIC, BRUSHWORK):
        storage().put(f"uploads/{hashlib.sha256(data).hexdigest()}", data)
    install()


def copy_rows(old: Path) -> None:
    """Fill the database, at the revision of 0.1, with the rows of a SQLite file."""
    command.upgrade(schema.make_alembic_config(), "0004")
    source, tables = create_engine(f"sqlite:///{old}"), MetaData()
    tables.reflect(source)
    with source.connect() as reader, sessions.engine().begin() as writer:
        writer.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        for table in tables.sorted_tables:
            if table.name == "alembic_version":
                continue
            writer.execute(
                table.insert(), [dict(row) for row in reader.execute(select(table)).mappings()]
            )
            if "id" in table.c and isinstance(table.c.id.type, Integer):
                sequence = func.pg_get_serial_sequence(table.name, "id")
                newest = select(func.max(table.c.id)).scalar_subquery()
                writer.execute(select(func.setval(sequence, newest)))
    source.dispose()


@pytest.fixture
def client(upgraded: None) -> FlaskClient:
    return create_app().test_client()


def find_jobs() -> dict[str, Job]:
    """Return each job outside of explorations by its name."""
    with sessions.read_session() as session:
        return {job.name: job for job in session.scalars(select(Job).where(Job.cell.is_(None)))}


@pytest.mark.slow
def test_pages_and_api_show_each_job_of_the_old_home(client: FlaskClient) -> None:
    jobs = find_jobs()
    assert {name: job.state.value for name, job in jobs.items()} == {
        "Succeeded": "succeeded",
        "Failed": "failed",
        "Cancelled": "cancelled",
        "Cancelling": "cancelling",
        "Running": "running",
        "Queued": "queued",
        "Queued under an id": "queued",
        "Queued by a form": "queued",
    }
    for name, job in jobs.items():
        assert name in client.get(f"/jobs/{job.id}").text
        shown = client.get(f"/api/v1/jobs/{job.id}").get_json()
        assert (shown["name"], shown["state"]) == (name, job.state.value)
        assert client.get(f"/?from={job.id}").status_code == 200
    listed = client.get("/api/v1/jobs").get_json()["items"]
    assert {job["name"] for job in listed} == set(jobs)
    assert "Succeeded" in client.get("/gallery").text


def test_pictures_ratings_deliveries_and_the_exploration_came_along(client: FlaskClient) -> None:
    jobs = find_jobs()
    done = jobs["Succeeded"]
    assert done.content.sha256 == hashlib.sha256(PHOTOGRAPH).hexdigest()
    assert [style.upload_sha256 for style in done.styles] == [
        hashlib.sha256(painting).hexdigest() for painting in (MOSAIC, BRUSHWORK)
    ]
    with sessions.read_session() as session:
        assert ratings.find_stars(session, done.id, Rater.from_name("ann")) == 4
        (grid,) = session.scalars(select(Exploration))
    # Stars that were given to 0.1 count for what is made in the same manner today
    body = client.get(f"/api/v1/jobs/{done.id}/ratings").get_json()
    recipe = Recipe.model_validate(done.recipe).model_copy(update={"size": 256})
    again = submit(PHOTOGRAPH, [MOSAIC, BRUSHWORK], recipe, visitor=ADA)
    assert (body["look_mean"], body["look_count"]) == (body["mean"], body["count"]) == (4.0, 1)
    assert client.get(f"/api/v1/jobs/{again.id}/ratings").get_json()["look_mean"] == 4.0
    assert len(client.get(f"/api/v1/explorations/{grid.id}").get_json()["cells"]) == 4
    assert "Grid" in client.get(f"/explore/{grid.id}").text
    sent = {}
    for name in ("Succeeded", "Failed", "Cancelled"):
        path = f"/api/v1/jobs/{jobs[name].id}/deliveries"
        (row,) = client.get(path).get_json()["items"]
        sent[name] = (row["standing"], row["answer"])
    assert sent == {
        "Succeeded": ("delivered", "204 No Content"),
        "Failed": ("waiting", "500 Internal Server Error"),
        "Cancelled": ("being sent", "being sent"),
    }


@pytest.mark.usefixtures("upgraded")
def test_what_was_under_way_goes_on() -> None:
    # When the janitor finds that the workers of before are gone
    jobs = find_jobs()
    with sessions.write_session() as session:
        losses.requeue_lost(session, losses.list_leases(session))
    # Then the running job is taken again with its checkpoint, and the queued ones after it
    taken = []
    with sessions.write_session() as session:
        while found := claims.claim(session, Taker("worker@new", frozenset({WorkClass.PREVIEW}))):
            taken.append((found.job.name, found.job.attempt, found.job.checkpoint_attempt))
    assert taken == [
        ("Running", 2, 1),
        ("Queued", 1, None),
        ("Queued under an id", 1, None),
        ("Queued by a form", 1, None),
        *[("Grid", 1, None)] * 4,
    ]
    with sessions.read_session() as session:
        assert states.get(session, jobs["Cancelling"].id).state is State.CANCELLED
    # And deliveries that are not settled are sent, that of the lost sender included
    told = []
    with sessions.write_session() as session:
        while claim := deliveries.claim(session):
            told.append((claim.job.name, claim.delivery.tries))
    assert sorted(told) == [("Cancelled", 2), ("Failed", 2)]


@pytest.mark.usefixtures("upgraded", "weights_dir")
def test_a_checkpoint_of_the_old_home_is_resumed() -> None:
    # Given the job that was running, with a checkpoint as 0.1 wrote it
    taker = Taker("worker@new", frozenset({WorkClass.PREVIEW}))
    with sessions.write_session() as session:
        losses.requeue_lost(session, losses.list_leases(session))
    with sessions.write_session() as session:
        found = claims.claim(session, taker)
    assert found
    assert (found.job.name, found.job.checkpoint_attempt) == ("Running", 1)
    put_checkpoint(found.job)

    # When a worker of today takes it, and is stopped soon
    def stop() -> None:
        raise Interrupted(State.QUEUED)

    render(found, taker, stop)
    # Then it went on from there, and it waits with a checkpoint of today
    with sessions.read_session() as session:
        job = details.get_with_history(session, found.job.id)
        assert "resumed at level 1, iteration 20" in [event.message for event in job.events]
        assert (job.state, job.checkpoint_attempt) == (State.QUEUED, 2)


def put_checkpoint(job: Job) -> None:
    """Store a checkpoint after 20 iterations as 0.1 wrote it, which knew fewer settings and facts."""
    recipe = Recipe.model_validate(job.recipe)
    content, *styles = (decode(data, "any", 100) for data in (PHOTOGRAPH, MOSAIC))
    engine = Engine.load("vgg16", "auto", settings().weights_dir, print)
    saved = next(stylize(content, styles, recipe, engine)).checkpoint()
    newer: Any = {"scaled": True, "colours": True, "recipe": {"version", "grown_from"}}
    facts = saved.facts.model_dump(mode="json", exclude=newer) | {"iteration": 20}
    with storage().open_writer(job.checkpoint_key(1)) as file:
        saved.write(Path(file.name))
        facts["tensors"] = checkpoint.read(Path(file.name)).facts.tensors
        save_file(saved.tensors, file.name, metadata={checkpoint.KEY: json.dumps(facts)})


@pytest.mark.usefixtures("upgraded")
def test_keys_and_ids_of_the_old_home_find_their_jobs() -> None:
    jobs = find_jobs()
    sent: dict[str, Any] = {"content": PHOTOGRAPH, "styles": [MOSAIC], "recipe": Recipe.parse(RECIPE)}
    key = Key.from_client("order 7", ADA)
    assert submit(**sent, name="Queued", key=key).id == jobs["Queued"].id
    assert submit(**sent, name="Queued under an id", job_id="d" * 32).id == "d" * 32
    with pytest.raises(KeyReused):
        submit(**sent, name="Another", key=key)
    with sessions.read_session() as session:
        by_form = Key(FORM, "f" * 64).find_job(session)
        assert by_form
        assert by_form.name == "Queued by a form"
        assert session.scalar(select(func.count()).select_from(Job)) == len(jobs) + 4


@pytest.mark.usefixtures("upgraded")
def test_what_0_1_did_not_have_is_absent_from_its_rows_and_stays_so() -> None:
    newer = Recipe.model_fields.keys() - SETTINGS_OF["0.1"]
    with sessions.read_session() as session:
        for job in session.scalars(select(Job)):
            recipe = Recipe.model_validate(job.recipe)
            assert not newer & job.recipe.keys()
            again = recipe.model_dump(mode="json", exclude={"version", "grown_from"})
            assert again == job.recipe  # and what came since adds nothing where it is written again
            assert job.look_sha256 == recipe.look
            assert [*job.masks, job.keep, job.start] == [None, None]


@pytest.mark.usefixtures("upgraded")
def test_pictures_from_before_looks_are_compared_and_ranked_by_theirs() -> None:
    # Given a finished picture of the old home, from before there were looks, and one in another manner
    done = find_jobs()["Succeeded"]
    recipe = Recipe.model_validate(done.recipe).model_copy(update={"tv_weight": 7.0})
    other = submit(PHOTOGRAPH, [MOSAIC, BRUSHWORK], recipe, visitor=ADA)
    with sessions.write_session() as session:
        session.execute(update(Job).values(state=State.SUCCEEDED, look_sha256=None))
    pair, ann = [done.id, other.id], Rater.from_name("ann")
    with sessions.write_session() as session:
        assert comparisons.choose_pair(session, ann, ADA) is None
        with pytest.raises(InvalidInput, match="no pair"):
            comparisons.record_answer(session, pair, done.id, ann, ADA)
    # When the farm is set up again, then they have their looks, and answers count
    install()
    with sessions.write_session() as session:
        (broken,) = session.scalars(select(Job).where(Job.name == "Failed"))
        broken.look_sha256, broken.recipe = None, {"size": "no number"}
        comparisons.record_answer(session, pair, done.id, ann, ADA)
    install()
    with sessions.read_session() as session:
        first, second = comparisons.rank(session, ADA).looks
        unknown = session.scalars(select(Job.name).where(Job.look_sha256.is_(None))).all()
    assert [first.look, second.look] == [done.look_sha256, recipe.look]
    assert (first.chosen, first.score.mean) == (1, 4.0)  # and by the stars that ann gave to 0.1
    assert unknown == ["Failed"]


@pytest.mark.usefixtures("upgraded")
def test_a_grid_of_the_old_home_is_found_by_its_key() -> None:
    recipe = Recipe.parse(RECIPE)
    across, down = (
        axis("across", "balance", recipe, [-1.0, 1.0]),
        axis("down", "style_scale", recipe, [1.0, 2.0]),
    )
    sent: dict[str, Any] = {"recipe": recipe, "across": across, "name": "Grid", "size": 96}
    key = Key.from_client("grid 7", ADA)
    found = explore(PHOTOGRAPH, [MOSAIC], down=down, key=key, **sent)
    assert found.id == "3432d747b7a74df5a8b7eb5183b250ed"
    with pytest.raises(KeyReused):
        explore(PHOTOGRAPH, [MOSAIC], down=axis("down", "tv", recipe), key=key, **sent)


@pytest.mark.usefixtures("upgraded")
def test_the_token_of_the_old_home_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_REQUIRE_TOKEN", "1")
    fresh_settings()
    closed = create_app().test_client()
    assert closed.get("/api/v1/jobs").status_code == 401
    answer = closed.get("/api/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}"})
    assert len(answer.get_json()["items"]) == 8
