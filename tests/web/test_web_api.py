"""The REST API: what programs rely on."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Job, State
from farm.fleet import registry
from farm.jobs import actions, attempts, tickets
from farm.jobs.states import AttemptRef
from farm.recipe.formats import FORMATS
from farm.settings import settings
from farm.storage import storage
from tests.web import bad_pictures

MakeJob = Callable[..., Job]
Post = Callable[..., TestResponse]
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NO_JOB = "0" * 32
MACHINE = registry.Machine("CPU", 16_000_000_000, "cpu", 4, True, 12_000_000_000)


def test_a_submission_is_accepted_and_says_where_it_is(post_api: Post, client: FlaskClient) -> None:
    response = post_api(name="Bridge", priority="5", recipe={"size": 128, "blend": [2]})

    assert response.status_code == 202
    job = response.get_json()
    assert response.headers["Location"] == job["links"]["self"] == f"/api/v1/jobs/{job['id']}"
    assert (job["name"], job["state"], job["priority"], job["width"]) == ("Bridge", "queued", 5, 128)
    assert job["recipe"]["size"] == 128
    assert RFC3339.fullmatch(job["created_at"])
    assert client.get(job["links"]["self"]).get_json()["id"] == job["id"]


def test_without_a_recipe_the_default_is_taken(post_api: Post) -> None:
    assert post_api(recipe="").get_json()["recipe"]["size"] == 512


def test_without_a_broker_a_submission_is_accepted_all_the_same(
    post_api: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis+socket:///nonexistent/redis.sock")
    for cached in (settings, tickets.celery):
        cached.cache_clear()

    assert post_api().status_code == 202


def test_a_request_sent_twice_is_one_job(post_api: Post, client: FlaskClient) -> None:
    # Given a client whose first answer was lost
    key = {"Idempotency-Key": "order 7"}
    first = post_api(headers=key)
    # When it asks again, it is told of the same job; and of a new one without the key
    again, other = post_api(headers=key), post_api()
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 202)
    assert again.get_json()["id"] == first.get_json()["id"] != other.get_json()["id"]
    # When it sends something else under this key, it is told so
    wrong = post_api(headers=key, name="another")
    assert wrong.status_code == 409
    assert "Idempotency-Key" in wrong.get_json()["detail"]
    assert len(client.get("/api/v1/jobs").get_json()["items"]) == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\u00e9"])
def test_a_key_that_is_none_is_named(key: str, post_api: Post) -> None:
    response = post_api(headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == "Idempotency-Key"


def test_an_ended_job_is_deleted_with_its_pictures(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.SUCCEEDED)
    assert storage().list_keys(job.folder)
    assert client.delete(f"/api/v1/jobs/{job.id}").status_code == 204
    assert storage().list_keys(job.folder) == []
    assert client.get(f"/api/v1/jobs/{job.id}").status_code == 404
    assert client.delete(f"/api/v1/jobs/{job.id}").status_code == 404


def test_a_running_job_is_not_deleted(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.RUNNING)
    refused = client.delete(f"/api/v1/jobs/{job.id}")
    assert refused.status_code == 409
    assert "cancel it first" in refused.get_json()["detail"]
    assert client.get(f"/api/v1/jobs/{job.id}").status_code == 200


def test_a_waiting_job_says_why(make_job: MakeJob, client: FlaskClient) -> None:
    job = client.get(f"/api/v1/jobs/{make_job().id}").get_json()

    assert job["waiting_for"].startswith("No worker is running")
    assert job["links"]["preview"] is job["links"]["result"] is None
    assert job["links"]["cancel"] == f"/api/v1/jobs/{job['id']}/cancel"


def test_a_running_job_tells_its_progress(make_job: MakeJob, client: FlaskClient) -> None:
    job = client.get(f"/api/v1/jobs/{make_job(State.RUNNING).id}").get_json()

    assert (job["state"], job["level"], job["levels"]) == ("running", 1, 2)
    assert (job["iteration"], job["iterations"], job["eta_seconds"]) == (30, 72, 9.0)
    assert job["progress"] == pytest.approx(30 / 72)
    assert job["waiting_for"] is None
    assert client.get(job["links"]["preview"]).content_type == "image/jpeg"


def test_an_unchanged_job_is_not_sent_twice(make_job: MakeJob, client: FlaskClient) -> None:
    # Given a program that knows the job as it is
    job = make_job(State.RUNNING)
    first = client.get(f"/api/v1/jobs/{job.id}")
    known = {"If-None-Match": first.headers["ETag"]}

    # When nothing happens, it hears nothing
    assert client.get(f"/api/v1/jobs/{job.id}", headers=known).status_code == 304

    # When something happens, it hears of it
    with sessions.write_session() as session:
        attempts.record_preview(session, AttemptRef(job.id, 1))
    later = client.get(f"/api/v1/jobs/{job.id}", headers=known)
    assert later.status_code == 200
    assert later.get_json()["preview_version"] == 2


def test_a_finished_job_has_a_result(make_job: MakeJob, client: FlaskClient) -> None:
    job = client.get(f"/api/v1/jobs/{make_job(State.SUCCEEDED).id}").get_json()
    response = client.get(job["links"]["result"])

    assert job["metrics"]["ssim"] == 0.5
    assert job["links"]["cancel"] is None
    assert RFC3339.fullmatch(job["finished_at"])
    assert response.data.startswith(b"\x89PNG")
    assert response.content_length == len(response.data)
    part = client.get(job["links"]["result"], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.data) == (206, b"PNG")


@pytest.mark.parametrize("format", FORMATS)
def test_a_result_comes_in_the_format_of_its_recipe(
    format: str, make_job: MakeJob, client: FlaskClient
) -> None:
    job = make_job(State.SUCCEEDED, format=format)

    with client.get(f"/api/v1/jobs/{job.id}/result") as response:
        data = response.data
    assert job.result_key.endswith(FORMATS[format].suffix)
    assert data == storage().get(job.result_key)
    assert response.content_type == FORMATS[format].mime
    assert response.content_length == len(data)
    assert response.headers["Content-Disposition"].endswith(f'{FORMATS[format].suffix}"')
    with client.get(f"/jobs/{job.id}/result", headers={"Range": "bytes=2-5"}) as part:
        assert (part.status_code, part.data) == (206, data[2:6])
    known = {"If-None-Match": response.headers["ETag"]}
    assert client.get(f"/jobs/{job.id}/result", headers=known).status_code == 304


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED, State.CANCELLED])
def test_the_result_of_an_unfinished_job_is_a_conflict(
    state: State, make_job: MakeJob, client: FlaskClient
) -> None:
    response = client.get(f"/api/v1/jobs/{make_job(state).id}/result")

    assert response.status_code == 409
    assert state.value in response.get_json()["detail"]


def test_a_result_that_is_gone_from_storage_is_not_found(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.SUCCEEDED)
    storage().delete(job.result_key)

    response = client.get(f"/api/v1/jobs/{job.id}/result")

    assert response.status_code == 404
    assert "no longer in storage" in response.get_json()["detail"]


def test_a_waiting_job_is_cancelled_at_once_and_again_harmlessly(
    make_job: MakeJob, client: FlaskClient
) -> None:
    job = make_job()

    for _ in range(2):
        response = client.post(f"/api/v1/jobs/{job.id}/cancel")
        assert (response.status_code, response.get_json()["state"]) == (200, "cancelled")


def test_a_running_job_is_cancelled_by_its_worker(make_job: MakeJob, client: FlaskClient) -> None:
    response = client.post(f"/api/v1/jobs/{make_job(State.RUNNING).id}/cancel")

    assert response.get_json()["state"] == "cancelling"


def test_a_finished_job_is_not_cancelled(make_job: MakeJob, client: FlaskClient) -> None:
    assert client.post(f"/api/v1/jobs/{make_job(State.SUCCEEDED).id}/cancel").status_code == 409


def test_a_failed_job_is_retried(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.FAILED)

    assert client.post(f"/api/v1/jobs/{job.id}/retry").get_json()["state"] == "queued"
    assert client.post(f"/api/v1/jobs/{job.id}/retry").status_code == 409


def test_the_list_is_paged_by_cursors_both_ways(make_job: MakeJob, client: FlaskClient) -> None:
    # Given five jobs
    made = [make_job(name=f"Job {number}").id for number in range(5)]

    # When pages of two are followed to the end, and back to the beginning
    def walk(cursor: str, start: str | None) -> list[Any]:
        pages: list[Any] = []
        while start or not pages:
            query = {"limit": 2, "cursor": start}
            pages.append(client.get("/api/v1/jobs", query_string=query).get_json())
            start = pages[-1][cursor]
        return pages

    def ids(pages: list[Any]) -> list[list[str]]:
        return [[job["id"] for job in page["items"]] for page in pages]

    there = walk("next_cursor", None)
    forth, back = ids(there), ids(walk("previous_cursor", there[-1]["previous_cursor"]))

    # Then each came once each way, newest first
    assert forth == [made[:2:-1], made[2:0:-1], made[:1]]
    assert back == [made[2:0:-1], made[:2:-1]]


def test_the_list_shows_one_state(make_job: MakeJob, client: FlaskClient) -> None:
    make_job(State.CANCELLED)
    waiting = make_job()

    items = client.get("/api/v1/jobs?state=queued").get_json()["items"]

    assert [job["id"] for job in items] == [waiting.id]


def test_the_list_is_searched_and_sorted(make_job: MakeJob, client: FlaskClient) -> None:
    for name in ("lake two", "Bridge", "Lake One"):
        make_job(name=name)

    items = client.get("/api/v1/jobs?q=LAKE&sort=name").get_json()["items"]

    assert [job["name"] for job in items] == ["Lake One", "lake two"]


def test_a_cursor_of_another_sort_is_named(make_job: MakeJob, client: FlaskClient) -> None:
    make_job()
    make_job()
    cursor = client.get("/api/v1/jobs?limit=1").get_json()["next_cursor"]

    response = client.get(f"/api/v1/jobs?limit=1&sort=oldest&cursor={cursor}")

    assert response.status_code == 422
    (error,) = response.get_json()["errors"]
    assert error["field"] == "cursor"
    assert "another sort" in error["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=nonsense", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=eA", "cursor"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=all", "limit"),
        ("state=lost", "state"),
        ("sort=best", "sort"),
        ("q=" + "x" * 121, "q"),
        ("q=%00", "q"),
        ("order=name", "order"),
    ],
)
def test_a_bad_question_is_named(query: str, field: str, client: FlaskClient) -> None:
    response = client.get(f"/api/v1/jobs?{query}")

    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert [error["field"] for error in response.get_json()["errors"]] == [field]


@pytest.mark.parametrize("job_id", [NO_JOB, "1", "..", "%2e%2e%2fetc%2fpasswd", "%00" * 16, "Ä" * 32])
@pytest.mark.parametrize("tail", ["", "/result", "/preview"])
def test_an_unknown_job_is_not_found(job_id: str, tail: str, client: FlaskClient) -> None:
    response = client.get(f"/api/v1/jobs/{job_id}{tail}")

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"


def test_a_wrong_method_is_a_problem_too(client: FlaskClient) -> None:
    response = client.delete("/api/v1/jobs")

    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
    assert response.content_type == "application/problem+json"


def test_workers_that_are_alive_are_told(client: FlaskClient, home: object) -> None:
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "attic", MACHINE)

    (worker,) = client.get("/api/v1/workers").get_json()["items"]

    assert (worker["name"], worker["device"]) == ("attic", "CPU")
    assert RFC3339.fullmatch(worker["seen_at"])


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_site_may_not_change_anything(
    headers: dict[str, str], make_job: MakeJob, client: FlaskClient
) -> None:
    job = make_job()

    response = client.post(f"/api/v1/jobs/{job.id}/cancel", headers=headers)

    assert response.status_code == 403
    assert response.content_type == "application/problem+json"
    assert client.get(f"/api/v1/jobs/{job.id}", headers=headers).get_json()["state"] == "queued"


def test_our_own_pages_may(make_job: MakeJob, client: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}

    assert client.post(f"/api/v1/jobs/{make_job().id}/cancel", headers=headers).status_code == 200


def test_the_document_describes_every_address(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()

    rules = [rule.rule for rule in client.application.url_map.iter_rules()]
    addresses = {re.sub(r"<(?:[^<>:]+:)?(\w+)>", r"{\1}", rule) for rule in rules if "/api/" in rule}
    assert set(document["paths"]) == addresses
    assert "/api/v1/jobs/{job_id}/result" in addresses
    body = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(body["multipart/form-data"]["schema"]["properties"]) == {
        "content",
        "style",
        "recipe",
        "name",
        "priority",
        "tag",
        "webhook_url",
        "from_job",
        "init",
        "keep",
        "look",
        "mask",
    }
    answers = document["paths"]["/api/v1/jobs/{job_id}/result"]["get"]["responses"]
    assert set(answers["200"]["content"]) == {"image/png", "image/jpeg", "image/webp", "image/tiff"}
    assert answers["206"]["content"] == answers["200"]["content"]
    assert set(answers) >= {"304", "412", "416"}
    assert "content" not in answers["304"]
    assert client.get("/docs").status_code == 404


def put(client: FlaskClient, job_id: str, **fields: str) -> TestResponse:
    files = {
        "content": (io.BytesIO(bad_pictures.photo()), "photo.jpg"),
        "style": (io.BytesIO(bad_pictures.photo(100, 100)), "painting.jpg"),
    }
    return client.put(f"/api/v1/jobs/{job_id}", data={"recipe": '{"size": 96}'} | fields | files)


def test_a_client_may_name_its_job(client: FlaskClient) -> None:
    job_id = "c0ffee" * 5 + "42"

    first, again = put(client, job_id), put(client, job_id)

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.get_json()["id"] == job_id == again.get_json()["id"]
    assert len(client.get("/api/v1/jobs").get_json()["items"]) == 1
    other = put(client, job_id, name="another")
    assert other.status_code == 409
    assert put(client, "coffee").status_code == 404


def test_an_id_of_somebody_elses_job_is_refused(client: FlaskClient, make_job: MakeJob) -> None:
    answer = put(client, make_job().id)
    assert answer.status_code == 409
    assert "this id" in answer.get_json()["detail"]


def test_the_queue_is_told(client: FlaskClient, make_job: MakeJob) -> None:
    make_job(State.SUCCEEDED)
    make_job(size=1024)
    assert client.get("/api/v1/queue").get_json() == {
        "waiting": {"preview": 0, "standard": 1, "large": 0},
        "states": dict.fromkeys(State, 0) | {"queued": 1, "succeeded": 1},
        "workers": 0,
        "paused_by": None,
    }


def test_a_job_unchanged_is_not_told_again(client: FlaskClient, make_job: MakeJob) -> None:
    job = make_job(State.RUNNING)
    address = f"/api/v1/jobs/{job.id}"
    known = {"If-None-Match": client.get(address).headers["ETag"]}
    assert client.get(address, headers=known).status_code == 304
    with sessions.write_session() as session:
        attempts.renew_lease(session, AttemptRef(job.id, job.attempt))
    assert client.get(address, headers=known).status_code == 304
    with sessions.write_session() as session:
        attempts.record_preview(session, AttemptRef(job.id, job.attempt))
    changed = client.get(address, headers=known)
    assert changed.status_code == 200
    assert changed.headers["Retry-After"] == "1"
    assert changed.get_json()["preview_version"] == 2


def test_the_document_can_be_read_by_people(client: FlaskClient) -> None:
    document, page = client.get("/openapi.json").get_json(), client.get("/api").text
    for path, methods in document["paths"].items():
        assert page.count(f"<code>{path}</code>") == len(set(methods) - {"parameters"})
    assert "One weight for each painting; equal when left out." in page


@pytest.mark.parametrize("key", [f"id {'0' * 32}", f"form {'0' * 64}"])
def test_a_key_may_look_like_one_that_the_farm_gives(key: str, post_api: Post) -> None:
    first, again = (post_api(headers={"Idempotency-Key": key}) for _ in range(2))
    assert first.status_code == 202
    assert again.get_json()["id"] == first.get_json()["id"]


def test_the_page_of_the_api_says_what_values_there_are(client: FlaskClient) -> None:
    page = client.get("/api").text
    assert "queued | running | cancelling | succeeded | failed | cancelled" in page
    assert "<code>Idempotency-Key</code>" in page
    assert "`" not in page


def test_another_job_under_the_id_of_a_deleted_one_is_not_taken_for_it(
    client: FlaskClient, make_job: MakeJob
) -> None:
    # Given a program that knows a finished job, which is deleted and made anew from other settings
    first = make_job(State.SUCCEEDED, name="first")
    known = client.get(f"/api/v1/jobs/{first.id}")
    assert known.get_json()["name"] == "first"
    actions.delete(first.id)
    second = make_job(State.SUCCEEDED, name="second", job_id=first.id)
    assert (second.version, second.attempt) == (first.version, first.attempt)
    # Then it is told of the new one, as is whoever asks for the first time
    for headers in ({"If-None-Match": known.headers["ETag"]}, {}):
        told = client.get(f"/api/v1/jobs/{first.id}", headers=headers)
        assert told.status_code == 200
        assert told.get_json()["name"] == "second"
