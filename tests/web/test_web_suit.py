"""What the form says of photograph and painting together, and the paintings of late."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from farm.database import sessions
from farm.database.models import Job, State
from farm.fleet import registry
from farm.pictures import descriptors
from tests.web import bad_pictures
from tests.web.conftest import token

MakeJob = Callable[..., Job]
CPU = registry.Machine("a processor", 10**10, "cpu", 4, True, 10**10)


@pytest.fixture
def worker(home: object) -> None:
    """A worker is alive, and answers when a test says so."""
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "worker-1", CPU)


def answer_all() -> int:
    """Answer as a worker does: the longer the file, the farther it is from all others."""
    with sessions.write_session() as session:
        requested = descriptors.list_requested(session, 100)
        for sha256, picture in requested:
            values = np.ones((2, 768), np.float32)
            values[:, : min(768, len(picture) // 1000)] = 4
            descriptors.answer(session, sha256, "vgg16", values)
    return len(requested)


def ask(client: FlaskClient, **fields: object) -> str:
    answer = client.post("/suit", data={"csrf_token": token(client), **fields})
    assert answer.status_code == 200
    return answer.text


def test_without_a_worker_the_form_says_nothing_and_asks_nobody(client: FlaskClient) -> None:
    text = ask(client, photograph="street", painting="mosaic", offered=["mosaic"])
    assert "hidden" in text
    assert "data-pending" not in text
    assert answer_all() == 0


@pytest.mark.usefixtures("worker")
def test_chosen_pictures_are_judged_and_offered_paintings_put_in_order(client: FlaskClient) -> None:
    choice = {"photograph": "street", "painting": ["mosaic"], "offered": ["ink_wash", "mosaic", "other"]}
    assert "data-pending" in ask(client, **choice)
    assert answer_all() == 3
    text = ask(client, **choice)
    assert "data-pending" not in text
    order = re.search(r'data-order="([^"]*)"', text)
    assert order
    assert sorted(order[1].split()) == ["ink_wash", "mosaic"]
    assert "Mosaic" in text
    assert re.search(r'<progress[^>]*value="[01]\.\d+"', text)


@pytest.mark.usefixtures("worker")
def test_files_are_judged_before_they_are_sent_and_are_no_uploads(client: FlaskClient) -> None:
    def choice() -> dict[str, object]:
        return {
            "photograph": (io.BytesIO(bad_pictures.photo()), "Bridge <b>.jpg"),
            "painting": (io.BytesIO(bad_pictures.photo(100, 100)), "Strokes & more.jpg"),
        }

    ask(client, **choice())
    assert answer_all() == 2
    text = ask(client, **choice())
    assert "Strokes &amp; more.jpg" in text
    assert "hidden" not in text.partition(">")[0]
    too_large = {"photograph": (io.BytesIO(b"x" * 500_000), "a.jpg"), "painting": "mosaic"}
    assert "data-pending" not in ask(client, **too_large)
    assert client.post("/suit", data={"photograph": "street"}).status_code == 400  # no token


@pytest.mark.usefixtures("worker")
def test_paintings_of_late_are_offered_once_and_taken_again(
    client: FlaskClient, make_job: MakeJob, post_form: Callable
) -> None:
    make_job()
    job = make_job(State.CANCELLED)
    page = client.get("/").text
    picks = re.findall(r'value="(recent-[0-9a-f]{64})"', page)
    assert picks == [f"recent-{style.upload_sha256}" for style in job.styles]
    assert "recent-" not in client.get(f"/?from={job.id}").text  # they are offered as its own

    ask(client, photograph="street", painting=picks[0], offered=picks)
    assert answer_all() == 3
    found = ask(client, photograph="street", painting=picks[0], offered=picks)
    assert set(picks) == set(re.findall(r"recent-[0-9a-f]{64}", found))
    form = {"csrf_token": token(client), "size": "96", "preset": "draft", "content_pick": "street"}
    assert client.post("/", data=form | {"style_pick": picks}).status_code == 303
    wrong = client.post("/", data=form | {"style_pick": "recent-" + "0" * 64})
    assert (wrong.status_code, "is not one of the pictures offered here" in wrong.text) == (422, True)


@pytest.mark.browser
@pytest.mark.usefixtures("worker")
def test_the_form_says_it_while_pictures_are_chosen(page: Page, served: str) -> None:
    page.goto(served)
    page.get_by_label("Choose a photograph").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": bad_pictures.photo()}
    )
    page.get_by_label("Mosaic").check()
    suit = page.get_by_role("region", name="How well they go together")
    expect(suit).to_be_hidden()
    for _ in range(100):
        if answer_all():
            break
        page.wait_for_timeout(100)
    expect(suit).to_contain_text("Mosaic")
    page.get_by_label("Mosaic").uncheck()
    expect(suit).to_be_hidden()
