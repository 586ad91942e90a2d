"""Paintings of late, offered on the form again."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from farm.database.models import Job, State
from tests.films.made import know_clips, make_film
from tests.web.conftest import token

MakeJob = Callable[..., Job]


def test_paintings_of_late_are_offered_once_and_taken_again(
    client: FlaskClient, make_job: MakeJob, post_form: Callable
) -> None:
    make_job()
    job = make_job(State.CANCELLED)
    page = client.get("/").text
    picks = re.findall(r'value="(recent-[0-9a-f]{64})"', page)
    assert picks == [f"recent-{style.upload_sha256}" for style in job.styles]
    assert "recent-" not in client.get(f"/?from={job.id}").text  # they are offered as its own

    form = {"csrf_token": token(client), "size": "96", "preset": "draft", "content_pick": "street"}
    assert client.post("/", data=form | {"style_pick": picks}).status_code == 303
    wrong = client.post("/", data=form | {"style_pick": "recent-" + "0" * 64})
    assert (wrong.status_code, "is not one of the pictures offered here" in wrong.text) == (422, True)


def test_a_painting_of_a_film_alone_is_offered_and_taken(
    client: FlaskClient, home: object, monkeypatch: pytest.MonkeyPatch, post_form: Callable
) -> None:
    know_clips(monkeypatch)
    film = make_film(file_names=["walk.mp4", "poppies.png"])
    (style,) = film.parts[0].styles
    page = client.get("/").text
    tile = re.search(rf'value="recent-{style.upload_sha256}".*?</label>', page, re.DOTALL)
    assert tile
    assert "poppies.png" in tile[0]
    address = re.search(r'src="(/jobs/[^"]+)"', tile[0])
    assert address
    assert client.get(address[1]).mimetype == "image/jpeg"

    form = {"csrf_token": token(client), "size": "96", "preset": "draft", "content_pick": "street"}
    picks = [f"recent-{style.upload_sha256}"]
    assert client.post("/", data=form | {"style_pick": picks}).status_code == 303
