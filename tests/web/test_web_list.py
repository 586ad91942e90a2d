"""The list and the gallery: found, leafed through, chosen from, done to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import token
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from farm import db, jobs
from farm.models import Job, State

MakeJob = Callable[..., Job]


def names(page: str) -> list[str]:
    return re.findall(r'class="card-name">([^<]+)<', page)


@pytest.fixture
def three(make_job: MakeJob) -> list[Job]:
    """One waits, one was cancelled, one has finished."""
    return [
        make_job(State.CANCELLED, name="Canal"),
        make_job(State.SUCCEEDED, name="Bridge at dusk"),
        make_job(name="Alley"),
    ]


def test_the_address_says_what_is_shown(client: FlaskClient, three: list[Job]) -> None:
    assert names(client.get("/jobs").text) == ["Alley", "Bridge at dusk", "Canal"]
    assert names(client.get("/jobs?sort=oldest").text) == ["Canal", "Bridge at dusk", "Alley"]
    assert names(client.get("/jobs?q=BRIDGE").text) == ["Bridge at dusk"]
    assert names(client.get("/jobs?state=queued&sort=name").text) == ["Alley"]
    table = client.get("/jobs?view=table").text
    assert names(table) == []
    assert all(job.id in table for job in three)


def test_links_keep_what_else_was_asked_for(client: FlaskClient, three: list[Job]) -> None:
    page = client.get("/jobs?q=a&sort=name&view=table").text.replace("&amp;", "&")
    assert "/jobs?state=queued&q=a&sort=name&view=table" in page
    assert "/jobs?view=cards&q=a&sort=name" in page


@pytest.mark.parametrize(
    "question", ["sort=price", "view=film", "state=lost", f"q={'x' * 121}", "cursor=xyz"]
)
@pytest.mark.parametrize("address", ["/jobs", "/gallery"])
def test_what_cannot_be_asked_for_is_named(client: FlaskClient, address: str, question: str) -> None:
    answer = client.get(f"{address}?{question}")
    ignored = address == "/gallery" and question.startswith("view")
    assert answer.status_code == (200 if ignored else 422)


def test_the_gallery_shows_what_is_finished(client: FlaskClient, three: list[Job]) -> None:
    page = client.get("/gallery").text
    assert "Bridge at dusk" in page
    assert "Alley" not in page
    assert "Canal" not in page


def test_a_page_says_beforehand_what_would_be_deleted(client: FlaskClient, three: list[Job]) -> None:
    form = {"csrf_token": token(client), "action": "delete", "ids": [job.id for job in three]}

    plan = client.post("/jobs/bulk", data=form).text

    assert "2 pictures will be deleted" in plan
    assert "1 stays as it is" in plan
    assert "cancel it first" in plan
    with db.reading() as session:
        assert session.query(Job).count() == 3

    done = client.post("/jobs/bulk/do", data=form, follow_redirects=True).text
    assert "2 deleted" in done
    assert names(done) == ["Alley"]


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"action": "burn", "ids": "0" * 32}, 422),
        ({"action": "delete", "ids": [f"{n:032x}" for n in range(201)]}, 422),
        ({"action": "delete"}, 303),
        ({"action": "delete", "ids": "../../etc/passwd"}, 200),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_a_wrong_choice_does_nothing(
    client: FlaskClient, three: list[Job], form: dict[str, Any], status: int, signed: bool
) -> None:
    sent = form | ({"csrf_token": token(client)} if signed else {})
    # more ids than a form may have parts is as clear
    assert client.post("/jobs/bulk", data=sent).status_code in ((status, 413) if signed else (400, 413))
    with db.reading() as session:
        assert session.query(Job).count() == 3


def test_the_api_does_much_at_once_or_says_what_it_would(client: FlaskClient, three: list[Job]) -> None:
    ids = [job.id for job in three]
    asked = {"action": "cancel", "ids": [*ids, "0" * 32], "dry_run": True}

    plan = client.post("/api/v1/jobs/bulk", json=asked).get_json()["items"]
    assert [(item["id"], item["done"], item["refusal"] is None) for item in plan] == [
        (ids[0], False, False),
        (ids[1], False, False),
        (ids[2], False, True),
    ]

    done = client.post("/api/v1/jobs/bulk", json=asked | {"dry_run": False}).get_json()["items"]
    assert [item["done"] for item in done] == [False, False, True]
    with db.reading() as session:
        assert jobs.state_of(session, ids[2]) is State.CANCELLED


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"action": "burn", "ids": ["0" * 32]},
        {"action": "delete", "ids": []},
        {"action": "delete", "ids": ["x"]},
    ],
)
def test_the_api_names_a_wrong_choice(client: FlaskClient, asked: dict[str, Any]) -> None:
    answer = client.post("/api/v1/jobs/bulk", json=asked)
    assert answer.status_code == 422
    assert {error["field"].partition(".")[0] for error in answer.get_json()["errors"]} <= {
        "action",
        "ids",
    }


def test_the_api_leafs_both_ways(client: FlaskClient, three: list[Job]) -> None:
    first = client.get("/api/v1/jobs?limit=2&sort=name").get_json()
    second = client.get(f"/api/v1/jobs?limit=2&sort=name&cursor={first['next_cursor']}").get_json()
    again = client.get(f"/api/v1/jobs?limit=2&sort=name&cursor={second['previous_cursor']}").get_json()
    assert [job["name"] for job in first["items"] + second["items"]] == [
        "Alley",
        "Bridge at dusk",
        "Canal",
    ]
    assert again["items"] == first["items"]
    assert (first["previous_cursor"], second["next_cursor"]) == (None, None)
    wrong = client.get(f"/api/v1/jobs?cursor={first['next_cursor']}")
    assert wrong.status_code == 422
    assert "another order" in wrong.get_json()["detail"]


@pytest.mark.browser
@pytest.mark.parametrize("view", ["cards", "table"])
def test_jobs_are_chosen_with_the_keyboard_and_deleted(
    page: Page, served: str, three: list[Job], view: str
) -> None:
    # Given a list where nothing is chosen, so that nothing can be done
    page.goto(f"{served}/jobs?view={view}")
    delete = page.get_by_role("button", name="Delete …")
    expect(delete).to_be_disabled()

    # When all are chosen, and one is let go again
    page.get_by_label("All on this page").press("Space")
    expect(page.locator("#selected")).to_have_text("3 selected")
    page.get_by_label("Select Alley").press("Space")
    expect(page.locator("#selected")).to_have_text("2 selected")
    delete.press("Enter")

    # Then a page says what will be done, and it is done
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete?")
    page.get_by_role("button", name="Delete 2").press("Enter")
    expect(page.get_by_text("2 deleted.")).to_be_visible()
    expect(page.locator("[data-id]")).to_have_count(1)


@pytest.mark.browser
def test_shift_chooses_all_between(page: Page, served: str, three: list[Job]) -> None:
    page.goto(f"{served}/jobs?view=table")
    page.get_by_label("Select Alley").click()
    page.get_by_label("Select Canal").click(modifiers=["Shift"])
    expect(page.locator("#selected")).to_have_text("3 selected")


@pytest.mark.browser
def test_a_choice_outlasts_a_refresh(page: Page, served: str, three: list[Job]) -> None:
    page.goto(f"{served}/jobs?view=table")
    page.get_by_label("Select Alley").check()
    with db.writing() as session:
        jobs.cancel(session, three[2].id)
    expect(page.locator(f'[data-id="{three[2].id}"]')).to_contain_text("Cancelled", timeout=15_000)
    expect(page.get_by_label("Select Alley")).to_be_checked()
    expect(page.locator("#selected")).to_have_text("1 selected")


@pytest.mark.browser
def test_without_javascript_jobs_are_cancelled_too(browser: Any, served: str, three: list[Job]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served}/jobs")
    page.get_by_label("Select Alley").check()
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_text("1 cancelled.")).to_be_visible()
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("address", ["/jobs", "/jobs?view=table", "/gallery"])
def test_lists_fit_a_narrow_window(page: Page, served: str, three: list[Job], address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{served}{address}")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
