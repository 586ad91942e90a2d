"""Large pictures of finished ones, through the API, the command line and the form."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from farm.cli import main
from farm.database import sessions
from farm.database.models import Job, State
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.fleet import registry
from farm.jobs import actions, states
from farm.recipe import Recipe
from farm.storage import storage
from tests.browser.usable import complaints
from tests.web import bad_pictures
from tests.web.conftest import bring_to

Make = Callable[..., Job]
MACHINE = registry.Machine("CPU", 16 * 10**9, "cpu", 4, False, 12 * 10**9)


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


@pytest.mark.parametrize("by", ["API", "command line", "form"])
def test_a_look_makes_the_manner_of_a_growing_picture_but_for_its_start(
    by: str, client: FlaskClient, served: str, make_job: Make, tmp_path: Path
) -> None:
    # Given a look that begins from noise with strokes of the usual size, and a job that has others
    settings = {"version": "0.2", "init": "noise", "tv_weight": 3.0}
    look_id = client.post("/api/v1/looks", json={"name": "Fog", "settings": settings}).get_json()["id"]
    draft = make_job(State.SUCCEEDED, style_scale=2.0, seed=7)
    # When it grows with that look
    if by == "API":
        job_id = grow(client, draft.id, look=look_id).get_json()["id"]
    elif by == "form":
        data = fill_in(client, f"/?from={draft.id}&size=200&grow=1", look=look_id)
        page = _Fields()
        page.feed(client.post("/look", data=data).text)
        job_id = client.post("/", data=MultiDict(page.sent)).location.rpartition("/")[2]
    else:
        sent = ["grow", draft.id, "--size", "200", "--look", "Fog", "--url", served]
        ran = CliRunner().invoke(main, sent)
        assert ran.exit_code == 0, ran.output
        job_id = ran.stdout.split()[-1]
        # And with the recipe of another picture, whose start is not this one's
        (tmp_path / "recipe.json").write_text(json.dumps(draft.recipe | {"size": 200, "grown_from": 64}))
        ran = CliRunner().invoke(
            main, ["grow", draft.id, "--recipe", str(tmp_path / "recipe.json"), "--url", served]
        )
        assert ran.exit_code == 0, ran.output
    # Then it has the look's manner and goes on from the finished picture
    job = load(job_id)
    assert is_grown_from(job, draft)
    found = {name: job.recipe[name] for name in ("init", "tv_weight", "style_scale", "seed")}
    assert found == {"init": "picture", "tv_weight": 3.0, "style_scale": 1.0, "seed": 7}


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
        ({"grown_from": "80"}, "Grown from is 80, and the picture that grows has 96 px; leave it out"),
        ({"init": "noise"}, "Begin from is noise, and the finished picture is the start; leave it out"),
    ],
)
def test_a_form_that_grows_nothing_says_why(
    changed: dict[str, str], said: str, client: FlaskClient, make_job: Make
) -> None:
    draft = make_job(State.SUCCEEDED)
    answer = client.post("/", data=fill_in(client, f"/?from={draft.id}&size=256&grow=1", **changed))
    assert answer.status_code == 422
    assert said in answer.text
    assert 'data-grown-from="96"' in answer.text


@pytest.mark.parametrize(
    ("field", "count", "said"),
    [
        ("start", 1, "Picture to begin from came, and the finished picture is the start; leave it out"),
        ("mask", 2, "Mask came, and a picture that grows has the finished job&#39;s own; leave it out"),
        ("keep", 1, "What stays came, and a picture that grows has the finished job&#39;s own"),
        ("keep", 2, "What stays is one file; 2 were sent"),
    ],
)
def test_files_that_a_growing_picture_has_already_are_refused_as_by_the_api(
    field: str, count: int, said: str, client: FlaskClient, make_job: Make
) -> None:
    draft = make_job(State.SUCCEEDED)
    data = fill_in(client, f"/?from={draft.id}&size=256&grow=1").to_dict(flat=False)
    files = [(io.BytesIO(bad_pictures.photo(160, 120)), "a.jpg") for _ in range(count)]
    answer = client.post("/", data=data | {field: files})
    assert (answer.status_code, said in answer.text) == (422, True), answer.text
    name = "init" if field == "start" else field
    files = [(io.BytesIO(bad_pictures.photo(160, 120)), "a.jpg") for _ in range(count)]
    others: dict[str, Any] = {name: files}
    assert grow(client, draft.id, **others).get_json()["errors"][0]["field"] == name


def test_a_growing_form_has_no_fields_for_what_the_finished_job_has(
    client: FlaskClient, make_job: Make
) -> None:
    draft = make_job(State.SUCCEEDED)
    sent = dict(fill_in(client, f"/?from={draft.id}&size=256&grow=1"))
    assert sent["grow"] == "1"
    assert not {"init", "grown_from"} & sent.keys()
    page = client.get(f"/?from={draft.id}&size=256&grow=1").text
    assert 'name="start"' not in page
    # And a size that is too small is not silently another picture
    small = client.post("/", data=fill_in(client, f"/?from={draft.id}&size=64&grow=1"))
    assert "Longest side is 64 px, and the picture that grows has 96 already" in small.text


def test_a_look_that_is_taken_meanwhile_leaves_it_growing(client: FlaskClient, make_job: Make) -> None:
    draft = make_job(State.SUCCEEDED, colour="photograph")
    data = fill_in(client, f"/?from={draft.id}&size=256&grow=1", look="oil")
    page = _Fields()
    page.feed(client.post("/look", data=data).text)
    answer = client.post("/", data=MultiDict(page.sent))
    assert answer.status_code == 303
    job = load(answer.location.rpartition("/")[2])
    assert is_grown_from(job, draft)
    assert job.recipe.get("colour", "painting") == "painting"


def test_a_growing_form_neither_explores_nor_outlives_the_finished_job(
    client: FlaskClient, make_job: Make
) -> None:
    draft = make_job(State.SUCCEEDED)
    data = fill_in(client, f"/?from={draft.id}&size=256&grow=1")
    explored = client.post("/explore", data=data)
    assert "The job to grow makes one larger picture; begin anew to explore" in explored.text
    assert 'href="#from_job"' not in explored.text
    actions.delete(draft.id)
    answer = client.post("/", data=data)
    assert "The job to grow is no job that is here; perhaps it was deleted" in answer.text
    assert 'name="grow" type="hidden" value=""' in answer.text


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
def test_another_kind_of_body_is_told_what_to_send(
    kind: str, client: FlaskClient, make_job: Make
) -> None:
    fields = {"from_job": make_job(State.SUCCEEDED).id, "recipe": '{"size": 200}'}
    body = {"json": fields} if kind == "application/json" else {"data": fields}
    answer = client.post("/api/v1/jobs", content_type=kind, **body)
    assert answer.status_code == 415
    assert answer.get_json()["detail"] == (
        "Send multipart/form-data: pictures as files, all else as text fields. With from_job no file is"
        " needed."
    )


def test_what_the_command_line_offers_for_growing_is_what_it_takes(served: str, make_job: Make) -> None:
    draft = make_job(State.SUCCEEDED, colour="photograph", format="jpeg")
    told = " ".join(CliRunner().invoke(main, ["grow", "--help"]).output.split())
    assert "--init" not in told
    assert "--grown-from" not in told
    assert "[default: the finished job's]" in told
    assert "[default: png]" not in told
    assert "more than the finished one has. Needed, but for an exploration's draft" in told
    assert "--grown-from" not in CliRunner().invoke(main, ["explore", "--help"]).output
    ran = CliRunner().invoke(main, ["grow", draft.id, "--url", served])
    assert "size: is 96 px, and the picture that grows has 96 already; ask for more" in ran.output
    # And a setting goes before the finished job's also where it is the usual one
    sent = ["grow", draft.id, "--size", "200", "--colour", "painting", "--url", served]
    ran = CliRunner().invoke(main, sent)
    assert ran.exit_code == 0, ran.output
    recipe = load(ran.stdout.split()[-1]).recipe
    assert (recipe.get("colour", "painting"), recipe["format"]) == ("painting", "jpeg")


def test_a_picture_of_ones_own_is_sent_by_the_form(post_form: Callable[..., TestResponse]) -> None:
    own = bad_pictures.photo(80, 60)
    answer = post_form(start=(io.BytesIO(own), "own.png"))
    assert answer.status_code == 303
    job = load(answer.location.rpartition("/")[2])
    assert job.start
    assert storage().get(job.start.upload.key) == own
    assert job.recipe["init"] == "picture"
    assert post_form(init="picture").status_code == 422  # and none was sent
    other = post_form(start=(io.BytesIO(bad_pictures.photo(60, 60)), "own.png"))
    assert other.status_code == 422
    said = "Picture to begin from is 60 x 60 px, the photograph 160 x 120; it needs the same proportion"
    assert f'<a href="#start">{said}, within 1 %</a>' in other.text
    noise = post_form(start=(io.BytesIO(own), "own.png"), init="noise")
    assert '<a href="#init">Begin from is noise, but a picture to begin from came, too</a>' in noise.text


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


def test_a_growing_form_shows_what_can_be_chosen_and_sends_it(
    page: Page, served: str, make_job: Make
) -> None:
    # Given the form that "Make it large" leads to
    draft = make_job(State.SUCCEEDED)
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "worker-1", MACHINE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served}/jobs/{draft.id}")
    page.get_by_role("link", name="Make it large (256 px)").click()

    # Then it has the finished job's pictures and nothing that a growing picture has not
    expect(page.get_by_role("heading", name="Make it large")).to_be_visible()
    expect(page.get_by_text(f"grows out of “{draft.name}”, which has 96 px")).to_be_visible()
    for gone in ("Where", "Explore first", "Choose a photograph", "Film"):
        expect(page.get_by_text(gone, exact=True)).to_be_hidden()
    expect(page.get_by_text("Or a sample")).to_have_count(0)
    page.get_by_text("Advanced settings").click()
    for gone in ("Begin from", "Grown from", "Picture to begin from"):
        expect(page.get_by_label(gone, exact=True)).to_have_count(0)
    expect(page.locator("#estimate")).not_to_be_empty()
    assert complaints(page) == ""
    assert any("init=picture&" in url and "grown_from=96" in url for url in asked if "/estimate?" in url)

    # When it is refused it says why at the field, and with a look and another size it is sent
    page.get_by_label("Longest side, px").fill("80")
    page.get_by_role("button", name="Paint it").click()
    expect(page.locator("#size-errors")).to_contain_text("the picture that grows has 96 already")
    page.locator(".look-button[value=oil]").click()
    expect(page.locator("#look-words")).to_contain_text("“Oil” set")
    page.get_by_label("Longest side, px").fill("200")
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url(lambda url: "/jobs/" in url and draft.id not in url)
    job = load(page.url.rpartition("/")[2])
    assert is_grown_from(job, draft)
    assert (job.width, job.recipe["init"]) == (200, "picture")
