"""Explorations through the API and in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import bad_pictures
import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from werkzeug.test import TestResponse

from farm import db, explore, images, jobs
from farm.models import Exploration, State
from farm.recipe import Recipe
from farm.storage import storage

pytestmark = pytest.mark.timeout(60)


def post(client: FlaskClient, headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
    files = {
        "content": (io.BytesIO(bad_pictures.photo()), "photo.jpg"),
        "style": [(io.BytesIO(bad_pictures.photo(100, 100)), "painting.jpg")],
    }
    return client.post("/api/v1/explorations", data=fields | files, headers=headers)


@pytest.fixture
def made(home: object) -> Exploration:
    """2 x 2 cells."""
    recipe = Recipe(size=1024, preset="fine")
    axes = (
        explore.axis("across", "balance", recipe, [0, 2]),
        explore.axis("down", "style_scale", recipe, [1, 2]),
    )
    photo, painting = bad_pictures.photo(), bad_pictures.photo(100, 100)
    return explore.explore(photo, [painting], recipe, *axes, name="Bridge")


def finish_one(made: Exploration) -> str:
    """A worker paints the next cell; returns its id."""
    with db.writing() as session:
        claim = jobs.claim(session, made.cells[0].work_class, "worker-1")
    assert claim
    job = claim.job
    storage().put(job.preview_key, bad_pictures.photo(96, 72))
    result = images.decode(bad_pictures.photo(96, 72), "result", 1)
    storage().put(job.result_key, images.encode(result, job.format.name))
    with db.writing() as session:
        jobs.succeed(session, job.id, claim.attempt, {"ssim": 0.5})
    return job.id


def test_one_request_makes_all_cells(client: FlaskClient) -> None:
    answer = post(
        client,
        recipe='{"size": 2048}',
        across="balance",
        across_values="[-1, 0, 1, 2]",
        down="style_loss",
        cell_size="128",
        name="Bridge",
    )

    assert answer.status_code == 202
    found = answer.get_json()
    assert found["recipe"]["size"] == 2048
    assert (len(found["across"]["labels"]), found["down"]["labels"]) == (4, ["wasserstein", "gram"])
    assert [(cell["row"], cell["column"]) for cell in found["cells"]] == [
        (row, column) for row in range(2) for column in range(4)
    ]
    assert {cell["state"] for cell in found["cells"]} == {"queued"}
    again = client.get(answer.headers["Location"])
    assert again.get_json() == found
    assert (
        client.get(
            answer.headers["Location"], headers={"If-None-Match": again.headers["ETag"]}
        ).status_code
        == 304
    )
    assert client.get("/api/v1/explorations").get_json()["items"] == [found]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"across": "colour"}, "across"),
        ({"across": "balance", "down": "balance"}, "down"),
        ({"across_values": "1, 2"}, "across_values"),
        ({"down_values": "[]"}, "down_values"),
        ({"across_values": '{"a": 1}'}, "across_values"),
        ({"across_values": '[[1], {"a": 2}]'}, "across"),
        ({"down": "style_scale", "down_values": "[9]"}, "style_scale"),
        ({"cell_size": "2048"}, "cell_size"),
        ({"cell_size": "large"}, "cell_size"),
        ({"across": "blend"}, "across"),
        ({"recipe": '{"size": 9}'}, "size"),
        ({"priority": "1"}, "priority"),
    ],
)
def test_what_is_wrong_is_named(
    client: FlaskClient, nothing_left: Callable[[], None], fields: dict[str, str], field: str
) -> None:
    answer = post(client, **fields)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]
    nothing_left()


@pytest.mark.parametrize("values", ["[NaN]", "[Infinity, 1]", "[true, false]", "[1, 1]", "{}"])
def test_values_that_are_no_numbers_are_named(client: FlaskClient, values: str) -> None:
    assert post(client, across_values=values).status_code == 422


def test_a_request_sent_twice_is_one_exploration(client: FlaskClient) -> None:
    # Given a client whose first answer was lost
    key = {"Idempotency-Key": "grid 7"}
    first = post(client, key)
    # When it asks again, it is told of the same one; and of a new one without the key
    again, other = post(client, key), post(client)
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 202)
    assert again.get_json()["id"] == first.get_json()["id"] != other.get_json()["id"]
    # When it sends something else under this key, it is told so
    assert post(client, key, name="another").status_code == 409
    assert post(client, {"Idempotency-Key": ""}).status_code == 422
    assert len(client.get("/api/v1/explorations").get_json()["items"]) == 2


def test_an_exploration_is_stopped_and_deleted(client: FlaskClient, made: Exploration) -> None:
    address = f"/api/v1/explorations/{made.id}"
    assert client.delete(address).status_code == 409
    stopped = client.post(f"{address}/cancel").get_json()
    assert {cell["state"] for cell in stopped["cells"]} == {"cancelled"}
    assert stopped["links"]["cancel"] is None
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_a_cell_opens_the_form_with_its_settings_at_full_size(
    client: FlaskClient, made: Exploration
) -> None:
    page = client.get(f"/?from={made.cells[3].id}").text
    assert 'value="1024"' in page
    assert 'name="style_scale" step="any" type="number" value="2"' in page
    assert re.search(r'<input[^>]*name="balance"[^>]*value="2"', page)


@pytest.mark.browser
def test_a_grid_fills_in_while_one_looks_and_the_best_is_painted_large(
    page: Page, served: str, made: Exploration
) -> None:
    # Given an exploration of which nothing is painted
    page.goto(f"{served}/explore/{made.id}")
    cells = page.locator(".cell")
    expect(cells).to_have_count(4)
    expect(page.locator("#done")).to_have_text("0 of 4 are finished.")

    # When its cells are painted, they appear, and the page says so
    for number in range(4):
        finish_one(made)
        expect(cells.nth(number).locator("img")).not_to_have_class("not-begun")
    expect(page.locator(".exploring")).to_have_count(0)

    # Then the keyboard chooses one, and it is sent at full size
    page.get_by_role("link", name="Choose more painting, strokes × 2").press("Enter")
    expect(page.locator("#size")).to_have_value("1024")
    expect(page.locator("#balance")).to_have_value("2")
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    recipe = page.request.get(f"{served}/api/v1{page.url.removeprefix(served)}").json()["recipe"]
    assert (recipe["size"], recipe["preset"], recipe["style_scale"]) == (1024, "fine", 2.0)
    assert recipe["content_weight"] == 0.025


@pytest.mark.browser
def test_exploring_begins_on_the_form(page: Page, served: str) -> None:
    page.goto(served)
    page.get_by_text("Mountain lake").click()
    page.get_by_text("Brushwork").click()
    page.get_by_label("From top to bottom").select_option("Balance")
    page.get_by_role("button", name="Explore").click()

    # The same axis twice is refused beside its field, and all else is kept
    expect(page.locator("#down-errors")).to_contain_text("choose another")
    page.get_by_label("From top to bottom").select_option("Smoothness")
    page.get_by_role("button", name="Explore").click()

    page.wait_for_url("**/explore/*")
    expect(page.locator(".cell")).to_have_count(9)
    with db.reading() as session:
        (made,) = explore.newest(session, 9)
    assert (made.across["name"], made.down["name"]) == ("balance", "tv")
    assert {job.state for job in made.cells} == {State.QUEUED}


def test_explorations_are_found_again(client: FlaskClient, made: Exploration) -> None:
    page = client.get("/explore").text
    assert f"/explore/{made.id}" in page
    assert "Bridge" in page
    assert made.cells[0].id not in client.get("/jobs").text
