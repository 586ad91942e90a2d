"""Webhooks on the pages and in the API: asked for, shown, sent again."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from benchmarks.testbed.processes import SAMPLES
from farm.cli.client import Client
from farm.database import sessions
from farm.database.models import Job, State
from farm.jobs import states
from farm.jobs.submit import submit
from farm.recipe import Recipe
from farm.webhooks import deliveries, payload
from farm.webhooks.deliveries import Answer, Claim
from tests.web.conftest import token

Post = Callable[..., TestResponse]
URL = "https://hook.example/told?key=letmein"
DONE = Answer("204 No Content", delivered=True)
BROKEN = Answer("500 Internal Server Error")
NO_JOB = "0" * 32


@pytest.fixture
def told(post_api: Post) -> Callable[[], str]:
    """A cancelled job of whose end URL is to be told; its id."""

    def make() -> str:
        job_id = str(post_api(webhook_url=URL).get_json()["id"])
        with sessions.write_session() as session:
            states.cancel(session, job_id)
        return job_id

    return make


def claim() -> Claim:
    with sessions.write_session() as session:
        found = deliveries.claim(session)
    assert found
    return found


def tried(how: Answer) -> None:
    """A sender took what is due, and got this answer."""
    found = claim()
    with sessions.write_session() as session:
        assert deliveries.record_answer(session, found, how)


def the_job() -> Job:
    with sessions.read_session() as session:
        return session.scalars(select(Job)).unique().one()


def test_a_submission_names_its_webhook_and_is_told_of_it(post_api: Post) -> None:
    assert post_api(webhook_url=f"  {URL} ").get_json()["webhook_url"] == URL
    assert post_api().get_json()["webhook_url"] is None


@pytest.mark.parametrize(
    "url", ["hook.example", "http://127.0.0.1:6379/", "http://[::1]/", "https://a:b@hook.example/"]
)
def test_a_webhook_that_cannot_be_is_named_and_not_repeated(
    url: str,
    post_api: Post,
    post_form: Post,
    nothing_left: Callable[[], None],
) -> None:
    with capture_logs() as said:
        response = post_api(webhook_url=url)
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == ["webhook_url"]
    with capture_logs() as said_of_the_form:
        page = post_form(webhook_url=url)
    assert page.status_code == 422
    assert 'href="#webhook_url"' in page.text
    assert '<details class="advanced" id="advanced" open>' in page.text
    nothing_left()
    assert "webhook_url" in str(said)
    assert "webhook_url" in str(said_of_the_form)
    assert url not in str(said + said_of_the_form)


def test_the_key_of_a_request_stands_for_its_webhook_too(post_api: Post) -> None:
    key = {"Idempotency-Key": "order 7"}
    first = post_api(webhook_url=URL, headers=key).get_json()["id"]
    assert post_api(webhook_url=URL, headers=key).get_json()["id"] == first
    assert post_api(headers=key).status_code == 409
    assert post_api(webhook_url="https://other.example/", headers=key).status_code == 409


def test_the_form_takes_a_webhook_and_once_more_keeps_it(post_form: Post, client: FlaskClient) -> None:
    assert post_form(webhook_url=URL).status_code == 303
    job = the_job()
    assert job.webhook_url == URL
    field = re.search(r'<input[^>]*name="webhook_url"[^>]*>', client.get(f"/?from={job.id}").text)
    assert field
    assert f'value="{URL}"' in field[0]


def test_the_command_lines_client_names_it(served: str) -> None:
    content, style = (SAMPLES / f"{name}.jpg" for name in ("street", "mosaic"))
    job = Client(served).submit(content, [style], Recipe(size=128), "", 0, URL)
    assert job["webhook_url"] == URL


def test_the_api_tells_how_each_delivery_went(told: Callable[[], str], client: FlaskClient) -> None:
    job_id = told()
    path = f"/api/v1/jobs/{job_id}/deliveries"
    (row,) = client.get(path).get_json()["items"]
    assert (row["state"], row["standing"], row["tries"]) == ("cancelled", "waiting", 0)
    assert row["delivery"] == f"{job_id}.{row['id']}"
    tried(BROKEN)
    (row,) = client.get(path).get_json()["items"]
    assert (row["standing"], row["tries"], row["answer"]) == ("waiting", 1, BROKEN.words)
    assert row["next_try_at"].endswith("Z")
    assert row["delivered_at"] is None


def test_a_delivery_is_sent_again_for_whoever_asks(told: Callable[[], str], client: FlaskClient) -> None:
    job_id = told()
    path = f"/api/v1/jobs/{job_id}/deliveries"
    tried(DONE)
    (row,) = client.get(path).get_json()["items"]
    assert (row["standing"], row["next_try_at"]) == ("delivered", None)
    again = f"{path}/{row['id']}/retry"
    assert client.post(again).get_json()["standing"] == "waiting"
    claim()
    (row,) = client.get(path).get_json()["items"]
    assert (row["standing"], row["answer"], row["next_try_at"]) == ("being sent", "being sent", None)
    response = client.post(again)
    assert response.status_code == 409
    assert "being sent" in response.get_json()["detail"]


@pytest.mark.parametrize("number", ["0", "9999", str(2**31), str(10**30)])
def test_what_is_not_there_is_not_found(
    number: str, told: Callable[[], str], client: FlaskClient
) -> None:
    job_id = told()
    assert client.post(f"/api/v1/jobs/{job_id}/deliveries/{number}/retry").status_code == 404
    assert client.get(f"/api/v1/jobs/{NO_JOB}/deliveries").status_code == 404
    page = client.post(f"/jobs/{job_id}/deliveries/{number}/retry", data={"csrf_token": token(client)})
    assert page.status_code == 404


def test_the_page_sends_again_only_for_its_own_form(
    told: Callable[[], str], client: FlaskClient
) -> None:
    job_id = told()
    tried(DONE)
    (row,) = client.get(f"/api/v1/jobs/{job_id}/deliveries").get_json()["items"]
    path = f"/jobs/{job_id}/deliveries/{row['id']}/retry"
    assert client.post(path).status_code == 400
    assert client.post(path, data={"csrf_token": token(client)}).location == f"/jobs/{job_id}#webhook"
    claim()
    page = client.post(path, data={"csrf_token": token(client)}, follow_redirects=True)
    assert "It is being sent at this moment" in page.text


def test_a_job_without_a_webhook_has_no_log_of_it(post_api: Post, client: FlaskClient) -> None:
    job_id = post_api().get_json()["id"]
    assert 'id="webhook"' not in client.get(f"/jobs/{job_id}").text
    assert client.get(f"/api/v1/jobs/{job_id}/deliveries").get_json() == {"items": []}


def test_the_page_names_the_host_alone(told: Callable[[], str], client: FlaskClient) -> None:
    page = client.get(f"/jobs/{told()}").text
    assert "hook.example is told" in page
    assert "letmein" not in page


def test_the_part_of_the_page_is_sent_only_when_it_changed(
    told: Callable[[], str], client: FlaskClient
) -> None:
    path = f"/jobs/{told()}/deliveries"
    first = client.get(path)
    assert "<html" not in first.text
    asked = {"If-None-Match": first.headers["ETag"]}
    assert client.get(path, headers=asked).status_code == 304
    tried(BROKEN)
    assert client.get(path, headers=asked).status_code == 200


def test_the_links_that_are_told_are_those_of_the_api(
    post_api: Post, client: FlaskClient, home: object
) -> None:
    job = post_api(webhook_url=URL).get_json()
    with sessions.write_session() as session:
        states.cancel(session, job["id"])
    links = payload.Notice.from_claim(claim()).job.links
    assert (links.self, links.page, links.result) == (job["links"]["self"], job["links"]["page"], None)


def test_a_finished_jobs_result_is_linked_as_the_api_does(
    make_job: Callable[..., Job], client: FlaskClient
) -> None:
    job = make_job(State.SUCCEEDED)
    ours = payload._make_links(job.id, job.state).result
    assert ours == client.get(f"/api/v1/jobs/{job.id}").get_json()["links"]["result"]


def test_the_document_describes_what_a_receiver_gets(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    webhook = document["webhooks"]["jobEnded"]["post"]
    assert {header["name"] for header in webhook["parameters"]} == {
        "Style-Farm-Delivery",
        "Style-Farm-Timestamp",
        "Style-Farm-Signature",
    }
    schemas = document["components"]["schemas"]
    told = schemas["Webhook"]["properties"]["job"]["$ref"].rpartition("/")[2]
    assert "error" in schemas[told]["properties"]
    for name in re.findall(r"#/components/schemas/(\w+)", str([schemas["Webhook"], schemas[told]])):
        assert name in schemas
    paths = document["paths"]
    assert "/api/v1/jobs/{job_id}/deliveries" in paths
    retry = paths["/api/v1/jobs/{job_id}/deliveries/{delivery_id}/retry"]["post"]
    assert {"200", "404", "409"} <= set(retry["responses"])
    body = paths["/api/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert "webhook_url" in body["properties"]


@pytest.mark.browser
def test_the_page_shows_by_itself_that_it_was_delivered(
    told: Callable[[], str], served: str, page: Page
) -> None:
    # Given a job's page while the first try failed
    job_id = told()
    tried(BROKEN)
    page.goto(f"{served}/jobs/{job_id}")
    section = page.locator("#webhook")
    expect(section).to_contain_text("500 Internal Server Error")
    # When a person has it sent again, and it is delivered
    section.get_by_role("button", name="Send again now").click()
    expect(section).to_contain_text("About to be sent")
    tried(DONE)
    # Then the page says so without being asked
    expect(section).to_contain_text("204 No Content", timeout=60_000)
    expect(section.locator("b")).to_have_text("delivered")


def test_a_url_that_the_farm_takes_fits_its_column(home: object) -> None:
    from tests.web.bad_pictures import photo

    url = "https://hook.example/" + "x" * (1000 - 21)
    assert submit(photo(), [photo(100, 100)], Recipe(size=96), webhook_url=url).webhook_url == url
