"""Films through the API: submitted, watched, cancelled, fetched, estimated; whose they are."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.films import films
from farm.fleet import registry
from farm.jobs import states
from farm.storage import storage
from farm.webhooks import deliveries
from tests.films.made import FRAMES, claim_part, finish, know_clips, make_picture
from web import streams

MACHINE = registry.Machine("CPU", 16 * 10**9, "cpu", 4, True, 12 * 10**9)


@pytest.fixture(autouse=True)
def clips(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    know_clips(monkeypatch)


def post(client: FlaskClient, headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
    files = {
        "clip": (io.BytesIO(b"a clip"), "walk.mp4"),
        "style": [(io.BytesIO(make_picture()), "painting.png")],
    }
    given = {"recipe": '{"size": 64}', "film": '{"spacing": 4}'} | fields
    return client.post("/api/v1/films", data=files | given, headers=headers)


def test_a_film_is_submitted_watched_and_fetched(client: FlaskClient) -> None:
    # Given a film, sent twice under one key
    headers = {"Idempotency-Key": "walk"}
    answer = post(client, headers)
    assert answer.status_code == 202, answer.text
    made = answer.get_json()
    assert post(client, headers).get_json()["id"] == made["id"]
    address = answer.headers["Location"]
    assert (made["name"], made["state"], made["painted"], made["frames"]) == (
        "walk",
        "queued",
        0,
        FRAMES,
    )
    assert (made["width"], made["height"]) == (64, 43)
    assert [part["state"] for part in made["parts"]] == ["queued", *[None] * 6]
    assert made["links"]["result"] is None
    assert client.get(f"{address}/result").status_code == 409
    for number in (0, 2**31, 10**30):
        assert client.get(f"{address}/frames/{number}").status_code == 404
        assert client.get(f"/films/{made['id']}/frames/{number}/small").status_code == 404

    # When its parts are painted and joined
    while claim := claim_part():
        storage().put(claim.job.result_key, b"a whole film")
        storage().put(f"jobs/{claim.job.id}/1/frames/0.png", b"a frame")
        finish(claim)

    # Then it is whole, in lists too, and its frames and its file can be had, in parts
    found = client.get(address)
    assert found.headers["Content-Type"] == "application/json"
    assert (found.get_json()["state"], found.get_json()["progress"]) == ("succeeded", 1.0)
    assert found.get_json()["painted_frames"] == list(range(FRAMES))
    unchanged = client.get(address, headers={"If-None-Match": found.headers["ETag"]})
    assert unchanged.status_code == 304
    (listed,) = client.get("/api/v1/films").get_json()["items"]
    assert (listed["id"], listed["painted"], listed["parts"]) == (made["id"], FRAMES, None)
    assert client.get("/api/v1/jobs").get_json()["items"] == []
    result = client.get(found.get_json()["links"]["result"], headers={"Range": "bytes=2-6"})
    assert (result.status_code, result.data, result.mimetype) == (206, b"whole", "video/mp4")
    frame = client.get(f"{address}/frames/0")
    assert (frame.data, frame.mimetype) == (b"a frame", "image/png")

    # And it can be deleted, but not be cancelled any more
    assert client.post(f"{address}/cancel").status_code == 409
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def finish_film() -> None:
    """Paint and join the one film that waits."""
    while claim := claim_part():
        storage().put(claim.job.result_key, b"a whole film")
        finish(claim)


RANGES: list[tuple[str | None, int, bytes | None, str | None]] = [
    (None, 200, b"a whole film", None),
    ("bytes=0-", 206, b"a whole film", "bytes 0-11/12"),
    ("bytes=0-1", 206, b"a ", "bytes 0-1/12"),
    ("bytes=-4", 206, b"film", "bytes 8-11/12"),
    ("bytes=8-99", 206, b"film", "bytes 8-11/12"),
    ("bytes=12-", 416, None, "bytes */12"),
]


def test_a_player_asks_for_a_film_in_parts(client: FlaskClient) -> None:
    film_id = post(client).get_json()["id"]
    finish_film()
    for asked, status, found, part in RANGES:
        answer = client.get(f"/films/{film_id}/film", headers={"Range": asked} if asked else {})
        assert (answer.status_code, answer.headers.get("Content-Range")) == (status, part), asked
        assert found is None or (answer.data, answer.headers["Accept-Ranges"]) == (found, "bytes")


def test_a_film_stands_among_the_jobs_and_in_the_gallery_with_its_poster(client: FlaskClient) -> None:
    # Given a film that waits: a clip's frame is its poster, and none of its parts is listed
    film_id = post(client).get_json()["id"]
    for path in ("/jobs", "/jobs?view=table", "/jobs?state=queued", "/jobs?q=WALK", "/films"):
        page = client.get(path).text
        assert page.count(f'href="/films/{film_id}"') == 1, path
        assert (f"/films/{film_id}/clip/0/small" in page, page.count("data-id=")) == (True, 1), path
    for path in ("/jobs?state=running", "/jobs?q=other", "/gallery"):
        assert f"/films/{film_id}" not in client.get(path).text

    # When it is finished, its first painted frame is
    finish_film()
    for path in ("/jobs", "/gallery", "/gallery?q=walk&sort=name"):
        page = client.get(path).text
        assert page.count(f'href="/films/{film_id}"') == 1, path
        assert (f"/films/{film_id}/frames/0/small" in page, 'title="10 frames, 0.4 s"' in page) == (
            True,
            True,
        )


def test_a_films_page_lists_who_was_notified_of_its_end(client: FlaskClient) -> None:
    # Given a finished film whose receiver answered badly
    film_id = post(client, webhook_url="https://hook.example/told").get_json()["id"]
    page = client.get(f"/films/{film_id}").text
    assert "hook.example will be told how this film ends" in page
    finish_film()
    with sessions.write_session() as session:
        claimed = deliveries.claim(session)
        assert claimed
        deliveries.record_answer(session, claimed, deliveries.Answer("500 Internal Server Error"))

    # Then its page says so, and sends it again
    page = client.get(f"/films/{film_id}").text
    assert "500 Internal Server Error" in page
    (retry,) = re.findall(f"/films/{film_id}/deliveries/[0-9]+/retry", page)
    csrf = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert csrf
    assert client.post(retry, data={"csrf_token": csrf[1]}).status_code == 303
    assert "About to be sent." in client.get(f"/films/{film_id}/deliveries").text


def test_a_film_is_cancelled_retried_and_deleted(client: FlaskClient) -> None:
    address = post(client).headers["Location"]
    film_id = address.rpartition("/")[2]
    assert client.delete(address).status_code == 409
    assert client.post(f"{address}/cancel").get_json()["state"] == "cancelled"
    assert client.post(f"{address}/cancel").get_json()["state"] == "cancelled"
    assert client.post(f"{address}/retry").get_json()["state"] == "queued"
    assert client.post(f"{address}/retry").status_code == 409

    # And where a part fails, the film says which frames are not painted
    claim = claim_part()
    assert claim is not None
    with sessions.write_session() as session:
        states.fail(session, claim.attempt, "The renderer broke.")
    watch, seen = streams.Watch(1), list[object]()
    for act in (lambda: None, films.settle_all):
        act()  # no part changes
        watch._wake_changed([film_id])
        seen.append(watch._versions[film_id])
    assert seen[0] != seen[1]  # a stream sends its end at once
    failed = client.get(address).get_json()
    assert (failed["state"], failed["error"]) == ("failed", "Frame 1: The renderer broke.")
    assert client.delete(address).status_code == 204


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("film.every", {"film": '{"every": 0}'}),
        ("film.moving.blend", {"film": '{"moving": {"blend": "red"}}'}),
        ("film", {"film": "{"}),
        ("frames", {"film": '{"first": 10}'}),
        ("content", {"content": "a text"}),
        ("size", {"recipe": '{"size": 1}'}),
        ("clip", {"clip": []}),
    ],
)
def test_what_is_wrong_is_named(client: FlaskClient, field: str, fields: dict[str, Any]) -> None:
    answer = post(client, **fields)
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"].startswith(field), answer.text
    assert client.get("/api/v1/films").get_json()["items"] == []


def test_a_films_priority_is_changed_and_the_audit_leads_to_the_film(client: FlaskClient) -> None:
    made = post(client, priority="3").get_json()
    address = made["links"]["self"]
    assert made["priority"] == 3
    changed = client.patch(address, json={"priority": 100})
    assert (changed.status_code, changed.get_json()["priority"]) == (200, 100)
    (listed,) = client.get("/api/v1/films").get_json()["items"]
    assert listed["priority"] == 100
    assert f'<a href="/films/{made["id"]}">walk</a>' in client.get("/operators/events").text
    for wrong in ({}, {"priority": 101}, {"priority": "high"}, {"priority": 1, "name": "x"}):
        assert client.patch(address, json=wrong).status_code == 422
    client.post(made["links"]["cancel"])
    assert client.patch(address, json={"priority": 1}).status_code == 409


def test_what_a_film_needs_is_estimated_beforehand(client: FlaskClient) -> None:
    # Given no worker, and then one whose speed is known
    asked = {"width": 48, "height": 32, "frames": FRAMES, "size": 64, "film": {"spacing": 4, "every": 2}}
    unknown = client.post("/api/v1/films/estimate", json=asked).get_json()
    assert (unknown["frames"], unknown["parts"], unknown["fits"], unknown["seconds"]) == (
        5,
        4,
        None,
        None,
    )
    assert unknown["stored_bytes"] == 5 * 64 * 43 * 3
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "worker-1", MACHINE)
        registry.record_speed(session, "worker-1", 10.0)
    known = client.post("/api/v1/films/estimate", json=asked).get_json()
    assert (known["fits"], known["workers"]) == (True, 1)
    assert known["seconds"] > 0

    # And frames that no clip has are refused
    shots = client.post("/api/v1/films/estimate", json=asked | {"shots": [0, FRAMES]})
    assert (shots.status_code, shots.get_json()["errors"][0]["field"]) == (422, "shots")
    beyond = client.post("/api/v1/films/estimate", json=asked | {"frames": 10**9})
    assert (beyond.status_code, beyond.get_json()["errors"][0]["field"]) == (422, "frames")


def test_the_document_has_films_with_examples(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    form = document["paths"]["/api/v1/films"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["clip", "style"]
    assert {"recipe", "film", "mask", "keep", "tag"} <= form["schema"]["properties"].keys()
    for example in form["examples"].values():
        sent = {name: json.dumps(value) for name, value in example["value"].items() if name != "name"}
        assert sent.keys() <= form["schema"]["properties"].keys()
    result = document["paths"]["/api/v1/films/{film_id}/result"]["get"]["responses"]["200"]
    assert "video/webm" in result["content"]
    assert document["webhooks"].keys() == {"jobEnded", "filmEnded"}
