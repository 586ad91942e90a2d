"""A farm that asks for a token: programs by their header, people by signing in once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from farm.cli.client import Client
from farm.cli.refusals import Refused
from farm.database import sessions
from farm.database.models import Job, State
from farm.people import tokens
from tests.conftest import fresh_settings
from web import create_app
from web.middleware.authentication import BY_PERSON

GONE = "0" * 32
OURS = {"Sec-Fetch-Site": "same-origin"}  # what a browser says of a page's own script


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app that is made after this asks for a token."""
    monkeypatch.setenv("FARM_REQUIRE_TOKEN", "1")
    fresh_settings()


@pytest.fixture
def token(closed: None) -> str:
    with sessions.write_session() as session:
        return tokens.create(session, "Ada")


@pytest.fixture
def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sign_in(client: FlaskClient, token: str, goes_to: str = "") -> TestResponse:
    page = client.get("/sign-in", query_string={"next": goes_to})
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert found
    return client.post("/sign-in", data={"csrf_token": found[1], "token": token, "next": goes_to})


def every_address(client: FlaskClient) -> list[tuple[str, str]]:
    """Each method of each address of the application, with ids of nothing."""
    found = []
    for rule in client.application.url_map.iter_rules():
        path = re.sub(r"<job_id:[^>]*>", GONE, rule.rule)
        path = re.sub(r"<[^>]*>", "1", path)
        found += [(method, path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}]
    return found


OPEN = {("GET", "/healthz"), ("GET", "/sign-in"), ("POST", "/sign-in")}


def test_no_address_but_the_open_ones_answers_without_a_token(closed: None, client: FlaskClient) -> None:
    asked = [each for each in every_address(client) if "/static/" not in each[1]]
    assert len(asked) > 50
    for method, path in asked:
        status = client.open(path, method=method, headers=OURS).status_code
        if (method, path) in OPEN:
            assert status in (200, 400)
        else:
            assert status == 401, (method, path)


@pytest.mark.slow
def test_with_a_token_each_address_answers_as_ever(bearer: dict[str, str], client: FlaskClient) -> None:
    for method, path in every_address(client):
        if method == "GET" and "stream" not in path and "/static/" not in path:
            assert client.get(path, headers=bearer).status_code in (200, 303, 404, 422), path


def test_the_refusal_of_a_program_says_what_to_send(closed: None, client: FlaskClient) -> None:
    answer = client.get("/api/v1/jobs")
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert "Authorization: Bearer" in answer.get_json()["detail"]
    assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")


@pytest.mark.parametrize(
    "header", ["Bearer farm_wrong", "Bearer ", "Bearer", "Basic YTpi", "\x80", "x" * 9000]
)
def test_a_wrong_token_is_refused_and_named(closed: None, client: FlaskClient, header: str) -> None:
    answer = client.get("/api/v1/jobs", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_wrong_token_beside_a_good_cookie_is_still_wrong(token: str, client: FlaskClient) -> None:
    sign_in(client, token)
    answer = client.get("/api/v1/jobs", headers={"Authorization": "Bearer farm_wrong"})
    assert answer.status_code == 401
    assert "error=invalid_token" in answer.headers["WWW-Authenticate"]


def test_a_person_is_led_to_the_sign_in_page_and_back(token: str, client: FlaskClient) -> None:
    asked = client.get("/jobs?state=failed", headers={"Accept": "text/html,*/*"})
    assert asked.status_code == 302
    assert asked.location == "/sign-in?next=/jobs?state%3Dfailed"
    arrived = sign_in(client, token, "/jobs?state=failed")
    assert (arrived.status_code, arrived.location) == (303, "/jobs?state=failed")
    page = client.get("/jobs")
    assert page.status_code == 200
    assert "Ada" in page.text
    assert client.get("/api/v1/jobs").status_code == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "/\t/evil.example",
        "javascript:x",
    ],
)
def test_nobody_is_led_to_another_site(token: str, client: FlaskClient, elsewhere: str) -> None:
    assert sign_in(client, token, elsewhere).location == "/"


@pytest.mark.parametrize("wrong", ["", "farm_", "nonsense", "x" * 5000])
def test_a_wrong_token_is_told_beside_its_field(closed: None, client: FlaskClient, wrong: str) -> None:
    answer = sign_in(client, wrong)
    assert answer.status_code == 422
    assert "is not, or no longer, one of this farm" in answer.text
    assert client.get("/api/v1/jobs").status_code == 401


def test_wrong_tokens_are_logged_and_counted_and_a_right_one_is_always_taken(
    token: str, bearer: dict, client: FlaskClient
) -> None:
    # Given somebody who tries tokens, by program and on the page
    wrong = {"Authorization": "Bearer farm_wrong"}
    with capture_logs() as logged:
        statuses = [client.get("/api/v1/jobs", headers=wrong).status_code for _ in range(15)]
        statuses += [sign_in(client, "farm_wrong").status_code for _ in range(10)]
    # Then each is in the log, up to a number, beyond which the answer says so
    assert statuses == [401] * 15 + [422] * 5 + [429] * 5
    found = [(line["client"], line["path"]) for line in logged if line["event"] == "wrong token"]
    assert found == [("127.0.0.1", "/api/v1/jobs")] * 15 + [("127.0.0.1", "/sign-in")] * 5
    refused = client.get("/api/v1/jobs", headers=wrong)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert "wrong tokens" in refused.get_json()["detail"]
    # And whoever has a right one, from the same address, is taken in
    assert client.get("/api/v1/jobs", headers=bearer).status_code == 200
    assert sign_in(client, token).status_code == 303


def test_the_token_of_forms_changes_when_somebody_signs_in_or_out(
    token: str, client: FlaskClient
) -> None:
    found: list[str] = []

    def read_csrf_token(path: str) -> None:
        page = client.get(path).text
        found.append(re.findall(r'name="csrf_token"[^>]*value="([^".]+)', page)[0])

    read_csrf_token("/sign-in")
    sign_in(client, token)
    read_csrf_token("/")
    with client.session_transaction() as session:
        known = session["csrf_token"]
    page = client.get("/").text
    sent = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', page)[0]
    client.post("/sign-out", data={"csrf_token": sent})
    read_csrf_token("/sign-in")
    with client.session_transaction() as session:
        assert session["csrf_token"] != known
    assert len(set(found)) == 3


def test_a_revoked_token_opens_nothing_at_once(token: str, bearer: dict, client: FlaskClient) -> None:
    sign_in(client, token)
    assert client.get("/jobs").status_code == 200
    with sessions.write_session() as session:
        tokens.revoke(session, "Ada")
    assert client.get("/jobs").status_code == 401
    assert client.get("/api/v1/jobs", headers=bearer).status_code == 401


def test_keys_of_two_tokens_never_meet(bearer: dict, post_api: Callable[..., TestResponse]) -> None:
    with sessions.write_session() as session:
        other = {"Authorization": f"Bearer {tokens.create(session, 'Bob')}"}
    key = {"Idempotency-Key": "order 7"}
    ada, bob = post_api(headers=bearer | key), post_api(headers=other | key, name="another")
    assert (ada.status_code, bob.status_code) == (202, 202)
    again = [post_api(headers=bearer | key), post_api(headers=other | key, name="another")]
    assert [answer.get_json()["id"] for answer in again] == [
        answer.get_json()["id"] for answer in (ada, bob)
    ]


def test_signing_out_ends_it(token: str, client: FlaskClient) -> None:
    sign_in(client, token)
    page = client.get("/jobs")
    assert page.headers["Cache-Control"] == "no-store"  # or a browser's Back would show it afterwards
    found = re.search(r'action="/sign-out">\s*<input[^>]*value="([^"]+)"', page.text)
    assert found
    assert client.post("/sign-out", data={"csrf_token": found[1]}).location == "/sign-in"
    assert client.get("/jobs").status_code == 401


def test_by_cookie_the_api_is_changed_by_our_own_pages_only(
    token: str, bearer: dict, client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    path = f"/api/v1/jobs/{make_job().id}/cancel"
    sign_in(client, token)
    assert client.post(path).status_code == 403
    assert client.post(path, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post(path, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
    assert client.post(path, headers=OURS).status_code == 200
    assert client.post(path, headers=bearer).status_code == 200


def test_a_form_sent_when_the_token_was_revoked_says_what_to_do(token: str, client: FlaskClient) -> None:
    sign_in(client, token)
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/").text)
    assert found
    with sessions.write_session() as session:
        tokens.revoke(session, "Ada")
    answer = client.post("/", data={"csrf_token": found[1]})
    assert answer.status_code == 401
    assert BY_PERSON in answer.text


def test_the_last_use_is_noted(bearer: dict, client: FlaskClient) -> None:
    with sessions.read_session() as session:
        assert tokens.list_all(session)[0].used_at is None
    client.get("/api/v1/jobs", headers=bearer)
    with sessions.read_session() as session:
        used = tokens.list_all(session)[0].used_at
    client.get("/api/v1/jobs", headers=bearer)
    with sessions.read_session() as session:
        assert tokens.list_all(session)[0].used_at == used is not None


def test_the_document_tells_of_the_token(bearer: dict, client: FlaskClient) -> None:
    document = client.get("/openapi.json", headers=bearer).get_json()
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "401" in document["paths"]["/api/v1/jobs"]["get"]["responses"]


def test_the_command_to_copy_shows_where_the_token_goes(
    bearer: dict, client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    job = make_job(State.SUCCEEDED)
    assert "Authorization: Bearer $FARM_TOKEN" in client.get(f"/jobs/{job.id}", headers=bearer).text


def test_no_token_is_in_the_database(token: str, home: Path) -> None:
    for file in home.glob("farm.db*"):
        assert token.encode() not in file.read_bytes()


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\x00b"])
def test_a_token_needs_a_name_that_can_be_shown(home: Path, name: str) -> None:
    with sessions.write_session() as session, pytest.raises(Exception, match="1 to 80 characters"):
        tokens.create(session, name)


def test_a_name_has_one_token(token: str) -> None:
    with sessions.write_session() as session, pytest.raises(Exception, match="has a token already"):
        tokens.create(session, " Ada ")


def test_where_no_token_is_asked_for_there_is_nothing_to_sign_in_to(client: FlaskClient) -> None:
    assert client.get("/sign-in").location == "/"
    assert "Sign out" not in client.get("/").text


def test_the_command_line_shows_its_token(token: str, served: str) -> None:
    assert Client(served, token).list_jobs() == []
    with pytest.raises(Refused, match="FARM_TOKEN"):
        Client(served).list_jobs()


@pytest.mark.browser
def test_a_person_signs_in_and_the_page_lives(
    token: str, served: str, page: Page, make_job: Callable[..., Job]
) -> None:
    # Given somebody who follows a link to a job
    job = make_job(State.RUNNING)
    page.goto(f"{served}/jobs/{job.id}")
    # When they give a wrong token, and then theirs
    page.get_by_label("Token").fill("farm_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("is not, or no longer, one of this farm")).to_be_visible()
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    # Then they are where they wanted to go, and the page is told what happens there
    expect(page.get_by_role("heading", name="Bridge at dusk")).to_be_visible()
    with sessions.write_session() as session:
        from farm.jobs import states

        states.cancel(session, job.id)
    expect(page.get_by_text("Stopping").first).to_be_visible(timeout=60_000)
    # And they leave
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_submission_by_token_is_whole(bearer: dict, post_api: Callable[..., TestResponse]) -> None:
    answer = post_api(headers=bearer, name="By token")
    assert answer.status_code == 202
    assert json.loads(answer.data)["name"] == "By token"


def test_pages_over_https_say_so_and_keep_their_cookie_to_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_PUBLIC_URL", "https://farm.example.org")
    monkeypatch.setenv("FARM_PROXIES", "1")
    monkeypatch.setenv("FARM_TRUSTED_HOSTS", "farm.example.org")
    fresh_settings()
    client = create_app().test_client()
    behind = {"Host": "farm.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    answer = client.get("/", headers=behind)
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" not in client.get("/").headers
