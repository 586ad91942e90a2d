"""The form in a real browser: a draft that stays, sliders that blend, sizes with what they need."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from benchmarks.testbed.processes import wait_for
from farm.database import sessions
from farm.database.models import Job
from farm.fleet import registry
from farm.fleet.registry import Machine
from tests.browser.drafts import find_kept_file

SAMPLES = Path(__file__).parent.parent.parent / "samples"
CARD = Machine("a card", 8_000_000_000, "cuda", 2, False, 8_000_000_000)


def with_a_worker() -> None:
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "worker-1", CARD)
        registry.record_speed(session, "worker-1", 0.5)


def test_several_sizes_are_estimated_at_once(client: FlaskClient) -> None:
    with_a_worker()
    asked = {"width": 3000, "height": 2000, "size": 600, "sizes": [512, 7680]}

    found = client.post("/api/v1/estimates", json=asked).get_json()["items"]

    assert [(item["width"], item["height"]) for item in found] == [(512, 341), (7680, 5120), (600, 400)]
    alone = client.post("/api/v1/estimate", json={"width": 3000, "height": 2000, "size": 600})
    assert found[2] == alone.get_json()
    assert found[0]["seconds"] < found[1]["seconds"]


def test_a_size_that_does_not_go_with_the_recipe_is_left_out(client: FlaskClient) -> None:
    asked = {"width": 300, "height": 200, "size": 128, "iterations": [5], "sizes": [9, 256]}
    found = client.post("/api/v1/estimates", json=asked).get_json()["items"]
    assert [item is None for item in found] == [True, False, False]


@pytest.mark.parametrize("wrong", [{"sizes": [1] * 21}, {"sizes": "all"}, {}, {"sizes": [], "width": 0}])
def test_a_wrong_question_is_named(client: FlaskClient, wrong: dict) -> None:
    answer = client.post("/api/v1/estimates", json={"width": 300, "height": 200} | wrong)
    assert answer.status_code == 422


def test_a_job_of_an_older_version_is_made_again_as_it_was_and_says_so(
    make_job: Callable[..., Job], client: FlaskClient
) -> None:
    # Given a job whose recipe is of 0.1
    old = make_job(version="0.1", size=128)
    # When its form is opened again
    page = client.get(f"/?from={old.id}").text
    # Then the form says so, and has its settings
    assert "As version 0.1 painted it" in page
    assert re.search(r'name="version"[^>]*value="0.1"', page)
    assert "150 iterations at the first size, 40 at the last" in page
    assert 'value="relu1_1=1,relu2_1=1,relu3_1=1,relu4_1=1,relu5_1=1"' in page
    # And offers those of today
    newest = client.get(f"/?from={old.id}&settings=newest").text
    assert "As version" not in newest
    assert re.search(r'name="version"[^>]*value="0.2"', newest)
    assert re.search(r'name="size"[^>]*value="128"', newest)
    # And its commands name the version
    assert "--version 0.1" in client.get(f"/jobs/{old.id}").text


@pytest.mark.browser
def test_each_size_says_how_large_and_how_long(page: Page, served: str) -> None:
    with_a_worker()
    page.goto(served)
    page.get_by_text("Mountain lake").click()
    chip = page.locator('[data-size="2048"]')
    expect(chip).to_contain_text("2.8 MP · ")
    expect(chip).to_contain_text("min")


@pytest.mark.browser
def test_the_balance_reads_as_how_much_the_photograph_counts(page: Page, served: str) -> None:
    page.goto(served)
    slider, words = page.get_by_role("slider", name="Balance"), page.locator("#balance-words")
    weight = page.locator("#content_weight")
    for stops, text in (
        ("4", "The paintings rule; the photograph counts 16 times less."),
        ("2", "More painting: the photograph counts 4 times less."),
        ("-0.25", "More photograph: it counts 1.2 times more."),
        ("-3", "The photograph rules; it counts 8 times more."),
        ("0", "In the middle: both have their say."),
    ):
        slider.fill(stops)
        expect(words).to_have_text(text)
    # A weight that is typed goes before the slider, whether or not it has such a place.
    page.get_by_text("Advanced settings").click()
    for typed, text in (
        ("0.02", "More painting: the photograph counts 3 times less."),
        ("0", "As the content weight below says."),
    ):
        weight.fill(typed)
        expect(words).to_have_text(text)


@pytest.mark.browser
def test_paintings_are_blended_by_sliders(page: Page, served: str) -> None:
    # Given one painting, there is nothing to blend
    page.goto(served)
    page.get_by_text("Mountain lake").click()
    page.get_by_text("Brushwork").click()
    expect(page.locator("#blend-sliders")).to_be_hidden()

    # When a second and a third come, a sample and a file
    page.get_by_text("Ink wash").click()
    page.locator("input[name=style]").set_input_files(SAMPLES / "mosaic.jpg")
    sliders = page.locator("#blend-sliders")
    expect(sliders.get_by_role("slider")).to_have_count(3)
    sliders.get_by_label("Ink wash").fill("0")
    expect(sliders.locator("output")).to_have_text(["50 %", "0 %", "50 %"])

    # Then the job has these weights
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    recipe = page.request.get(f"{served}/api/v1{page.url.removeprefix(served)}/recipe").json()
    assert recipe["blend"] == [50.0, 0.0, 50.0]

    # And the form shows them again
    page.get_by_role("link", name="Again, with changes").click()
    expect(page.locator("#blend-sliders output")).to_have_text(["50 %", "0 %", "50 %"])


@pytest.mark.browser
def test_a_draft_stays_until_it_is_sent(page: Page, served: str) -> None:
    # Given a form half filled in
    page.goto(served)
    page.locator("input[name=content]").set_input_files(SAMPLES / "street.jpg")
    page.get_by_text("Ink wash").click()
    page.get_by_role("radio", name="Draft").check()
    page.get_by_label("Longest side, px").fill("320")
    page.get_by_label("Name", exact=True).fill("Street in ink")
    kept = "localStorage.getItem('style-farm draft 0.2')?.includes('Street in ink')"
    wait_for(lambda: page.evaluate(kept) and find_kept_file(page, "content"))

    # When the page is loaded again, all is there, the file too
    page.reload()
    expect(page.locator('[data-drop="content"] figcaption')).to_have_text("street.jpg")
    expect(page.get_by_label("Longest side, px")).to_have_value("320")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Street in ink")
    expect(page.get_by_role("radio", name="Draft")).to_be_checked()
    expect(page.locator('input[name=style_pick][value="ink_wash"]')).to_be_checked()

    # And once it is sent, which Enter does too, the next form is empty
    page.get_by_label("Name", exact=True).press("Enter")
    page.wait_for_url("**/jobs/*")
    page.goto(served)
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    expect(page.locator('[data-drop="content"] figcaption')).to_have_count(0)


SLOW_TO_OPEN = """
const open = IDBFactory.prototype.open;
IDBFactory.prototype.open = function (...named) {
  const opened = open.apply(this, named);
  const later = (act) => opened.addEventListener("success", () => setTimeout(act, 500));
  return Object.defineProperty(opened, "onsuccess", { set: later });
};
"""


@pytest.mark.browser
def test_a_photograph_chosen_before_the_draft_is_back_is_kept(page: Page, served: str) -> None:
    page.add_init_script(SLOW_TO_OPEN)
    page.goto(served)
    page.locator("input[name=content]").set_input_files(SAMPLES / "street.jpg")
    wait_for(lambda: find_kept_file(page, "content"), 30)
    page.reload()
    expect(page.locator('[data-drop="content"] figcaption')).to_have_text("street.jpg")


@pytest.mark.browser
def test_a_weight_that_was_typed_outlasts_loading_again(page: Page, served: str) -> None:
    page.goto(served)
    page.get_by_text("Advanced settings").click()
    page.get_by_label("Content weight").fill("0.24")
    kept = "localStorage.getItem('style-farm draft 0.2')?.includes('0.24')"
    wait_for(lambda: page.evaluate(kept), 10)

    page.reload()

    expect(page.get_by_label("Content weight")).to_have_value("0.24")
    expect(page.locator("#balance-words")).to_contain_text("4 times more")
