"""How often one client may ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from benchmarks.testbed.processes import redis_server
from farm.cli.client import Client
from farm.database import sessions
from farm.database.models import Job
from farm.people import tokens
from tests.conftest import fresh_settings
from web import create_app

THREE = "3 per minute"


@pytest.fixture
def limited(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FlaskClient]:
    """A farm with limits, or other settings."""

    def make(**environment: str) -> FlaskClient:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fresh_settings()
        return create_app().test_client()

    return make


def change(client: FlaskClient, **headers: str) -> int:
    """404: it was let through, there is only nothing to cancel."""
    return client.post(f"/api/v1/jobs/{'0' * 32}/cancel", headers=headers).status_code


def ask(client: FlaskClient) -> int:
    asked = {"width": 300, "height": 200, "size": 128}
    return client.post("/api/v1/estimate", json=asked).status_code


def ask_of_a_grid(client: FlaskClient) -> int:
    asked = {"width": 300, "height": 200}
    return client.post("/api/v1/explorations/estimate", json=asked).status_code


def ask_of_a_film(client: FlaskClient) -> int:
    asked = {"width": 300, "height": 200, "frames": 24}
    return client.post("/api/v1/films/estimate", json=asked).status_code


def test_too_many_changes_are_refused_with_the_time_to_come_again(limited: Callable) -> None:
    client = limited(FARM_RATE_LIMIT=THREE)
    assert [change(client) for _ in range(4)] == [404, 404, 404, 429]
    answer = client.post("/api/v1/jobs/bulk", json={})
    assert answer.status_code == 429
    assert answer.mimetype == "application/problem+json"
    assert "3 per 1 minute" in answer.get_json()["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert "X-RateLimit-Wait" not in answer.headers
    assert answer.headers["X-RateLimit-Limit"] == "3"
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    # Looking is no change; questions, which take a while, are counted by themselves
    asked = [ask(client), ask_of_a_grid(client), ask_of_a_film(client), ask(client)]
    assert asked == [200, 200, 200, 429]
    assert {client.get("/api/v1/jobs").status_code for _ in range(9)} == {200}
    assert client.get("/").status_code == 200


def test_the_form_says_it_on_a_page(limited: Callable) -> None:
    client = limited(FARM_RATE_LIMIT="1 per minute")
    client.post("/")
    answer = client.post("/")
    assert answer.status_code == 429
    assert "Too many requests" in answer.text


def test_reads_have_a_limit_where_the_operator_wants_one(limited: Callable) -> None:
    client = limited(FARM_READ_LIMIT=THREE)
    assert [client.get("/api/v1/jobs").status_code for _ in range(3)] == [200, 200, 200]
    assert ask(client) == 429
    assert client.get("/healthz").status_code == 200
    assert change(client) == 404


def test_who_does_not_come_too_often_is_not_told_to_wait(limited: Callable) -> None:
    answer = limited(FARM_RATE_LIMIT=THREE).post(f"/api/v1/jobs/{'0' * 32}/cancel")
    assert answer.headers["X-RateLimit-Remaining"] == "2"
    assert "Retry-After" not in answer.headers


def test_who_is_refused_for_something_else_is_told_that_ones_moment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_RATE_LIMIT", "3 per hour")
    fresh_settings()
    app = create_app()
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False

    @app.post("/full")
    def refuse() -> tuple[str, int, dict[str, str]]:
        return "", 429, {"Retry-After": "7"}

    assert app.test_client().post("/full").headers["Retry-After"] == "7"


def test_off_is_no_limit(limited: Callable) -> None:
    client = limited(FARM_RATE_LIMIT="off")
    assert {change(client) for _ in range(20)} == {404}


def test_each_token_is_counted_by_itself(limited: Callable) -> None:
    client = limited(FARM_RATE_LIMIT=THREE, FARM_REQUIRE_TOKEN="1")
    with sessions.write_session() as session:
        ada, bob = (
            {"Authorization": f"Bearer {tokens.create(session, name)}"} for name in ("Ada", "Bob")
        )
    assert [change(client, **ada) for _ in range(4)] == [404, 404, 404, 429]
    assert change(client, **bob) == 404


def test_behind_a_proxy_each_client_is_counted_by_itself(limited: Callable) -> None:
    client = limited(FARM_RATE_LIMIT=THREE, FARM_PROXIES="1")
    first, second = ({"X-Forwarded-For": f"192.0.2.{number}"} for number in (1, 2))
    assert [change(client, **first) for _ in range(4)] == [404, 404, 404, 429]
    assert change(client, **second) == 404
    # What the client itself wrote before the proxy added its line is not believed
    assert change(client, **{"X-Forwarded-For": "198.51.100.7, 192.0.2.1"}) == 429


def test_without_a_proxy_nobody_gives_himself_another_address(limited: Callable) -> None:
    client = limited(FARM_RATE_LIMIT=THREE)
    lies = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(4)]
    assert [change(client, **lie) for lie in lies] == [404, 404, 404, 429]


@pytest.mark.processes
def test_two_web_parts_count_together_and_alone_while_redis_is_away(limited: Callable) -> None:
    with redis_server() as (port, server):
        one = limited(FARM_RATE_LIMIT=THREE, REDIS_URL=f"redis://127.0.0.1:{port}/0")
        two = create_app().test_client()
        assert [change(one), change(two), change(one), change(two)] == [404, 404, 404, 429]
        server.terminate()
        server.wait()
        assert [change(two) for _ in range(4)] == [404, 404, 404, 429]


@pytest.mark.processes
def test_two_web_parts_count_wrong_tokens_together_and_alone_while_redis_is_away(
    limited: Callable,
) -> None:
    wrong = {"Authorization": "Bearer farm_wrong"}
    with redis_server() as (port, server):
        one = limited(FARM_REQUIRE_TOKEN="1", REDIS_URL=f"redis://127.0.0.1:{port}/0")
        two = create_app().test_client()
        statuses = [each.get("/jobs", headers=wrong).status_code for each in [one, two] * 11]
        assert statuses == [401] * 20 + [429] * 2
        server.terminate()
        server.wait()
        assert two.get("/jobs", headers=wrong).status_code == 401


@pytest.mark.slow
def test_the_command_line_waits_as_it_is_asked(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    make_job: Callable[..., Job],
) -> None:
    monkeypatch.setenv("FARM_RATE_LIMIT", "1 per 1 second")
    fresh_settings()
    first, second = make_job(), make_job()
    farm = Client(request.getfixturevalue("served"))
    assert [farm.cancel(job.id)["state"] for job in (first, second)] == ["cancelled", "cancelled"]
