"""The slider between photograph and painting: drafts of a picture, blended in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.testbed.processes import wait_for
from farm.database import sessions
from farm.database.models import Exploration, Job, State
from farm.explorations import grids, sliders
from farm.explorations.axes import axis
from farm.jobs import actions, attempts, claims, states
from farm.jobs.claims import Taker
from farm.people.visitors import ANYBODY
from farm.recipe import Recipe
from farm.storage import storage
from tests.web import bad_pictures
from tests.web.conftest import token

PIXEL = """([x, y]) => { const canvas = document.getElementById("slider-picture");
    return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3); }"""


def paint(found: Exploration, *greys: int) -> None:
    """A worker paints all drafts, each in one grey."""
    for grey in greys:
        with sessions.write_session() as session:
            claim = claims.claim(session, Taker("worker-1", frozenset({found.cells[0].work_class})))
        assert claim
        file = io.BytesIO()
        Image.new("RGB", (96, 72), (grey, grey, grey)).save(file, "JPEG", quality=95)
        for key in (claim.job.preview_key, claim.job.result_key):
            storage().put(key, file.getvalue())
        with sessions.write_session() as session:
            attempts.record_preview(session, claim.attempt)
            states.succeed(session, claim.attempt, {})


def make_grid(*, across: str = "balance") -> Exploration:
    """Two balances and two sizes of strokes."""
    recipe = Recipe(size=96, content_weight=0.04)
    down = "style_scale" if across == "balance" else "balance"
    sides = [
        axis(side, name, recipe, [-1, 1] if name == "balance" else [1, 2])
        for side, name in (("across", across), ("down", down))
    ]
    return grids.explore(bad_pictures.photo(), [bad_pictures.photo(100, 100)], recipe, *sides, size=96)


@pytest.mark.parametrize("across", ["balance", "style_scale"])
def test_a_row_goes_from_photograph_to_painting_whichever_side_varies(home: object, across: str) -> None:
    rows = sliders.list_rows(make_grid(across=across))
    assert [row.label for row in rows] == ["strokes × 1", "strokes × 2"]
    for number, row in enumerate(rows):
        assert [cell.content_weight for cell in row.cells] == [0.08, 0.02]
        for cell in row.cells:
            assert cell.job.recipe["content_weight"] == cell.content_weight
            assert cell.job.recipe["style_scale"] == number + 1


def test_a_grid_without_a_balance_has_no_slider(home: object) -> None:
    recipe = Recipe(size=96)
    sides = axis("across", "tv", recipe), axis("down", "style_scale", recipe)
    found = grids.explore(bad_pictures.photo(), [bad_pictures.photo(100, 100)], recipe, *sides, size=96)
    assert sliders.list_rows(found) == []


def test_a_slider_is_made_once_of_a_finished_picture(
    client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    # Given a finished picture, its page offers a slider
    job = make_job(State.SUCCEEDED, content_weight=0.1, style_scale=2)
    csrf = {"csrf_token": token(client)}
    assert "Make a slider" in client.get(f"/jobs/{job.id}").text

    # When it is made, twice and after a change of the name, there is one row of drafts with its settings
    for _ in range(2):
        assert client.post(f"/jobs/{job.id}/slider", data=csrf).status_code == 303
        actions.rename(job.id, "Another name")
    with sessions.read_session() as session:
        (found,) = grids.list_newest(session, 9)
        assert sliders.find_slider(session, job, ANYBODY) is session.get(Exploration, found.id)
        recipes = [cell.recipe for cell in found.cells]
    assert [recipe["content_weight"] for recipe in recipes] == [1.6, 0.4, 0.1, 0.025, 0.00625]
    assert {(recipe["style_scale"], recipe["size"], recipe["preset"]) for recipe in recipes} == {
        (2.0, 96, "draft")
    }
    page = client.get(f"/jobs/{job.id}").text
    assert "Make a slider" not in page
    assert f"/explore/{found.id}" in page

    # When its drafts are painted, it is there; when it is deleted, it may be made anew
    paint(found, *[100] * 5)
    assert 'id="live-slider"' in client.get(f"/jobs/{job.id}").text
    grids.forget(found.id)
    assert "Make a slider" in client.get(f"/jobs/{job.id}").text


def test_a_picture_without_weight_of_the_photograph_has_no_slider(
    client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    job = make_job(State.SUCCEEDED, content_weight=0)
    assert "Make a slider" not in client.get(f"/jobs/{job.id}").text
    sent = client.post(f"/jobs/{job.id}/slider", data={"csrf_token": token(client)})
    assert "no balance to change" in client.get(sent.headers["Location"]).text


def test_a_job_without_a_picture_has_no_slider(
    client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    job = make_job(State.CANCELLED)
    sent = client.post(f"/jobs/{job.id}/slider", data={"csrf_token": token(client)})
    assert "there is no picture to make a slider of" in client.get(sent.headers["Location"]).text
    with sessions.read_session() as session:
        assert sliders.find_slider(session, job, ANYBODY) is None


def test_the_form_takes_a_balance_between_two_drafts(client: FlaskClient) -> None:
    cell = make_grid().cells[0]
    for weight, place, typed in (("0.06", "0", ""), ("0.03", "1", ""), ("0.0417", "0", "0.0417")):
        page = client.get(f"/?from={cell.id}&content_weight={weight}").text
        assert re.search(rf'name="balance"[^>]* value="{place}"', page), weight
        assert re.search(rf'name="content_weight"[^>]* value="{typed}"', page), weight
    for wrong in ("nan", "-1", "x", "inf"):
        assert client.get(f"/?from={cell.id}&content_weight={wrong}").status_code == 200


def draw_across(page: Page) -> str | None:
    """Draw across the slider's picture, which may still be moving; return the words of where it is."""
    picture = page.locator("#slider-picture")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box
    page.mouse.move(box["x"] + 5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 20, steps=3)
    page.mouse.up()
    return page.get_by_role("slider", name="Balance between").get_attribute("aria-valuetext")


@pytest.mark.browser
def test_drafts_are_blended_by_their_shares(page: Page, served: str) -> None:
    # Given an exploration without drafts, there is nothing to blend
    found = make_grid()
    page.goto(f"{served}/explore/{found.id}")
    section = page.locator("#live-slider")
    expect(section).to_be_hidden()

    # When its drafts are painted, the slider comes by itself, half way between the two
    paint(found, 40, 200, 60, 100)
    expect(section).to_be_visible(timeout=30_000)
    slider = page.get_by_role("slider", name="Balance between")
    assert page.evaluate(PIXEL, [50, 30]) == pytest.approx([120] * 3, abs=2)

    # And moves by keys to any share, whose words and weight go with it
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "more photograph")
    assert page.evaluate(PIXEL, [50, 30]) == pytest.approx([40] * 3, abs=2)
    for _ in range(5):
        slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^25 % of the way"))
    assert page.evaluate(PIXEL, [50, 30]) == pytest.approx([80] * 3, abs=2)
    choose = page.get_by_role("link", name="Choose this balance")
    expect(choose).to_have_attribute(
        "href", re.compile(rf"from={found.cells[0].id}&content_weight=0\.0566$")
    )

    # And another row is blended alike, by drawing across the picture
    page.get_by_label("Row").select_option("strokes × 2")
    wait_for(lambda: draw_across(page) == "more painting", seconds=30)
    assert page.evaluate(PIXEL, [50, 30]) == pytest.approx([100] * 3, abs=2)
    choose.click()
    expect(page.locator("#content_weight")).to_have_value("0.02")
