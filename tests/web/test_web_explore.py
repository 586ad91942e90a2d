"""Explorations through the API and in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Exploration, State
from farm.errors import NotFound
from farm.explorations import grids
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.fleet import registry
from farm.jobs import claims, states
from farm.jobs.claims import Taker
from farm.pictures.decode import decode
from farm.pictures.encode import encode_picture
from farm.recipe import Recipe
from farm.storage import storage
from tests.web import bad_pictures
from tests.web.conftest import token
from web import words

MACHINE = registry.Machine("CPU", 16 * 10**9, "cpu", 4, True, 12 * 10**9)
PHONE: ViewportSize = {"width": 320, "height": 640}  # CSS px


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
        axis("across", "balance", recipe, [0, 2]),
        axis("down", "style_scale", recipe, [1, 2]),
    )
    photo, painting = bad_pictures.photo(), bad_pictures.photo(100, 100)
    return explore(photo, [painting], recipe, *axes, name="Bridge")


def finish_one(made: Exploration) -> str:
    """A worker paints the next cell; returns its id."""
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({made.cells[0].work_class})))
    assert claim
    job = claim.job
    storage().put(job.preview_key, bad_pictures.photo(96, 72))
    result = decode(bad_pictures.photo(96, 72), "result", 1)
    storage().put(job.result_key, encode_picture(result, job.format.name))
    with sessions.write_session() as session:
        states.succeed(session, claim.attempt, {"ssim": 0.5})
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
        ({"down": "style_scale", "down_values": "[9]"}, "down"),
        ({"cell_size": "2048"}, "cell_size"),
        ({"cell_size": "large"}, "cell_size"),
        ({"across": "blend"}, "across"),
        ({"recipe": '{"size": 9}'}, "size"),
        ({"priority": "1"}, "priority"),
    ],
)
def test_what_is_wrong_is_named(
    client: FlaskClient, nothing_left: Callable[[], None], fields: dict[str, Any], field: str
) -> None:
    answer = post(client, **fields)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]
    nothing_left()


@pytest.mark.parametrize("values", ["[NaN]", "[Infinity, 1]", "[true, false]", "[1, 1]", "{}"])
def test_values_that_are_no_numbers_are_named(client: FlaskClient, values: str) -> None:
    assert post(client, across_values=values).status_code == 422


@pytest.fixture
def worker(home: object) -> None:
    """One that is alive and knows its speed."""
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "worker-1", MACHINE)
        registry.record_speed(session, "worker-1", 9.0)


def ask(client: FlaskClient, **asked: Any) -> TestResponse:
    """Return the estimate of a grid of a picture of 4 : 3."""
    question = {"size": 2048, "width": 1600, "height": 1200}
    return client.post("/api/v1/explorations/estimate", json=question | asked)


def test_a_grid_is_estimated_by_its_axes_values_and_size(client: FlaskClient, worker: None) -> None:
    usual = ask(client).get_json()
    assert (usual["cells"], usual["width"], usual["height"]) == (9, 256, 192)
    assert (usual["workers"], usual["fits"]) == (1, True)
    assert re.fullmatch(r"9 drafts of 256 × 192 px: .* on worker-1", usual["message"])

    fewer = ask(client, across_values=[0], down="style_loss").get_json()
    assert fewer["cells"] == 2
    assert fewer["seconds"] == pytest.approx(usual["seconds"] * 2 / 9)
    smaller = ask(client, cell_size=128).get_json()
    assert (smaller["width"], smaller["height"]) == (128, 96)
    assert smaller["seconds"] < usual["seconds"] / 2


def test_what_cannot_be_estimated_is_said(client: FlaskClient) -> None:
    found = ask(client).get_json()
    assert (found["cells"], found["seconds"], found["workers"], found["fits"]) == (9, None, 0, None)
    assert "no worker is running" in found["message"]
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "worker-1", MACHINE)
    assert "time unknown" in ask(client).get_json()["message"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"across": "colour"}, "across"),
        ({"across": "style_scale"}, "down"),
        ({"down_values": [9]}, "down"),
        ({"across_values": list(range(7))}, "across"),
        ({"cell_size": 2048}, "cell_size"),
        ({"cell_size": "large"}, "cell_size"),
        ({"width": 0}, "width"),
        ({"cells": 3}, "cells"),
    ],
)
def test_what_makes_no_grid_is_not_estimated(
    client: FlaskClient, asked: dict[str, Any], field: str
) -> None:
    answer = ask(client, **asked)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]


def test_the_time_left_is_told_while_it_runs(
    client: FlaskClient, made: Exploration, worker: None
) -> None:
    address = f"/api/v1/explorations/{made.id}"
    left = client.get(address).get_json()["eta_seconds"]
    assert left > 0
    assert (
        f'class="time-left">{words.format_duration(left)} to go'
        in client.get(f"/explore/{made.id}").text
    )
    client.post(f"{address}/cancel")
    assert client.get(address).get_json()["eta_seconds"] is None


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
    assert re.search(r'<input[^>]*name="style_scale"[^>]*value="2"', page)
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
    place = cells.first.bounding_box()

    # When its cells are painted, they appear, and the page says so, without a jump
    for number in range(4):
        finish_one(made)
        expect(cells.nth(number).locator("img")).not_to_have_class("not-begun")
    expect(page.locator("#done")).to_have_text("4 of 4 are finished.")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    assert cells.first.bounding_box() == place

    # Then the keyboard chooses one, and it is sent at full size
    page.get_by_role("link", name="Choose more painting, strokes × 2").press("Enter")
    expect(page.locator("#size")).to_have_value("1024")
    expect(page.locator("#balance")).to_have_value("2")
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    recipe = page.request.get(f"{served}/api/v1{page.url.removeprefix(served)}").json()["recipe"]
    assert (recipe["size"], recipe["preset"], recipe["style_scale"]) == (1024, "fine", 2.0)
    assert recipe["content_weight"] == pytest.approx(Recipe().content_weight / 4)
    assert recipe["grown_from"] == made.cells[0].recipe["size"]


@pytest.fixture(params=["with a script", "without a script"])
def either(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A phone's page, with JavaScript and without."""
    scripted = request.param == "with a script"
    context = browser.new_context(
        java_script_enabled=scripted, viewport=PHONE, has_touch=True, is_mobile=True
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    yield context.new_page()
    context.close()


def enlarge(page: Page, words: str) -> Locator:
    page.get_by_role("link", name=f"Enlarge {words}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text(words)
    return dialog


@pytest.mark.browser
def test_a_draft_is_enlarged_and_leafed_through_with_keys(
    page: Page, served: str, made: Exploration
) -> None:
    for _ in range(3):
        finish_one(made)
    page.goto(f"{served}/explore/{made.id}")
    page.get_by_role("link", name="Enlarge in balance, strokes × 1").press("Enter")
    dialog = page.get_by_role("dialog")
    heading = dialog.get_by_role("heading")
    expect(heading).to_have_text("in balance, strokes × 1")
    expect(dialog.get_by_text("1 of 4 · Finished")).to_be_visible()

    # Arrows go as the grid lies, and from its end to its beginning
    for key, label in (
        ("ArrowRight", "more painting, strokes × 1"),
        ("ArrowDown", "more painting, strokes × 2"),
        ("ArrowRight", "in balance, strokes × 1"),
        ("ArrowLeft", "more painting, strokes × 2"),
        ("ArrowUp", "more painting, strokes × 1"),
    ):
        page.keyboard.press(key)
        expect(heading).to_have_text(label)
    assert dialog.locator("img").get_attribute("alt") == "Draft: more painting, strokes × 1"

    # Escape goes back to the cell that was looked at last
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="Enlarge more painting, strokes × 1")).to_be_focused()


@pytest.mark.browser
def test_what_is_enlarged_grows_and_is_chosen(page: Page, served: str, made: Exploration) -> None:
    # Given a draft that waits, enlarged
    page.goto(f"{served}/explore/{made.id}")
    dialog = enlarge(page, "in balance, strokes × 1")
    expect(dialog.locator("img")).to_have_class("not-begun")
    # When it is painted, it is seen to be
    finish_one(made)
    expect(dialog.locator("img")).not_to_have_class("not-begun")
    expect(dialog.get_by_text("1 of 4 · Finished")).to_be_visible()
    # And it can be chosen, as any other
    dialog.get_by_role("button", name="Next draft").click()
    expect(dialog.get_by_role("heading")).to_have_text("more painting, strokes × 1")
    address = dialog.get_by_role("link", name="Details").get_attribute("href") or ""
    assert address.endswith(made.cells[1].id)
    dialog.get_by_role("link", name="Choose this").click()
    expect(page.locator("#balance")).to_have_value("2")


@pytest.mark.browser
def test_on_a_phone_a_finger_enlarges_and_leafs(phone: Page, served: str, made: Exploration) -> None:
    phone.goto(f"{served}/explore/{made.id}")
    for target in phone.locator(".cell a").all():
        box = target.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 24, target

    phone.get_by_role("link", name="Enlarge in balance, strokes × 1").tap()
    heading = phone.get_by_role("dialog").get_by_role("heading")
    swipe(phone, 250, 60)
    expect(heading).to_have_text("more painting, strokes × 1")
    swipe(phone, 60, 250)
    expect(heading).to_have_text("in balance, strokes × 1")
    swipe(phone, 200, 190)  # hardly moved
    expect(heading).to_have_text("in balance, strokes × 1")
    phone.get_by_role("button", name="Previous draft").tap()
    expect(heading).to_have_text("more painting, strokes × 2")
    phone.get_by_role("button", name="Close").tap()
    expect(phone.get_by_role("dialog")).to_be_hidden()
    phone.get_by_role("link", name="Choose more painting, strokes × 2").tap()
    expect(phone.locator("#style_scale")).to_have_value("2")


def swipe(page: Page, start: int, end: int) -> None:
    """A finger goes over the picture from one x to another, px."""
    session = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", start), ("touchMove", (start + end) // 2), ("touchMove", end)):
        points = [{"x": x, "y": 300}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


@pytest.mark.browser
def test_without_a_script_a_finished_draft_opens_in_the_viewer(
    browser: Browser, served: str, made: Exploration
) -> None:
    finish_one(made)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served}/explore/{made.id}")
    page.get_by_role("link", name="Enlarge in balance, strokes × 1").click()
    page.wait_for_url(f"**/jobs/{made.cells[0].id}/view")
    context.close()


@pytest.mark.browser
def test_an_exploration_is_deleted_from_its_page(either: Page, served: str, made: Exploration) -> None:
    # Given an exploration that is being painted
    painted = finish_one(made)
    either.goto(f"{served}/explore/{made.id}")
    either.get_by_role("link", name="Delete").click()

    # When it shall be deleted, it is stopped first
    expect(either.get_by_text("3 of its 4 drafts have not ended")).to_be_visible()
    expect(either.get_by_role("button", name="Delete")).to_have_count(0)
    either.get_by_role("button", name="Stop the exploration").click()
    either.get_by_role("button", name="Delete the exploration").click()

    # Then the list says so, and nothing is left of it
    either.wait_for_url("**/explore")
    expect(either.get_by_role("status")).to_have_text("“Bridge” was deleted.")
    expect(either.get_by_text("Nothing explored yet")).to_be_visible()
    assert storage().list_keys(f"jobs/{painted}") == []
    with pytest.raises(NotFound):
        grids.get(made.id)


@pytest.mark.browser
def test_a_page_that_waits_for_the_end_then_asks(page: Page, served: str, made: Exploration) -> None:
    # Given an exploration that was stopped while a worker is at a cell
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({made.cells[0].work_class})))
    assert claim
    page.goto(f"{served}/explore/{made.id}/delete")
    page.get_by_role("button", name="Stop the exploration").click()
    expect(page.get_by_text("Stopping as soon as the worker notices")).to_be_visible()
    # When the worker noticed, the page asks by itself
    with sessions.write_session() as session:
        states.confirm_cancelled(session, claim.attempt)
    expect(page.get_by_role("button", name="Delete the exploration")).to_be_visible()


def test_a_deletion_that_comes_too_early_or_too_late_says_so(
    client: FlaskClient, made: Exploration
) -> None:
    address = f"/explore/{made.id}/delete"
    data = {"csrf_token": token(client)}
    early = client.post(address, data=data, follow_redirects=True)
    assert "A draft has not ended yet" in early.text
    assert early.request.path == address
    assert client.get(f"/explore/{'0' * 32}/delete").status_code == 404
    grids.cancel(made.id)
    assert "“Bridge” was deleted." in client.post(address, data=data, follow_redirects=True).text
    again = client.post(address, data=data, follow_redirects=True)
    assert "was deleted already" in again.text
    assert again.request.path == "/explore"


def test_a_list_of_explorations_offers_their_deletion(client: FlaskClient, made: Exploration) -> None:
    page = client.get("/explore").text
    assert f'href="/explore/{made.id}/delete" aria-label="Delete Bridge"' in page
    assert "0 of 4 finished" in page


def test_photograph_and_paintings_are_shown_and_had_whole(
    client: FlaskClient, made: Exploration
) -> None:
    page, cell = client.get(f"/explore/{made.id}").text, made.cells[0]
    for path, whole in (
        (f"/jobs/{cell.id}/content/whole", bad_pictures.photo()),
        (f"/jobs/{cell.id}/styles/0/whole", bad_pictures.photo(100, 100)),
    ):
        assert f'href="{path}?v=' in page
        answer = client.get(path)
        assert (answer.data, answer.content_type) == (whole, "image/jpeg")
    assert client.get(f"/jobs/{cell.id}/styles/1/whole").status_code == 404


@pytest.mark.browser
def test_the_form_says_how_long_a_grid_takes(page: Page, served: str, worker: None) -> None:
    page.goto(served)
    line = page.locator("#grid-estimate")
    expect(line).to_contain_text("as soon as there is a photograph")
    page.get_by_text("Mountain lake").click()
    expect(line).to_contain_text(re.compile(r"^9 drafts of 256 × \d+ px: .* on worker-1\.$"))
    page.get_by_label("Values across").fill("0, 1")
    expect(line).to_contain_text("6 drafts of 256 ×")
    page.get_by_label("Size of a draft").select_option("128")
    expect(line).to_contain_text("6 drafts of 128 ×")
    page.get_by_label("From left to right").select_option("Style loss")  # has other values
    expect(page.get_by_label("Values across")).to_have_value("")
    expect(page.get_by_label("Values across")).to_have_attribute("placeholder", "wasserstein, gram")
    page.get_by_label("Values down").fill("1")
    expect(line).to_contain_text("2 drafts of 128 ×")

    # And that grid is what is made
    page.get_by_text("Brushwork").click()
    page.get_by_label("Values down").press("Enter")
    page.wait_for_url("**/explore/*")
    with sessions.read_session() as session:
        (made,) = grids.list_newest(session, 9)
    assert [job.recipe["style_loss"] for job in made.cells] == ["wasserstein", "gram"]
    assert {max(job.width, job.height) for job in made.cells} == {128}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"across_values": "1, much"}, "across"),
        ({"across_values": "nan, 1"}, "across"),
        ({"down_values": "1, 40"}, "down"),
        ({"down_values": "1, 1"}, "down"),
        ({"cell_size": "large"}, "cell_size"),
        ({"cell_size": "9"}, "cell_size"),
    ],
)
def test_what_is_wrong_with_a_grid_is_said_beside_its_field(
    post_form: Callable[..., TestResponse],
    nothing_left: Callable[[], None],
    fields: dict[str, str],
    field: str,
) -> None:
    answer = post_form(path="/explore", **fields)
    assert answer.status_code == 422
    assert re.search(rf'data-errors="{field}"><p>', answer.text)
    nothing_left()


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
    with sessions.read_session() as session:
        (made,) = grids.list_newest(session, 9)
    assert (made.across["name"], made.down["name"]) == ("balance", "tv")
    assert {job.state for job in made.cells} == {State.QUEUED}


def test_explorations_are_found_again(client: FlaskClient, made: Exploration) -> None:
    page = client.get("/explore").text
    assert f"/explore/{made.id}" in page
    assert "Bridge" in page
    assert made.cells[0].id not in client.get("/jobs").text
