"""Accounts: a user sees and changes their own, an operator everything; what is hidden is not there."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import update
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Exploration, Job, State, Upload
from farm.database.people import Person, Role, UploadOwner
from farm.people import accounts, quotas, sign_in, tokens
from farm.people.quotas import Limits
from farm.pictures import uploads
from farm.storage import storage
from tests.browser.usable import complaints
from tests.conftest import fresh_settings
from tests.films.made import know_clips
from tests.web.bad_pictures import photo
from web import create_app
from web.middleware.authentication import require_operator

NAMES = ("job_id", "exploration_id", "film_id")  # whose owners are checked
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


def submit_film(client: FlaskClient, headers: Headers) -> str:
    clip, style = io.BytesIO(b"a clip"), io.BytesIO(photo(100, 100))
    files = {"clip": (clip, "clip.mp4"), "style": (style, "style.jpg")}
    data = files | {"recipe": json.dumps({"size": 96})}
    answer = client.post("/api/v1/films", data=data, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.get_json()["id"])


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
            assert name in NAMES, f"{rule.rule}: nobody checks whose {name} it is"


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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/v1/people"),
        ("patch", "/api/v1/people/Ada"),
        ("patch", "/api/v1/people/nobody"),
        ("get", "/api/v1/storage?keep_days=many"),
        ("get", "/api/v1/events?limit=-1"),
    ],
)
def test_who_asks_is_checked_before_what_is_asked(
    method: str, path: str, ada: Headers, operator: Headers, client: FlaskClient
) -> None:
    body: dict[str, Any] = {"json": {"role": "king"}} if method != "get" else {}
    assert client.open(path, method=method, headers=ada, **body).status_code == 403
    assert client.open(path, method=method, headers=operator, **body).status_code == 422


@pytest.mark.parametrize("common", ["0", "1"])
def test_a_user_overtakes_nobody_by_priority(
    monkeypatch: pytest.MonkeyPatch, ada: Headers, operator: Headers, client: FlaskClient, common: str
) -> None:
    monkeypatch.setenv("FARM_SHARED", common)
    fresh_settings()
    refused = post(client, "/api/v1/jobs", ada, priority="1")
    assert refused.status_code == 403
    assert "priority: above 0 is for the farm's operators" in refused.get_json()["detail"]
    assert client.get("/api/v1/jobs", headers=ada).get_json()["items"] == []
    job = f"/api/v1/jobs/{post(client, '/api/v1/jobs', ada, priority='-5').get_json()['id']}"
    for headers, priority, status, stays in (
        (ada, 100, 403, -5),
        (ada, 0, 200, 0),
        (operator, 100, 200, 100),
        (ada, -1, 200, -1),
    ):
        changed = client.patch(job, json={"name": "new", "priority": priority}, headers=headers)
        assert changed.status_code == status
        assert client.get(job, headers=ada).get_json()["priority"] == stays
    assert post(client, "/api/v1/jobs", operator, priority="100").status_code == 202


@pytest.mark.slow
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
    # Given a job, an exploration and a film of Ada's
    know_clips(monkeypatch)
    named = {
        "job_id": submit(ada, name="Hers"),
        "exploration_id": explore(client, ada),
        "film_id": submit_film(client, ada),
    }
    monkeypatch.setenv("FARM_SHARED", str(int(common)))
    fresh_settings()
    # When somebody else asks for every address that names one of them
    asked = 0
    for method, rule in list_rules(client.application):
        if (found := re.search(r"<job_id:([^>]*)>", rule.rule)) is None:
            continue
        path = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule.replace(found[0], named[found[1]]))
        path = re.sub(r"<[^>]*>", "0", path)
        if common and (method != "GET" or path.endswith(("stream", "changes"))):
            continue
        asked += 1
        status = client.open(path, method=method, headers=bob | OURS).status_code
        # Then it is not there, unless all is common
        if common:
            none = ("/preview", "/mask/", "/frames")
            assert status != 404 or any(part in path for part in none), path
        else:
            assert status == 404, (method, path)
    assert asked > (20 if common else 40)
    # And operators see it
    pages = {"jobs": "job_id", "explore": "exploration_id", "films": "film_id"}
    for path in (f"/{page}/{named[name]}" for page, name in pages.items()):
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


def read_csrf_token(client: FlaskClient, path: str, headers: Headers | None = None) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get(path, headers=headers).text)
    assert found
    return found[1]


def test_a_link_signs_a_person_in_once_and_only_when_they_press(
    ada: Headers, client: FlaskClient
) -> None:
    with sessions.write_session() as session:
        secret = sign_in.make_link(session, "Ada", "a test")
    address = f"/sign-in?link={secret}"
    # Given something that looks at addresses in messages
    for _ in range(3):
        page = client.get(address)
        assert "Sign in as <bdi>Ada</bdi>" in page.text
    # When Ada presses the button, then she is signed in, by a token of this browser's own
    form = {"csrf_token": read_csrf_token(client, address), "link": secret}
    assert client.post("/sign-in", data=form).location == "/"
    assert client.get("/api/v1/me").get_json()["name"] == "Ada"
    names = [each["name"] for each in client.get("/api/v1/tokens").get_json()["items"]]
    assert sorted(name.partition(" ")[0] for name in names) == ["Ada", "Ada/browser"]
    # And the link is good no more
    other = client.application.test_client()
    answer = other.get(address)
    assert (answer.status_code, "was used already" in answer.text) == (422, True)
    form = {"csrf_token": read_csrf_token(other, "/sign-in"), "link": secret}
    assert other.post("/sign-in", data=form).status_code == 422
    assert other.get("/api/v1/me").status_code == 401
    # And signing out revokes that token, and no other
    client.post("/sign-out", data={"csrf_token": read_csrf_token(client, "/")})
    names = [each["name"] for each in client.get("/api/v1/tokens", headers=ada).get_json()["items"]]
    assert names == ["Ada"]
    # Nor does it revoke a token that was typed in over such a session
    with sessions.write_session() as session:
        secret = sign_in.make_link(session, "Ada", "a test")
    csrf_token = read_csrf_token(client, "/sign-in")
    client.post("/sign-in", data={"csrf_token": csrf_token, "link": secret})
    typed = {"csrf_token": read_csrf_token(client, "/sign-in"), "token": ada["Authorization"][7:]}
    assert client.post("/sign-in", data=typed).status_code == 303
    client.post("/sign-out", data={"csrf_token": read_csrf_token(client, "/")})
    assert client.get("/api/v1/me", headers=ada).status_code == 200


def test_wrong_links_are_counted_as_wrong_tokens_are(closed: None, client: FlaskClient) -> None:
    statuses = [client.get("/sign-in?link=wrong").status_code for _ in range(21)]
    assert statuses == [422] * 20 + [429]


def test_ones_own_tokens_are_made_listed_and_revoked(
    ada: Headers, bob: Headers, client: FlaskClient
) -> None:
    made = client.post("/api/v1/tokens", json={"name": "laptop"}, headers=ada)
    assert made.status_code == 201
    assert made.get_json()["name"] == "Ada/laptop"
    laptop = {"Authorization": f"Bearer {made.get_json()['token']}"}
    assert client.get("/api/v1/me", headers=laptop).get_json()["name"] == "Ada"
    again = client.post("/api/v1/tokens", json={"name": "laptop"}, headers=ada)
    assert (again.status_code, again.get_json()["errors"][0]["field"]) == (422, "name")
    reserved = client.post("/api/v1/tokens", json={"name": "browser x"}, headers=ada)
    assert "begins with 'browser '" in reserved.get_json()["detail"]
    # Another person's is not there
    assert client.delete("/api/v1/tokens/Ada/laptop", headers=bob).status_code == 404
    assert client.delete("/api/v1/tokens/Ada/laptop", headers=laptop).status_code == 204
    assert client.get("/api/v1/me", headers=laptop).status_code == 401
    # The page does the same
    form = {"csrf_token": read_csrf_token(client, "/tokens", ada), "name": "night batch"}
    page = client.post("/tokens", data=form, headers=ada)
    assert page.status_code == 201
    found = re.search(r">(farm_[\w-]{43})<", page.text)
    assert found
    assert found[1] not in client.get("/tokens", headers=ada).text
    long = client.post("/tokens", data=form | {"name": "x" * 79}, headers=ada)
    assert (long.status_code, "the limit is 76" in long.text) == (422, True)
    client.post("/tokens/revoke", data=form | {"name": "Ada/night batch"}, headers=ada)
    batch = {"Authorization": f"Bearer {found[1]}"}
    assert client.get("/api/v1/me", headers=batch).status_code == 401


def test_where_no_token_is_asked_for_there_are_no_accounts(client: FlaskClient) -> None:
    me = client.get("/api/v1/me").get_json()
    assert me == {"name": None, "role": "operator", "shared": True, "quotas": None}
    assert client.get("/api/v1/tokens").status_code == 409
    assert client.get("/tokens").status_code == 409


def test_operators_run_the_accounts(ada: Headers, operator: Headers, client: FlaskClient) -> None:
    assert client.get("/api/v1/people", headers=ada).status_code == 403
    sent = {"name": "Cleo", "role": "user"}
    assert client.post("/api/v1/people", json=sent, headers=ada).status_code == 403
    assert client.post("/api/v1/people", json=sent, headers=operator).status_code == 201
    assert client.post("/api/v1/people", json=sent, headers=operator).status_code == 422
    limits = {"waiting": 2, "megapixels_a_day": 1.5}
    changed = client.patch("/api/v1/people/Cleo", json={"limits": limits}, headers=operator).get_json()
    assert changed["limits"] == {"running": None, "storage_gb": None} | limits
    assert changed["quotas"]["waiting"] == {"limit": 2, "used": 0, "left": 2}
    link = client.post("/api/v1/people/Cleo/sign-in-link", headers=operator).get_json()
    assert client.get(link["url"].partition("localhost")[2]).status_code == 200
    names = [each["name"] for each in client.get("/api/v1/people", headers=operator).get_json()["items"]]
    assert names == ["Ada", "Cleo", "Olga"]
    assert client.delete("/api/v1/people/Olga", headers=operator).status_code == 409
    change = client.patch("/api/v1/people/Olga", json={"role": "user"}, headers=operator)
    assert (change.status_code, "last operator" in change.get_json()["detail"]) == (409, True)
    assert client.delete("/api/v1/people/Cleo", headers=operator).status_code == 204
    assert client.delete("/api/v1/people/Cleo", headers=operator).status_code == 404


def test_a_quota_is_told_before_and_when_it_is_reached_and_nothing_is_stored(
    ada: Headers, client: FlaskClient, submit: Callable[..., str], home: Path
) -> None:
    # Given a quota of one waiting job, which the form and the API show
    with sessions.write_session() as session:
        quotas.change_limits(session, "Ada", Limits(running=2, waiting=1), by="a test")
    left = "Left of your quotas: 2 jobs at once, 1 job that may wait."
    assert left in client.get("/", headers=ada).text
    # When as many wait
    job_id = submit(ada | {"Idempotency-Key": "first"})
    before = storage().list_keys()
    assert client.get("/api/v1/me", headers=ada).get_json()["quotas"]["waiting"]["left"] == 0
    # Then another is refused with words, by API and form, and its pictures are not kept
    new = {name: (io.BytesIO(photo(120, 100)), f"{name}.jpg") for name in ("content", "style")}
    answer = client.post("/api/v1/jobs", data=new, headers=ada)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert "Your quota of waiting jobs is 1, and 1 waits." in answer.get_json()["detail"]
    form = {"csrf_token": read_csrf_token(client, "/", ada), "size": "96", "preset": "draft"}
    files = {name: (io.BytesIO(photo(130, 100)), f"{name}.jpg") for name in ("content", "style")}
    page = client.post("/", data=form | files, headers=ada)
    assert (page.status_code, page.headers["Retry-After"]) == (429, "60")
    assert "Your quota of waiting jobs is 1" in page.text
    assert storage().list_keys() == before
    # And the cells of an exploration count all
    grid = post(client, "/api/v1/explorations", ada, across_values="[0, 1]", down_values="[1]")
    assert grid.status_code == 403
    assert "this makes 2" in grid.get_json()["detail"]
    # And the same request again is the same job, and one more selected is told why not
    assert submit(ada | {"Idempotency-Key": "first"}) == job_id


def test_a_token_that_is_revoked_in_the_middle_of_an_upload_stores_nothing(
    ada: Headers, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    check = uploads.check

    def check_then_revoke(asked: Any) -> Any:
        yield from check(asked)
        with sessions.write_session() as session:
            tokens.revoke(session, "Ada")

    monkeypatch.setattr(uploads, "check", check_then_revoke)
    answer = post(client, "/api/v1/jobs", ada)
    assert answer.status_code == 401
    assert "revoked meanwhile. Nothing was stored" in answer.get_json()["detail"]
    assert storage().list_keys() == []
    with sessions.read_session() as session:
        assert session.query(Job).count() == session.query(Upload).count() == 0


@pytest.mark.parametrize("end", ["revoke", "remove", "demote"])
def test_streams_end_when_whoever_listens_may_no_longer(
    operator: Headers, served: str, make_job: Callable[..., Job], end: str
) -> None:
    other = make_person("Otto", Role.OPERATOR)
    job = make_job(State.RUNNING)
    address = f"{served}/api/v1/jobs/{job.id}/stream"
    with httpx.stream("GET", address, headers=other, timeout=30) as answer:
        lines = answer.iter_lines()
        assert any(line.startswith("data: ") for line in lines)
        with sessions.write_session() as session:
            if end == "revoke":
                tokens.revoke(session, "Otto")
            elif end == "remove":
                accounts.remove(session, "Otto", by="a test")
            else:
                accounts.change_role(session, "Otto", Role.USER, by="a test")
        assert ": signed out" in list(lines)
    assert httpx.get(address, headers=other).status_code == (404 if end == "demote" else 401)


@pytest.mark.browser
def test_a_person_signs_in_by_link_and_makes_and_revokes_a_token(
    closed: None, served: str, page: Page
) -> None:
    # Given a link that an operator sent
    with sessions.write_session() as session:
        accounts.add(session, "Ada", by="a test")
        secret = sign_in.make_link(session, "Ada", "a test")
    # When Ada follows it and presses the button
    page.goto(f"{served}/sign-in?link={secret}")
    page.get_by_role("button", name="Sign in as Ada").click()
    # Then she is in, and makes a token that works
    page.get_by_role("link", name="Ada: my tokens").click()
    page.get_by_label("What is it for?").fill("laptop")
    page.get_by_role("button", name="Make a token").click()
    text = page.locator("#made").inner_text()
    laptop = {"Authorization": f"Bearer {text}"}
    assert httpx.get(f"{served}/api/v1/me", headers=laptop).json()["name"] == "Ada"
    assert complaints(page) == ""
    # When she revokes it, then it works no more
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.get_by_text("The token was revoked")).to_be_visible()
    assert httpx.get(f"{served}/api/v1/me", headers=laptop).status_code == 401
    # And when she revokes this browser's own, it asks who she is
    page.get_by_role("button", name="Revoke browser").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
