"""Who may speak to the farm, and what it does with what nobody should send."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import fresh_settings
from tests.web.bad_pictures import photo
from tests.web.conftest import token
from web import create_app


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


SIZE = {"width": 300, "height": 200}
JSON_ADDRESSES = ("estimate", "estimates", "explorations/estimate", "jobs/bulk")
KEYS = {f"field {number}": 1 for number in range(5000)}
BIG = {
    "many keys": (KEYS, 422, "5000 keys; the limit is 200"),
    "keys within keys": ({"style_layers": KEYS}, 422, "5001 keys; the limit is 200"),
    "half a megabyte": (SIZE | {"preset": "x" * 500_000}, 413, "100 kB"),
    "a list without end": (SIZE | {"style_layers": [0] * 20_000, "ids": [0] * 10_000}, 422, ""),
    "numbers without end": (SIZE | {"seed": 10**4000}, 422, ""),
    "unknown keys": (SIZE | {f"field {number}": 1 for number in range(150)}, 422, "field 0"),
}
NO_JSON = (
    *(b'{"preset": "\\ud800"}', b'{"preset": "\xed\xa0\x80"}', b'{"size": NaN}'),
    *(b"[" * 50_000, b"\xff", b"{", b""),
)


def test_more_json_than_a_recipe_can_be_gets_a_short_answer_soon(client: FlaskClient) -> None:
    started = time.thread_time()
    for address in JSON_ADDRESSES:
        for name, (sent, status, words) in BIG.items():
            answer = client.post(f"/api/v1/{address}", json=sent)
            assert (name, address, answer.status_code) == (name, address, status)
            assert words in answer.text
            assert len(answer.data) < 5_000
            kinds = [error["message"].partition(";")[0] for error in answer.get_json()["errors"]]
            assert kinds.count("is not a parameter") <= 1
        for data in NO_JSON:
            answer = client.post(f"/api/v1/{address}", data=data, content_type="application/json")
            assert (address, data[:20], answer.status_code) == (address, data[:20], 400)
    assert time.thread_time() - started < 5  # s; half a million keys took 12 in one address


def post_with_photo(client: FlaskClient, address: str, **texts: str) -> TestResponse:
    data = {"content": (io.BytesIO(photo()), "a.jpg"), **texts}
    return client.post(f"/api/v1/{address}", data=data, content_type="multipart/form-data")


def test_the_json_of_a_form_has_the_same_limits(client: FlaskClient) -> None:
    for address, field in (("jobs", "recipe"), ("explorations", "across_values")):
        answer = post_with_photo(client, address, **{field: json.dumps(KEYS)})
        assert answer.status_code == 422
        assert answer.get_json()["errors"] == [
            {"field": field, "message": "has 5000 keys; the limit is 200"}
        ]
        assert post_with_photo(client, address, **{field: "x" * 200_000}).status_code == 413


def test_lists_that_are_too_long_are_named_with_their_limits_however_long_they_are(
    client: FlaskClient, post_api: Callable[..., TestResponse], post_form: Callable[..., TestResponse]
) -> None:
    words = "list should have at most 64 items"
    for count in (65, 5000, 10_000):
        arrows = [[0.123, 0.456, 0.789, number / 10_000] for number in range(count)]
        recipe = {"size": 96, "stroke_arrows": arrows}
        for answer in (post_api(recipe=recipe), client.post("/api/v1/estimate", json=SIZE | recipe)):
            (error,) = answer.get_json()["errors"]
            assert (answer.status_code, error["field"]) == (422, "stroke_arrows"), count
            assert error["message"].startswith(words)
        typed = " ".join(",".join(map(str, arrow)) for arrow in arrows)
        answer = post_form(stroke_arrows=typed)
        assert (answer.status_code, f"Arrows for strokes {words}" in answer.text) == (422, True)
    many = {"action": "delete", "ids": ["0" * 32] * 10_000}
    (error,) = client.post("/api/v1/jobs/bulk", json=many).get_json()["errors"]
    assert error == {"field": "ids", "message": "list should have at most 1000 items; it has more"}


@pytest.mark.parametrize(
    "recipe",
    [
        json.dumps({"stroke_arrows": [[0, 0, 1, 1]] * 64, "preset": "x" * 100_000}),
        json.dumps({"preset": '"stroke_arrows": [' + "1," * 60_000}),
        json.dumps({"stroke_arrows": {"a": [0] * 60_000}}),
        '{"stroke_arrows": [' + "[" * 100_000,
    ],
)
def test_what_is_too_large_otherwise_is_413(post_api: Callable[..., TestResponse], recipe: str) -> None:
    assert post_api(recipe=recipe).status_code == 413


@pytest.mark.parametrize("field", ["name", "style_layers", "content_layers"])
def test_a_field_of_a_form_has_as_much_text_as_before(
    post_form: Callable[..., TestResponse], field: str
) -> None:
    answer = post_form(**{field: "x" * 100_001})
    assert (answer.status_code, "too much text" in answer.text) == (413, True)


def test_some_unknown_settings_are_named_and_the_rest_are_not(client: FlaskClient) -> None:
    answer = client.post("/api/v1/estimate", json=SIZE | dict.fromkeys("abcdefgh", 1))
    message = "is not a parameter of a recipe; nor b, c, d, e, ..."
    (error,) = answer.get_json()["errors"]
    assert (error["field"], error["message"]) == ("a", message.replace(" of a recipe", ""))


def test_a_part_without_a_name_is_refused(client: FlaskClient) -> None:
    for path in ("/api/v1/jobs", "/api/v1/explorations", "/", "/sign-in", "/jobs/bulk"):
        for kind in (b"form-data", b'form-data; filename="x"', b'form-data; name=""', b"x"):
            part = b"--b\r\nContent-Disposition: %s\r\n\r\nx\r\n" % kind
            whole = part * 2 + b"--b--\r\n"
            answer = client.post(path, data=whole, content_type="multipart/form-data; boundary=b")
            assert (path, kind, answer.status_code) == (path, kind, 422)
            assert "has a part without a name" in answer.text


def test_a_form_of_a_hundred_thousand_fields_gets_a_short_page(client: FlaskClient) -> None:
    data = "&".join(f"f{number}" for number in range(12_000))
    data += f"&csrf_token={token(client)}"
    answer = client.post("/", data=data, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 422
    assert "f0 is not a field of this form, nor are 11,999 others" in answer.text


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


def test_a_name_of_which_nothing_can_be_seen_is_none(post_api: Callable[..., TestResponse]) -> None:
    assert post_api(name="\u3164\u200d \u200b").get_json()["name"] == "photo"  # the file's


@pytest.mark.postgres
def test_a_zero_byte_anywhere_is_no_failure_of_postgresql(
    home: Path, postgres_with_tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_with_tables)
    monkeypatch.setenv("FARM_RATE_LIMIT", "off")
    fresh_settings()
    app = create_app()
    client = app.test_client()
    job = "0" * 32
    queries = ("q", "state", "sort", "cursor", "from", "v", "size", "format", "limit", "view", "next")
    for rule in app.url_map.iter_rules():
        path = re.sub("<job_id:[^>]*>", job, rule.rule)
        addresses = [re.sub("<[^>]*>", "%00", path)] if "<" in path else []
        path = re.sub("<[^>]*>", "x", path)
        addresses += [f"{path}?{name}=%00" for name in queries] if "GET" in (rule.methods or ()) else []
        for address in addresses:
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                answer = client.open(address, method=method)
                assert answer.status_code < 500, (method, address)
                answer.close()
    names = ("from_job", "once", "name", "version", "content_pick", "style_pick", "webhook_url", "ids")
    for name in names:
        data = {"csrf_token": token(client), "action": "cancel", name: "\0"}
        for path in ("/", "/explore", "/jobs/bulk", "/jobs/bulk/confirmed"):
            assert client.post(path, data=data).status_code < 500, (path, name)
