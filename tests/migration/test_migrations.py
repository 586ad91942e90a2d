"""The migrations on both databases: they make what the models say, and can be undone.

Tests of the way back begin with a copy of tables that they have made (`database`).
"""

from __future__ import annotations

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from farm.database import schema, sessions
from farm.database.films import Film, FilmFrame
from farm.database.people import Role
from farm.database.tallies import JOBS_ENDED, read_sums
from farm.errors import DatabaseOutOfDate
from farm.jobs import details, lists, states
from farm.jobs.idempotency import FORM, ID, Key, Request
from farm.people.visitors import ANYBODY, Visitor
from farm.webhooks import deliveries
from tests.jobs.test_jobs import make_job, state


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(schema.make_alembic_config()).get_heads()) == 1


@pytest.mark.usefixtures("empty_database")
def test_the_migrations_make_what_the_models_say() -> None:
    schema.upgrade()
    command.check(schema.make_alembic_config())  # raises if autogenerate would add anything


@pytest.mark.usefixtures("database")
def test_an_upgrade_with_jobs_in_place_keeps_them() -> None:
    job_id = make_job()
    schema.upgrade()
    assert state(job_id).value == "queued"


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_the_way_back_and_forth_keeps_jobs_with_their_paintings_and_events() -> None:
    job_id = make_job()
    command.downgrade(schema.make_alembic_config(), "0002")
    with sessions.engine().connect() as connection:
        for table in ("job_styles", "events"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 1
    schema.upgrade()
    with sessions.read_session() as session:
        job = details.get_with_history(session, job_id)
    assert (len(job.styles), len(job.events), job.retry_limit_from_attempt) == (1, 1, 0)
    assert job.content.sent_at == job.content.created_at
    assert [job.content.sha256, *(style.upload_sha256 for style in job.styles)] == ["c" * 64] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_jobs_from_before_lists_were_searched_are_found_by_name() -> None:
    job_id = make_job("Über den DÄCHERN")
    command.downgrade(schema.make_alembic_config(), "0003")
    schema.upgrade()
    with sessions.read_session() as session:
        found = lists.page(session, lists.ListQuery(q="dach"))
    assert [job.id for job in found.jobs] == [job_id]
    assert found.jobs[0].name_folded == "uber den dachern"


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_deliveries_get_the_status_that_was_read_off_their_answer_and_times() -> None:
    # Given deliveries in every status, as revision 0004 wrote them
    config = schema.make_alembic_config()
    job_id = make_job()
    command.downgrade(config, "0004")
    moment = "2026-11-22 12:00:00+00:00"
    written = [
        (1, moment, None, None, "waiting"),
        (2, moment, "500 Internal Server Error", None, "waiting"),
        (3, moment, "being sent", None, "being sent"),
        (4, None, "204 No Content", moment, "delivered"),
        (5, None, "410 Gone", None, "given up"),
    ]
    columns = "id, job_id, attempt, state, created_at, due_at, tries, answer, delivered_at"
    insert = text(
        f"INSERT INTO deliveries ({columns})"
        " VALUES (:id, :job, 1, 'failed', :created, :due, 1, :answer, :delivered)"
    )
    with sessions.engine().begin() as connection:
        for number, due, answer, delivered, _ in written:
            row = {"id": number, "due": due, "answer": answer, "delivered": delivered}
            connection.execute(insert, row | {"job": job_id, "created": moment})

    # When the tables are brought up to date, each has its status, and only a receiver's words as answer
    schema.upgrade()
    with sessions.read_session() as session:
        found = {row.id: row for row in deliveries.list_for_job(session, job_id)}
    assert [found[number].status.value for number, *_ in written] == [row[-1] for row in written]
    assert found[3].answer is None

    # And the way back makes what there was
    command.downgrade(config, "0004")
    with sessions.engine().connect() as connection:
        answers = connection.execute(text("SELECT id, answer FROM deliveries ORDER BY id")).all()
    assert [tuple(row) for row in answers] == [(row[0], row[2]) for row in written]


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_keys_from_before_they_had_owners_find_their_jobs_and_the_way_back_keeps_them() -> None:
    # Given jobs under keys of a client, a form and an id, as revision 0005 wrote them
    config = schema.make_alembic_config()
    by_client, by_form, by_id = (make_job(name) for name in ("client", "form", "id"))
    command.downgrade(config, "0005")
    written = {by_client: "order 7", by_form: f"form {'f' * 64}", by_id: f"id {by_id}"}
    insert = text("UPDATE jobs SET idempotency_key = :key, request_sha256 = :sent WHERE id = :id")
    with sessions.engine().begin() as connection:
        for job_id, key in written.items():
            connection.execute(insert, {"id": job_id, "key": key, "sent": "a" * 64})

    # When the tables are brought up to date, the same request finds its job, whatever token it shows
    schema.upgrade()
    keys = [
        Key.from_client("order 7", visitor) for visitor in (ANYBODY, Visitor(1, "ada", Role.OPERATOR))
    ]
    keys += [Key(FORM, "f" * 64), Key(ID, by_id)]
    assert [find(key) for key in keys] == [by_client, by_client, by_form, by_id]
    assert find(Key(ID, "order 7")) is None

    # When another client has the same key meanwhile, the way back leaves it to the first job
    with sessions.write_session() as session:
        Request(keys[1], "b" * 64).mark(states.get(session, make_job("other")))
    command.downgrade(config, "0005")
    with sessions.engine().connect() as connection:
        found = connection.execute(text("SELECT id, idempotency_key FROM jobs")).all()
    assert {job_id: key for job_id, key in found if key} == written


def find(key: Key) -> str | None:
    with sessions.read_session() as session:
        job = key.find_job(session)
    return job.id if job else None


@pytest.mark.usefixtures("empty_database")
def test_workers_of_the_first_tables_are_kept_and_can_be_planned_for() -> None:
    # Given two workers from before anybody asked what they can do
    config = schema.make_alembic_config()
    command.upgrade(config, "0001")
    for name, device in (("a", "CPU, 2 threads"), ("b", "NVIDIA H100")):
        with sessions.engine().begin() as connection:
            row = {"name": name, "device": device, "moment": "2026-11-22 12:00:00+00:00"}
            connection.execute(
                text("INSERT INTO workers VALUES (:name, :device, 16000000000, :moment, :moment)"), row
            )

    # When the tables are brought up to date, they are told what is safe to say of them
    command.upgrade(config, "0002")
    columns = "name, device_kind, itemsize, winograd, budget_bytes, seconds_per_megapixel"
    with sessions.engine().connect() as connection:
        found = connection.execute(text(f"SELECT {columns} FROM workers ORDER BY name")).all()
    assert [tuple(row) for row in found] == [
        ("a", "cpu", 4, True, 12_000_000_000, None),
        ("b", "cuda", 4, False, 12_000_000_000, None),
    ]

    # And the way back keeps them too
    command.downgrade(config, "0001")
    with sessions.engine().connect() as connection:
        assert connection.execute(
            text("SELECT name, memory_bytes FROM workers ORDER BY name")
        ).all() == [
            ("a", 16_000_000_000),
            ("b", 16_000_000_000),
        ]


@pytest.mark.usefixtures("database")
def test_jobs_that_ended_before_there_were_tallies_are_counted_once() -> None:
    config = schema.make_alembic_config()
    for ended in ("succeeded", "succeeded", "failed", None):
        job_id = make_job()
        with sessions.engine().begin() as connection:
            change = text("UPDATE jobs SET state = coalesce(:state, state) WHERE id = :id")
            connection.execute(change, {"state": ended, "id": job_id})
    command.downgrade(config, "0010")
    schema.upgrade()
    with sessions.read_session() as session:
        sums = dict(JOBS_ENDED.list_sums(read_sums(session)))
    assert {values: number for values, number in sums.items() if number} == {
        ("succeeded", "preview"): 2,
        ("failed", "preview"): 1,
    }


@pytest.mark.usefixtures("database")
def test_a_downgrade_to_nothing_leaves_nothing() -> None:
    make_job()
    command.downgrade(schema.make_alembic_config(), "base")
    assert inspect(sessions.engine()).get_table_names() == ["alembic_version"]


@pytest.mark.usefixtures("empty_database")
def test_the_farm_refuses_a_database_that_is_behind_and_says_what_to_type() -> None:
    with pytest.raises(DatabaseOutOfDate, match="farm db upgrade"):
        schema.check_version()
    schema.upgrade()
    schema.check_version()


@pytest.mark.usefixtures("database")
def test_pictures_from_before_there_were_films_stay_and_the_way_back_takes_films_alone() -> None:
    # Given a database of revision 0014 with a job
    config = schema.make_alembic_config()
    job_id = make_job("a picture")
    command.downgrade(config, "0014")

    # When the tables are brought up to date, the job is in lists and its upload is a picture
    schema.upgrade()
    with sessions.read_session() as session:
        found = lists.page(session, lists.ListQuery()).jobs
        assert [job.id for job in found] == [job_id]
        assert states.get(session, job_id).content.frames == 1

    # And the way back leaves the job, but neither film nor part with what is theirs
    part = make_job("a part")
    with sessions.write_session() as session:
        film = Film(name="a film", recipe={}, clip={}, settings={})
        session.add(film)
        session.flush()
        states.get(session, part).film_id = film.id
        session.add(FilmFrame(film_id=film.id, number=3, job_id=part, attempt=1))
    command.downgrade(config, "0014")
    with sessions.engine().connect() as connection:
        assert connection.execute(text("SELECT id FROM jobs")).scalars().all() == [job_id]
        assert set(connection.execute(text("SELECT job_id FROM events")).scalars()) == {job_id}


@pytest.mark.usefixtures("database")
def test_films_from_before_they_were_in_lists_are_found_by_name() -> None:
    config = schema.make_alembic_config()
    with sessions.write_session() as session:
        session.add(Film(id="f" * 32, name="Über den DÄCHERN", recipe={}, clip={}, settings={}))
    command.downgrade(config, "0015")
    schema.upgrade()
    with sessions.engine().connect() as connection:
        found = connection.execute(text("SELECT name_folded FROM films")).scalars().all()
    assert found == ["uber den dachern"]
