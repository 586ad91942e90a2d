"""What a picture will need, as the API, the form and the job's page tell it, and what they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, FilePayload, Page, expect
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Job
from farm.fleet import registry
from farm.jobs import attempts, claims
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from tests.web import bad_pictures as bad
from web import words

MakeJob = Callable[..., Job]
Post = Callable[..., TestResponse]
MACHINE = registry.Machine("CPU", 16 * 10**9, "cpu", 4, True, 12 * 10**9)


@pytest.fixture
def worker(home: object) -> Callable[..., None]:
    """A worker that is alive: 12 GB to use, 9 s a megapixel, but for what a test says."""

    def seen(name: str = "worker@host", seconds: float | None = 9.0, **machine: Any) -> None:
        with sessions.write_session() as session:
            registry.record_heartbeat(session, name, replace(MACHINE, **machine))
            if seconds:
                registry.record_speed(session, name, seconds)

    return seen


@pytest.fixture
def ask(client: FlaskClient) -> Callable[..., TestResponse]:
    """An 8K picture of a photograph 16 : 9, but for what a test says."""

    def post(**asked: Any) -> TestResponse:
        return client.post(
            "/api/v1/estimate", json={"size": 7680, "width": 1920, "height": 1080} | asked
        )

    return post


# The API


def test_an_estimate_names_memory_time_and_worker(ask: Post, worker: Callable[..., None]) -> None:
    worker(budget_bytes=8 * 10**9)
    found = ask(start_size=7680, iterations=[10]).get_json()
    assert (found["width"], found["height"], found["fits"]) == (7680, 4320, True)
    assert found["worker"] == "worker@host"
    assert 3e9 < found["peak_memory_bytes"] <= 8e9
    assert found["seconds"] == pytest.approx(10 * 33.1776 * 9)
    memory = words.format_about_memory(found["peak_memory_bytes"])
    assert found["message"] == (
        f"7680 × 4320 px (33 megapixels): {memory}, about 50 minutes on worker@host"
    )


def test_paintings_whose_sizes_are_known_are_counted(ask: Post, worker: Callable[..., None]) -> None:
    worker()
    large = [{"width": 6000, "height": 4000}] * 8

    def peak(**asked: Any) -> int:
        return int(ask(size=2048, **asked).get_json()["peak_memory_bytes"])

    few, assumed, many = peak(paintings=[]), peak(), peak(paintings=large)
    assert few < assumed < many
    assert many - few > 200e6

    refused = ask(paintings=[*large, *large]).get_json()
    assert [error["field"] for error in refused["errors"]] == ["paintings"]


def test_before_anything_was_measured_the_time_is_unknown(
    ask: Post, worker: Callable[..., None]
) -> None:
    worker(seconds=None)
    found = ask().get_json()
    assert (found["seconds"], found["fits"]) == (None, True)
    assert found["message"].endswith("time unknown until this farm has rendered something")


def test_without_a_worker_nobody_can_tell(ask: Post) -> None:
    found = ask(size=512).get_json()
    assert (found["width"], found["height"]) == (512, 288)
    assert {found[name] for name in ("peak_memory_bytes", "seconds", "worker", "fits")} == {None}
    assert "no worker is running" in found["message"]


def test_what_fits_nowhere_is_told_with_the_numbers(ask: Post, worker: Callable[..., None]) -> None:
    worker(budget_bytes=3 * 10**9)
    found = ask().get_json()
    assert (found["fits"], found["seconds"]) == (False, None)
    assert found["peak_memory_bytes"] > 3e9
    assert "7680 x 4320 needs" in found["message"]
    assert "3.0 GB may be used. The largest size that fits here is about" in found["message"]


def test_settings_may_be_as_a_person_types_them(ask: Post, worker: Callable[..., None]) -> None:
    worker()
    assert ask(size="256", iterations="20", start_size="256").get_json()["seconds"] == pytest.approx(
        20 * 256 * 144 / 1e6 * 9
    )


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"size": 7}, "size"),
        ({"width": 0}, "width"),
        ({"height": "tall"}, "height"),
        ({"iterations": [1, 2, 3]}, "iterations"),
        ({"speed": 3}, "speed"),
        ({"width": 100_000, "height": 10, "size": 64}, "size"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(asked: dict[str, Any], field: str, ask: Post) -> None:
    response = ask(**asked)
    assert response.status_code == 422
    assert response.content_type == "application/problem+json"
    assert [error["field"] for error in response.get_json()["errors"]] == [field]


def test_what_is_not_json_is_a_problem(client: FlaskClient) -> None:
    deep = b"[" * 90_000  # deeper than a parser goes
    for data, content_type in (
        (b"{", "application/json"),
        (b"size=3", "text/plain"),
        (deep, "application/json"),
    ):
        response = client.post("/api/v1/estimate", data=data, content_type=content_type)
        assert response.status_code == 400
        assert response.content_type == "application/problem+json"


def test_the_document_describes_question_and_answer(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    asked = document["paths"]["/api/v1/estimate"]["post"]
    answer = asked["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    question = asked["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schemas = document["components"]["schemas"]
    assert {"size", "preset", "width", "height"} <= set(
        schemas[question.rpartition("/")[2]]["properties"]
    )
    assert {"peak_memory_bytes", "fits"} <= set(schemas[answer.rpartition("/")[2]]["properties"])


# Refusal


def test_the_api_refuses_what_fits_no_worker(
    post_api: Post, worker: Callable[..., None], nothing_left: Callable[[], None]
) -> None:
    worker(budget_bytes=3 * 10**9)
    response = post_api(recipe={"size": 7680})
    assert response.status_code == 422
    (error,) = response.get_json()["errors"]
    assert error["field"] == "size"
    assert "7680 x 5760 needs" in error["message"]
    assert "3.0 GB may be used" in error["message"]
    nothing_left()


def test_the_form_refuses_it_too_beside_the_field(
    post_form: Post, worker: Callable[..., None], nothing_left: Callable[[], None]
) -> None:
    worker(budget_bytes=3 * 10**9)
    response = post_form(size="7680")
    assert response.status_code == 422
    assert '<a href="#size">' in response.text
    assert "7680 x 5760 needs" in response.text
    nothing_left()


def test_where_one_worker_has_room_or_none_is_there_a_job_is_accepted(
    post_api: Post, worker: Callable[..., None]
) -> None:
    assert post_api(recipe={"size": 7680}).status_code == 202
    worker("small", budget_bytes=3 * 10**9)
    worker("large", budget_bytes=60 * 10**9)
    assert post_api(recipe={"size": 7680}).status_code == 202


# The job's page


def test_a_waiting_job_tells_what_it_needs_until_it_tells_its_time_left(
    make_job: MakeJob, client: FlaskClient, worker: Callable[..., None]
) -> None:
    def told(job: Job) -> tuple[str | None, str]:
        estimate = client.get(f"/api/v1/jobs/{job.id}").get_json()["estimate"]
        return estimate and estimate["message"], client.get(f"/jobs/{job.id}").text

    # Given a job while nobody is there
    job = make_job(size=1024, iterations=[10], start_size=1024)
    assert told(job)[0] is None

    # When a worker comes, it is named
    worker()
    message, page = told(job)
    assert message is not None
    assert message.startswith("About ")
    assert message.endswith(" GB, about 1 minute on worker@host")
    assert message in page

    # When it has taken the job
    with sessions.write_session() as session:
        assert claims.claim(session, Taker("worker@host", frozenset({job.work_class})))
    assert "about 1 minute on this worker" in told(job)[1]

    # When the job tells its own time left
    with sessions.write_session() as session:
        attempts.report(
            session, AttemptRef(job.id, 1), attempts.Progress(0.5, 1, 1, 5, 10, 33.0, 0.5, 0.1, 0.01)
        )
    message, page = told(job)
    assert message is None
    assert "33 s to go" in page
    assert "on this worker" not in page


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (20, "less than a minute"),
        (61, "about 1 minute"),
        (9.4 * 60, "about 9 minutes"),
        (42 * 60, "about 40 minutes"),
        (59 * 60, "about 1 hour"),
        (9700, "about 2 hours 40 minutes"),
        (40 * 3600 + 1900, "about 41 hours"),
    ],
)
def test_times_are_told_no_finer_than_they_are_known(seconds: float, told: str) -> None:
    assert words.format_about_time(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (20, "< 1 min"),
        (61, "1 min"),
        (42 * 60, "40 min"),
        (9700, "2 h 40 min"),
        (40 * 3600 + 1900, "41 h"),
    ],
)
def test_a_button_has_room_for_few_words(seconds: float, shown: str) -> None:
    assert words.format_short_need(3000, 2000, True, seconds) == f"6 MP · {shown}"
    assert words.format_short_need(3000, 2000, False, seconds) == "6 MP · too large"
    assert words.format_short_need(3000, 2000, None, None) == "6 MP"


@pytest.mark.slow
def test_the_forms_lines_are_a_part_of_its_page(
    client: FlaskClient, worker: Callable[..., None]
) -> None:
    def lines(**asked: Any) -> str:
        return client.get("/estimate", query_string=asked).text

    # While nobody knows the photograph, they are what the page has
    page = client.get("/").text
    parts = re.findall(r"<(?:p|small)[^>]*>[^<]*</(?:p|small)>", lines(size=512))
    assert len(parts) > 10
    assert [part for part in parts if part not in page] == []

    # With it, each size, the one that was typed, and the grid are worded
    worker()
    found = lines(size=1000, width=1600, height=900)
    assert re.search(r'id="need-2048">2.4 MP · ', found)
    assert "1000 × 562 px" in found
    assert re.search(r"9 drafts of 256 × 144 px: .* on worker@host\.", found)

    # With paintings, too; what is no size is passed over
    assert "about 1.7 GB" in lines(size=512, width=1600, height=900, painting=["x", "9x9x9"])
    assert "about 3.1 GB" in lines(size=512, width=1600, height=900, painting=["9000x11000", "x"])

    # A setting that is half typed leaves them empty
    assert "px:" not in lines(size="10 ", style_layers="relu", width=1600, height=900)
    assert "MP" not in lines(size=512, width=0, height=900)


# The form's live line, in a real browser


@pytest.mark.browser
def test_the_form_tells_live_what_the_picture_needs(
    page: Page, served: str, worker: Callable[..., None]
) -> None:
    # Given the form with a photograph of 16 : 9, chosen from the disk
    worker(budget_bytes=8 * 10**9)
    page.goto(served)
    line = page.locator("#estimate")
    expect(line).to_be_empty()
    photograph: FilePayload = {
        "name": "a.png",
        "mimeType": "image/png",
        "buffer": bad.encoded(bad.picture(160, 90), "PNG"),
    }
    page.locator("input[name=content]").set_input_files(photograph)
    expect(line).to_contain_text("512 × 288 px (0.15 megapixels): about")

    # When sizes are chosen and typed
    page.locator("[data-size='7680']").click()
    expect(line).to_contain_text("7680 × 4320 px (33 megapixels): about")
    expect(line).to_contain_text("on worker@host")
    assert "is-wrong" not in str(line.get_attribute("class"))
    page.locator("#size").fill("1000")
    expect(line).to_contain_text("1000 × 562 px")

    # When it is too large in the meantime, the line says so in the warning colour
    worker(budget_bytes=3 * 10**9)
    page.locator("[data-size='7680']").click()
    expect(line).to_contain_text("7680 x 4320 needs")
    assert "is-wrong" in str(line.get_attribute("class"))

    # When a sample is taken instead, its own shape counts
    page.get_by_role("button", name="Remove a.png").click()
    expect(line).to_be_empty()
    page.locator("input[name=content_pick][value=street]").check(force=True)
    page.locator("#size").fill("512")
    expect(line).to_contain_text("512 × ")
    assert line.get_attribute("aria-live") == "polite"


@pytest.mark.browser
def test_without_a_script_the_line_stays_empty(
    browser: Browser, served: str, worker: Callable[..., None]
) -> None:
    worker()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served)
    expect(page.locator("#estimate")).to_be_empty()
    context.close()
