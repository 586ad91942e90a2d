"""Requests that are sent again when what they name is gone: they find what came of them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Job, State
from farm.films import films
from farm.jobs import actions
from tests.web import bad_pictures
from tests.web.conftest import token
from tests.web.test_web_films_browser import make_clip
from tests.web.test_web_looks import save
from web.pages.new import SENT_BEFORE

KEY = {"Idempotency-Key": "mine"}
Send = Callable[..., TestResponse]


def draw(width: int = 100, height: int = 100) -> tuple[io.BytesIO, str]:
    return io.BytesIO(bad_pictures.photo(width, height)), "picture.jpg"


def count_jobs() -> int:
    with sessions.read_session() as session:
        return len(list(session.scalars(select(Job))))


def read_id(answer: TestResponse) -> str:
    assert answer.status_code == 202, answer.text
    return str(answer.get_json()["id"])


@pytest.mark.parametrize("by", ["key", "id"])
def test_a_growing_request_finds_its_job_though_the_finished_one_is_gone(
    by: str, client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    # Given a picture that grows out of a finished one
    draft = make_job(State.SUCCEEDED)

    def grow(recipe: dict[str, Any], **others: Any) -> TestResponse:
        data = {"from_job": draft.id, "recipe": json.dumps(recipe), **others}
        form = {"data": data, "content_type": "multipart/form-data"}
        if by == "id":
            return client.put(f"/api/v1/jobs/{'ab' * 16}", **form)
        return client.post("/api/v1/jobs", headers=KEY, **form)

    first = read_id(grow({"size": 200, "seed": 3}))

    # When the finished one is deleted, then the same request, written otherwise, is that job
    actions.delete(draft.id)
    assert read_id(grow({"seed": 3, "size": 200})) == first
    # And another one under its key is refused
    assert grow({"size": 201, "seed": 3}).status_code in (409, 422)
    assert count_jobs() == 1


def test_another_growing_request_under_a_key_is_refused(
    client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    drafts = [make_job(State.SUCCEEDED), make_job(State.SUCCEEDED)]

    def grow(draft: Job, **others: Any) -> TestResponse:
        data = {"from_job": draft.id, "recipe": '{"size": 200}', **others}
        form = {"data": data, "content_type": "multipart/form-data"}
        return client.post("/api/v1/jobs", headers=KEY, **form)

    first = read_id(grow(drafts[0]))
    for other in (grow(drafts[1]), grow(drafts[0], name="Other"), grow(drafts[0], priority="-1")):
        assert other.status_code == 409
    assert read_id(grow(drafts[0])) == first


def send_job(client: FlaskClient, **fields: Any) -> TestResponse:
    files = {"content": draw(160, 120), "style": [draw()]}
    return client.post("/api/v1/jobs", data=files | fields, headers=KEY)


def send_exploration(client: FlaskClient, **fields: Any) -> TestResponse:
    files = {"content": draw(160, 120), "style": [draw()]}
    return client.post("/api/v1/explorations", data=files | fields, headers=KEY)


def send_film(client: FlaskClient, **fields: Any) -> TestResponse:
    files = {"clip": (io.BytesIO(make_clip()), "walk.png"), "style": [draw()]}
    return client.post("/api/v1/films", data=files | fields, headers=KEY)


@pytest.mark.parametrize("send", [send_job, send_exploration, send_film])
def test_a_request_with_a_look_finds_what_came_of_it_though_the_look_is_another_or_gone(
    send: Send, client: FlaskClient
) -> None:
    address = f"/api/v1/looks/{save(client).get_json()['id']}"
    given = {"look": address[-32:], "recipe": '{"size": 96, "seed": 3}'}
    first, jobs = read_id(send(client, **given)), count_jobs()
    assert client.delete(address).status_code == 204
    assert read_id(send(client, **given | {"recipe": '{"seed": 3, "size": 96}'})) == first
    assert send(client, **given | {"name": "Other"}).status_code in (409, 422)
    assert send(client, recipe=given["recipe"]).status_code == 409
    assert count_jobs() == jobs


def fill_in(client: FlaskClient, draft: Job, **others: Any) -> dict[str, Any]:
    fields = {"csrf_token": token(client), "once": "f" * 32, "size": "128", "from_job": draft.id}
    return fields | {"content_pick": "kept", "style_pick": ["kept-0", "kept-1"]} | others


@pytest.mark.parametrize("path", ["/", "/explore"])
def test_a_form_finds_what_came_of_it_though_the_picture_it_was_filled_in_from_is_gone(
    path: str, client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    # Given a form with another job's pictures and a file, which was sent
    draft = make_job(State.SUCCEEDED)

    def send(**others: Any) -> TestResponse:
        return client.post(path, data=fill_in(client, draft, style=[draw()], **others))

    first = send()
    assert first.status_code == 303, first.text
    jobs = count_jobs()
    # When that job is deleted, and the form is sent again
    actions.delete(draft.id)
    again = send()
    # Then it leads to the same place and says so, and with any change it is another one
    assert (again.status_code, again.location) == (303, first.location)
    assert SENT_BEFORE in client.get(again.location).text
    assert send(size="130").status_code == 422
    assert count_jobs() == jobs - 1


@pytest.mark.parametrize("path", ["/", "/films/try"])
def test_a_form_with_a_clip_finds_what_came_of_it_though_its_painting_is_offered_no_more(
    path: str, client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    draft = make_job(State.SUCCEEDED)

    def send() -> TestResponse:
        clip = {"content": (io.BytesIO(make_clip()), "walk.png"), "content_pick": ""}
        return client.post(path, data=fill_in(client, draft, **clip))

    first = send()
    assert first.status_code == 303, first.text
    actions.delete(draft.id)
    again = send()
    assert (again.status_code, again.location) == (303, first.location)
    if path == "/":
        assert films.get(again.location[-32:])
