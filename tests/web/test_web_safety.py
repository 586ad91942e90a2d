"""Who may speak to the farm, and what it does with what nobody should send."""

from __future__ import annotations

import io
import json

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "x" * 5000, "[", "[::1", "a b", ""])
@pytest.mark.parametrize("path", ["/", "/api/v1/jobs", "/openapi.json", "/nowhere"])
def test_on_loopback_only_this_machines_names_are_answered(
    client: FlaskClient, host: str, path: str
) -> None:
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert b"FARM_TRUSTED_HOSTS" in answer.data
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_this_machines_names_are_answered_with_any_port(client: FlaskClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "http://evil.example", "x"])
def test_a_foreign_or_broken_origin_is_refused(client: FlaskClient, origin: str) -> None:
    answer = client.post("/api/v1/jobs", headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.mimetype == "application/problem+json"


def test_a_huge_wrong_recipe_gets_a_short_answer(client: FlaskClient) -> None:
    recipe = json.dumps({f"field {i}": "x" * 100 for i in range(2000)})
    data = {"recipe": recipe}
    answer = client.post("/api/v1/jobs", data=data, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert len(answer.data) < 10_000
    assert len(answer.get_json()["errors"]) == 20


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"style": "painting2.jpg"}, "style"),
        ({"recipe": (b"{}", "recipe.json")}, "recipe"),
        ({"priority": (b"1", "priority.txt")}, "priority"),
        ({"name": ["one", "two"]}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_would_be_ignored_is_refused(client: FlaskClient, data: dict, field: str) -> None:
    sent = {k: (io.BytesIO(v[0]), v[1]) if isinstance(v, tuple) else v for k, v in data.items()}
    answer = client.post("/api/v1/jobs", data=sent, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]


def test_json_where_a_form_is_expected_says_so(client: FlaskClient) -> None:
    answer = client.post("/api/v1/jobs", json={"size": 64})
    assert answer.status_code == 415
    assert "multipart/form-data" in answer.get_json()["detail"]
