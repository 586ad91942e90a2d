"""Pages and API of opinions: blind comparisons by mouse, keyboard and program, and the ranks."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select

from farm.database import sessions
from farm.database.models import Job, State
from farm.database.opinions import Answer, Comparison
from tests.web.conftest import token

MakeJob = Callable[..., Job]


@pytest.fixture
def pair(make_job: MakeJob) -> tuple[Job, Job]:
    """Two pictures of one photograph in two manners, in the order of their ids."""
    made = [make_job(State.SUCCEEDED, name=f"Secret {scale}", style_scale=scale) for scale in (1, 2)]
    first, second = sorted(made, key=lambda job: job.id)
    return first, second


def list_answers() -> list[Answer]:
    with sessions.read_session() as session:
        return [row.answer for row in session.scalars(select(Comparison))]


def post(client: FlaskClient, left: Job, right: Job, nearer: str) -> int:
    form = {"csrf_token": token(client), "left": left.id, "right": right.id, "nearer": nearer}
    return client.post("/compare", data=form).status_code


def test_the_page_shows_neither_names_nor_settings(client: FlaskClient, pair: tuple[Job, Job]) -> None:
    page = client.get("/compare").text.partition("<main")[2].partition("</main>")[0]
    assert "Which is nearer to the painting?" in page
    assert "Secret" not in page
    assert re.findall(r"(?i)strokes|scale|standard|draft|96", re.sub(r'="[^"]*"', "", page)) == []


def test_a_browser_answers_each_pair_once_and_a_second_answer_but_no_skip_replaces_the_first(
    client: FlaskClient, pair: tuple[Job, Job]
) -> None:
    first, second = pair
    assert post(client, second, first, "left") == 303
    assert list_answers() == [Answer.SECOND]
    assert "Nothing to compare" in client.get("/compare").text
    assert post(client, first, second, "skip") == 303
    assert list_answers() == [Answer.SECOND]
    assert post(client, first, second, "left") == 303
    assert list_answers() == [Answer.FIRST]
    # Another browser has not answered; what it skips, it may answer later
    other = client.application.test_client()
    assert "Nothing to compare" not in other.get("/compare").text
    assert post(other, first, second, "skip") == 303
    assert "Nothing to compare" in other.get("/compare").text
    assert sorted(list_answers()) == [Answer.FIRST, Answer.SKIPPED]
    assert post(other, first, second, "right") == 303
    assert sorted(list_answers()) == [Answer.FIRST, Answer.SECOND]


def test_what_is_no_answer_is_refused(
    client: FlaskClient, pair: tuple[Job, Job], make_job: MakeJob
) -> None:
    first, second = pair
    assert post(client, first, second, "middle") == 422
    assert post(client, first, first, "left") == 422
    assert post(client, first, make_job(style_scale=3), "left") == 409
    assert post(client, first, Job(id="0" * 32), "left") == 404
    assert client.post("/compare", data={"nearer": "left"}).status_code == 400
    assert list_answers() == []


def test_programs_compare_and_read_the_ranks(
    client: FlaskClient, pair: tuple[Job, Job], make_job: MakeJob
) -> None:
    ids = [job.id for job in pair]
    winner = next(job.id for job in pair if job.recipe["style_scale"] == 2)
    body = {"pictures": ids, "nearer": winner, "rater": "ann"}
    for nearer, rater in ((winner, "ann"), (winner, "bob"), (None, "cat")):
        answer = client.post("/api/v1/comparisons", json=body | {"nearer": nearer, "rater": rater})
        assert answer.status_code == 204
    client.put(f"/api/v1/jobs/{winner}/ratings/ann", json={"stars": 4})

    found = client.get("/api/v1/ranking").get_json()

    assert (found["answers"], found["skipped"]) == (2, 1)
    assert "Bradley and Terry" in found["method"]
    first, second = found["looks"]
    assert (first["place"], first["settings"], first["example"]) == (1, {"style_scale": 2.0}, winner)
    assert (first["chosen"], first["answers"], first["stars"], first["stars_count"]) == (2, 2, 4.0, 1)
    assert second["share_low"] < second["share"] < 0.5 < first["share"] < first["share_high"]
    page = client.get("/opinions").text
    assert "Size of strokes 2" in page
    assert "chosen 2 of 2 · ★ 4.0 of 5, by 1" in page
    for wrong, field in (
        ({"pictures": ids[:1]}, "pictures"),
        ({"pictures": [ids[0], ids[0]], "nearer": None}, "pictures"),
        ({"nearer": "0" * 32}, "nearer"),
        ({"rater": ""}, "rater"),
        ({"rater": "a\nb"}, "rater"),
    ):
        answer = client.post("/api/v1/comparisons", json=body | wrong)
        assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, field)


@pytest.mark.browser
def test_pictures_are_compared_with_the_keyboard(page: Page, served: str, pair: tuple[Job, Job]) -> None:
    page.goto(f"{served}/compare")
    left = page.locator("input[name=left]").input_value()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="Nothing to compare")).to_be_visible()
    assert list_answers() == [Answer.FIRST if left == pair[0].id else Answer.SECOND]


@pytest.mark.browser
def test_escape_before_the_next_two_are_there_takes_no_answer_back(
    page: Page, served: str, pair: tuple[Job, Job]
) -> None:
    # Given an answer that is stored, while what comes of it is still on its way to the browser
    late: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if route.request.method == "POST" and not late:
            route.fetch(max_redirects=0)
            late.append(route)
        else:
            route.continue_()

    page.route("**/compare", hold_the_first)
    page.goto(f"{served}/compare")
    with page.expect_request(lambda request: request.method == "POST"):
        page.keyboard.press("ArrowLeft")
    while not late:
        page.wait_for_timeout(20)
    answered = list_answers()

    # When they press Escape
    page.keyboard.press("Escape")

    # Then they are where they would have been, and the answer stays
    expect(page.get_by_role("heading", name="Nothing to compare")).to_be_visible()
    assert list_answers() == answered
    assert answered != [Answer.SKIPPED]
