"""/metrics: who may read it, in which form, and what it counts of requests."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from farm.database import sessions
from farm.people import accounts, tokens
from tests.conftest import fresh_settings
from web import create_app, metrics

TOKEN = "0123456789abcdef"
OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2,*/*;q=0.1"


def parse(text: str) -> dict[tuple[str, str, str], float]:
    """Samples by name, route and status."""
    return {
        (sample.name, sample.labels.get("route", ""), sample.labels.get("status", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A farm that asks for tokens, and has one for Prometheus."""
    monkeypatch.setenv("FARM_REQUIRE_TOKEN", "1")
    monkeypatch.setenv("FARM_METRICS_TOKEN", TOKEN)
    fresh_settings()
    return create_app().test_client()


def test_on_loopback_anybody_reads_them_and_every_metric_is_there(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert names == {name.removesuffix("_total") for name, *_ in metrics.list_all()}


def test_prometheus_gets_openmetrics_where_it_asks_for_it(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"Accept": OPEN_METRICS})
    assert answer.mimetype == "application/openmetrics-text"
    assert answer.text.endswith("# EOF\n")


def test_answers_are_counted_by_route_not_by_address(client: FlaskClient) -> None:
    for number in range(2):
        client.get(f"/jobs/{number:032x}")
    client.get("/no/such/page")
    found = parse(client.get("/metrics").text)
    assert found["farm_http_requests_total", "/jobs/<job_id:job_id>", "404"] == 2
    assert found["farm_http_requests_total", "none", "404"] == 1


def test_the_token_for_metrics_opens_them_and_nothing_else(closed: FlaskClient) -> None:
    assert closed.get("/metrics", headers=bearer(TOKEN)).status_code == 200
    assert closed.get("/api/v1/jobs", headers=bearer(TOKEN)).status_code == 401


def test_a_request_without_a_token_is_told_which(closed: FlaskClient) -> None:
    answer = closed.get("/metrics", headers={"Accept": OPEN_METRICS})
    assert answer.status_code == 401
    assert "FARM_METRICS_TOKEN" in answer.text
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert closed.get("/metrics", headers=bearer("no-token-of-ours")).status_code == 401


def test_an_operators_token_opens_them_and_a_users_does_not(closed: FlaskClient) -> None:
    with sessions.write_session() as session:
        operator = tokens.create(session, "Olga")
        ada = accounts.add(session, "Ada", by="Olga")
        user = tokens.create(session, "phone", ada)
    assert closed.get("/metrics", headers=bearer(operator)).status_code == 200
    answer = closed.get("/metrics", headers=bearer(user))
    assert (answer.status_code, "operators" in answer.text) == (403, True)


def test_prometheus_may_ask_by_address_where_a_token_is_asked_for(
    closed: FlaskClient, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_address = {"base_url": "http://10.1.2.3:8000"}
    assert closed.get("/metrics", headers=bearer(TOKEN), **by_address).status_code == 200
    assert closed.get("/jobs", headers=bearer(TOKEN), **by_address).status_code == 400


def test_on_loopback_they_answer_under_our_names_alone(client: FlaskClient) -> None:
    assert client.get("/metrics", base_url="http://elsewhere.example").status_code == 400


def test_a_short_token_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_METRICS_TOKEN", "short")
    with pytest.raises(SystemExit, match="FARM_METRICS_TOKEN"):
        fresh_settings()
