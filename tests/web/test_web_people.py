"""Accounts: a user sees and changes their own, an operator everything; what is hidden is not there."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Exploration, Job, State, Upload
from farm.database.people import Person, Role, UploadOwner
from farm.people import tokens
from tests.conftest import fresh_settings
from tests.web.bad_pictures import photo
from web import create_app
from web.middleware.authentication import require_operator

Headers = dict[str, str]
OURS = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app that is made after this asks for a token."""
    monkeypatch.setenv("FARM_REQUIRE_TOKEN", "1")
    fresh_settings()


def make_person(name: str, role: Role) -> Headers:
    """An account with a token: the header that shows it."""
    with sessions.write_session() as session:
        text = tokens.create(session, name)
        session.execute(update(Person).where(Person.name == name).values(role=role))
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def ada(closed: None) -> Headers:
    return make_person("Ada", Role.USER)


@pytest.fixture
def bob(closed: None) -> Headers:
    return make_person("Bob", Role.USER)


@pytest.fixture
def operator(closed: None) -> Headers:
    return make_person("Olga", Role.OPERATOR)


@pytest.fixture
def submit(client: FlaskClient) -> Callable[..., str]:
    """Submit a job as whoever this header shows; its id."""

    def send(headers: Headers, **fields: Any) -> str:
        answer = post(client, "/api/v1/jobs", headers, **fields)
        assert answer.status_code == 202, answer.text
        return str(answer.get_json()["id"])

    return send


def post(client: FlaskClient, path: str, headers: Headers, **fields: Any) -> TestResponse:
    """Send a photograph and a painting: a good job, but for what a test says."""
    data = {"recipe": json.dumps({"size": 96, "preset": "draft"})} | fields
    files = {name: (io.BytesIO(photo(100, 100)), f"{name}.jpg") for name in ("content", "style")}
    return client.post(path, data=data | files, headers=headers)


def explore(client: FlaskClient, headers: Headers) -> str:
    sides = {"across_values": "[0, 1]", "down_values": "[1]", "cell_size": "64"}
    answer = post(client, "/api/v1/explorations", headers, **sides)
    assert answer.status_code == 202, answer.text
    return str(answer.get_json()["id"])


def list_rules(app: Flask) -> Iterator[tuple[str, Rule]]:
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield method, rule


def test_each_address_that_names_a_job_is_guarded(app: Flask) -> None:
    for _method, rule in list_rules(app):
        for name in re.findall(r"<job_id:([^>]*)>", rule.rule):
            assert name in ("job_id", "exploration_id"), f"{rule.rule}: nobody checks whose {name} it is"


def test_what_is_for_operators_is_refused_to_others_in_words(
    ada: Headers, operator: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app()
    app.add_url_rule("/api/v1/only", view_func=require_operator(lambda: "done"))
    client = app.test_client()
    refused = client.get("/api/v1/only", headers=ada)
    assert refused.status_code == 403
    assert "for the farm's operators" in refused.get_json()["detail"]
    assert client.get("/api/v1/only", headers=operator).text == "done"
    assert client.get("/api/v1/only").status_code == 401


@pytest.mark.parametrize("common", [False, True])
def test_what_belongs_to_others_is_at_no_address(
    ada: Headers,
    bob: Headers,
    operator: Headers,
    client: FlaskClient,
    submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    common: bool,
) -> None:
    # Given a job and an exploration of Ada's
    named = {"job_id": submit(ada, name="Hers"), "exploration_id": explore(client, ada)}
    monkeypatch.setenv("FARM_SHARED", str(int(common)))
    fresh_settings()
    # When somebody else asks for every address that names one of them
    asked = 0
    for method, rule in list_rules(client.application):
        if (found := re.search(r"<job_id:([^>]*)>", rule.rule)) is None:
            continue
        path = re.sub(r"<[^>]*>", "0", rule.rule.replace(found[0], named[found[1]]))
        if common and (method != "GET" or path.endswith(("stream", "changes"))):
            continue
        asked += 1
        status = client.open(path, method=method, headers=bob | OURS).status_code
        # Then it is not there, unless all is common
        if common:
            assert status != 404 or "/preview" in path, path
        else:
            assert status == 404, (method, path)
    assert asked > (20 if common else 40)
    # And operators see it
    for path in (f"/jobs/{named['job_id']}", f"/explore/{named['exploration_id']}"):
        assert client.get(path, headers=operator).status_code == 200
        assert client.get(path, headers=ada).status_code == 200


def test_lists_counts_and_selections_hold_ones_own(
    ada: Headers, bob: Headers, operator: Headers, client: FlaskClient, submit: Callable[..., str]
) -> None:
    # Given three of Ada's and one of Bob's
    hers = [submit(ada, name=f"Hers {number}") for number in range(3)]
    his = submit(bob, name="His")
    explore(client, ada)
    # Then each sees their own, and an operator all
    for headers, ids in ((ada, hers), (bob, [his]), (operator, [*hers, his])):
        items = client.get("/api/v1/jobs", headers=headers).get_json()["items"]
        assert {item["id"] for item in items} == set(ids)
        page = client.get("/jobs", headers=headers).text
        assert [name in page for name in ("Hers 1", "His")] == [hers[1] in ids, his in ids]
        queue = client.get("/api/v1/queue", headers=headers).get_json()
        grids = client.get("/api/v1/explorations", headers=headers).get_json()["items"]
        assert len(grids) == (headers is not bob)
        assert queue["states"]["queued"] == len(ids) + 2 * len(grids)
        assert sum(queue["waiting"].values()) == 6
    # And a cursor of another's list leads to nothing of theirs
    cursor = client.get("/api/v1/jobs?limit=1", headers=ada).get_json()["next_cursor"]
    items = client.get(f"/api/v1/jobs?cursor={cursor}", headers=bob).get_json()["items"]
    assert {item["id"] for item in items} <= {his}
    # And an action on another's does nothing, and says nothing of it
    sent = {"action": "cancel", "ids": [hers[0], his]}
    for dry_run in (True, False):
        answer = client.post("/api/v1/jobs/bulk", json=sent | {"dry_run": dry_run}, headers=bob)
        first, second = answer.get_json()["items"]
        assert (first["name"], first["reason"], second["done"]) == (None, "not there any more", True)
    with sessions.read_session() as session:
        assert session.get_one(Job, hers[0]).state is State.QUEUED
        assert session.get_one(Job, his).state is State.CANCELLED
    # And neither zip nor form takes pictures of others
    csrf = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/", headers=bob).text)
    assert csrf
    form = {"csrf_token": csrf[1], "ids": hers}
    assert client.post("/jobs/download", data=form, headers=bob).status_code == 303
    assert client.get(f"/?from={hers[0]}", headers=bob).status_code == 404
    assert client.get(f"/?from={hers[0]}", headers=ada).status_code == 200


def test_jobs_explorations_and_uploads_are_of_who_sent_them(
    ada: Headers, bob: Headers, client: FlaskClient, submit: Callable[..., str]
) -> None:
    job_id, grid = submit(ada), explore(client, bob)
    with sessions.read_session() as session:
        people = {person.name: person.id for person in session.query(Person)}
        assert session.get_one(Job, job_id).owner_id == people["Ada"]
        made = session.get_one(Exploration, grid)
        assert {made.owner_id, *(cell.owner_id for cell in made.cells)} == {people["Bob"]}
        owners = session.query(UploadOwner.person_id).order_by(UploadOwner.person_id).all()
        assert [owner for (owner,) in owners] == sorted(people.values())  # of the same picture
        assert session.query(Upload).count() == 1


def test_keys_and_stars_are_a_persons_whichever_token_it_shows(
    ada: Headers, bob: Headers, client: FlaskClient, submit: Callable[..., str]
) -> None:
    with sessions.write_session() as session:
        person = session.query(Person).filter_by(name="Ada").one()
        text = tokens.create(session, "Ada's laptop", person)
    laptop, key = {"Authorization": f"Bearer {text}"}, {"Idempotency-Key": "order 7"}
    job_id = submit(ada | key)
    assert submit(laptop | key) == job_id
    assert submit(bob | key) != job_id


def test_a_job_of_another_under_an_id_is_not_there_to_be_put_again(
    ada: Headers, bob: Headers, client: FlaskClient
) -> None:
    files = {name: (io.BytesIO(photo(100, 100)), "a.jpg") for name in ("content", "style")}
    path = f"/api/v1/jobs/{'a' * 32}"
    assert client.put(path, data=files, headers=ada).status_code == 202
    files = {name: (io.BytesIO(photo(100, 100)), "a.jpg") for name in ("content", "style")}
    assert client.put(path, data=files, headers=bob).status_code == 404
