"""Large pictures of finished ones, through the API, the command line and the form."""

from __future__ import annotations

import io
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from farm.cli import main
from farm.database import sessions
from farm.database.models import Job, State
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.jobs import states
from farm.recipe import Recipe
from farm.storage import storage
from tests.web import bad_pictures
from tests.web.conftest import bring_to

Make = Callable[..., Job]


def grow(client: FlaskClient, job_id: str, recipe: str = '{"size": 200}', **others: Any) -> TestResponse:
    data = {"from_job": job_id, "recipe": recipe} | others
    return client.post("/api/v1/jobs", data=data, content_type="multipart/form-data")


def load(job_id: str) -> Job:
    with sessions.read_session() as session:
        return states.get(session, job_id)


def is_grown_from(job: Job, draft: Job) -> bool:
    assert job.start
    same = [each.upload.sha256 for each in draft.sources] == [
        each.upload.sha256 for each in job.sources if each is not job.start
    ]
    return same and storage().get(job.start.upload.key) == storage().get(draft.result_key)


def test_a_program_grows_a_finished_job(client: FlaskClient, make_job: Make) -> None:
    draft = make_job(State.SUCCEEDED, tv_weight=2.5)
    answer = grow(client, draft.id)
    assert answer.status_code == 202
    job = load(answer.get_json()["id"])
    assert is_grown_from(job, draft)
    assert (job.name, job.width) == (draft.name, 200)
    assert (job.recipe["tv_weight"], job.recipe["grown_from"]) == (2.5, 96)


@pytest.mark.parametrize(
    ("state", "recipe", "field"),
    [
        (State.RUNNING, '{"size": 200}', "from_job"),
        (State.SUCCEEDED, '{"size": 96}', "size"),
        (State.SUCCEEDED, "", "size"),
        (State.SUCCEEDED, '{"size": 200, "colour_strength": 2}', "colour_strength"),
    ],
)
def test_what_cannot_grow_is_answered_in_words(
    state: State, recipe: str, field: str, client: FlaskClient, make_job: Make
) -> None:
    answer = grow(client, make_job(state).id, recipe)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]


def test_a_request_that_grows_nothing_still_needs_a_photograph(client: FlaskClient) -> None:
    answer = grow(client, "")
    assert answer.get_json()["errors"][0]["field"] == "content"


def test_a_finished_job_grows_on_the_command_line(served: str, make_job: Make) -> None:
    draft = make_job(State.SUCCEEDED)
    ran = CliRunner().invoke(main, ["grow", draft.id, "--size", "200", "--url", served])
    assert ran.exit_code == 0, ran.output
    job = load(ran.stdout.split()[-1])
    assert is_grown_from(job, draft)
    ran = CliRunner().invoke(main, ["grow", draft.id, "--size", "64", "--url", served])
    assert ran.exit_code == 1
    assert "the picture that grows has 96 already" in ran.output


class _Fields(HTMLParser):
    """Reader of what a browser sends of a form that nobody touched, but for files."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind, value = given.get("name") or "", given.get("type"), given.get("value") or ""
        off = kind in ("radio", "checkbox") and "checked" not in given
        if tag == "input" and name and kind != "file" and not off:
            self.sent.append((name, value))
        if tag == "select":
            self._select = name
        if tag == "option" and self._select and "selected" in given:
            self.sent.append((self._select, value))


def fill_in(client: FlaskClient, path: str, **changed: str) -> MultiDict[str, str]:
    """The fields of the form that are sent at an address with some fields changed."""
    page = _Fields()
    page.feed(client.get(path).text)
    data = MultiDict(page.sent)
    for name, value in changed.items():
        data[name] = value
    return data


def test_the_page_of_a_finished_job_offers_to_make_it_large(client: FlaskClient, make_job: Make) -> None:
    draft = make_job(State.SUCCEEDED)
    assert "Make it large (256 px)" in client.get(f"/jobs/{draft.id}").text
    data = fill_in(client, f"/?from={draft.id}&size=256&grow=1")
    answer = client.post("/", data=data)
    assert answer.status_code == 303
    job = load(answer.location.rpartition("/")[2])
    assert is_grown_from(job, draft)
    assert (job.width, job.recipe["init"], job.recipe["grown_from"]) == (256, "picture", 96)

    # Once more with changes, it begins from the same start again
    again = client.post("/", data=fill_in(client, f"/?from={job.id}", seed="3"))
    more = load(again.location.rpartition("/")[2])
    assert more.start
    assert job.start
    assert more.start.upload.sha256 == job.start.upload.sha256


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": "90"}, "Longest side is 90 px, and the picture that grows has 96 already"),
        ({"style_pick": "mosaic"}, "was made from other pictures than were sent"),
        ({"grown_from": "80"}, "Picture to begin from is missing"),
    ],
)
def test_a_form_that_grows_nothing_says_why(
    changed: dict[str, str], said: str, client: FlaskClient, make_job: Make
) -> None:
    draft = make_job(State.SUCCEEDED)
    answer = client.post("/", data=fill_in(client, f"/?from={draft.id}&size=256&grow=1", **changed))
    assert answer.status_code == 422
    assert said in answer.text


def test_a_picture_of_ones_own_is_sent_by_the_form(post_form: Callable[..., TestResponse]) -> None:
    own = bad_pictures.photo(80, 60)
    answer = post_form(start=(io.BytesIO(own), "own.png"))
    assert answer.status_code == 303
    job = load(answer.location.rpartition("/")[2])
    assert job.start
    assert storage().get(job.start.upload.key) == own
    assert job.recipe["init"] == "picture"
    assert post_form(init="picture").status_code == 422  # and none was sent
    assert post_form(start=(io.BytesIO(bad_pictures.photo(60, 60)), "own.png")).status_code == 422


def test_a_finished_cell_that_is_chosen_grows_from_its_pixels(client: FlaskClient) -> None:
    recipe = Recipe(size=512, preset="fine")
    sides = axis("across", "balance", recipe, [0]), axis("down", "style_scale", recipe, [1])
    styles = [bad_pictures.photo(100, 100)]
    made = explore(bad_pictures.photo(160, 120), styles, recipe, *sides, size=96)
    cell, path = made.cells[0], f"/explore/{made.id}"
    assert "grow=1" not in client.get(path).text
    bring_to(cell, State.SUCCEEDED)
    assert f"?grow=1&amp;from={cell.id}" in client.get(path).text
    answer = client.post("/", data=fill_in(client, f"/?from={cell.id}&grow=1"))
    job = load(answer.location.rpartition("/")[2])
    assert is_grown_from(job, load(cell.id))
    assert (job.width, job.recipe["preset"], job.recipe["grown_from"]) == (512, "fine", 96)
