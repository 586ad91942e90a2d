"""The queue as operators see and change it: paused, resumed, a job's priority, and why a job waits."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Job
from farm.database.people import AuditLine
from farm.fleet import registry
from farm.jobs import claims, details, states
from farm.jobs.claims import Taker
from tests.jobs.test_claims import change, see
from tests.jobs.test_jobs import make_job

pytestmark = pytest.mark.usefixtures("database")


def read_audit() -> list[tuple[str, str, str]]:
    with sessions.read_session() as session:
        lines = session.scalars(select(AuditLine).order_by(AuditLine.id))
        return [(line.person, line.action, line.subject) for line in lines]


def read_field(page: str) -> str:
    """Return the form's field of tags."""
    found = re.search(r'<select[^>]*name="tag".*?</select>', page, re.DOTALL)
    assert found
    return found[0]


def explain(job_id: str) -> str:
    with sessions.read_session() as session:
        return details.explain_wait(session, states.get(session, job_id)) or ""


def test_the_queue_is_paused_and_resumed_and_says_so(client: FlaskClient) -> None:
    job_id = make_job()
    see("gpu0@a")
    for _ in range(2):  # again is harmless
        assert client.post("/api/v1/queue/pause").get_json()["paused_by"] == "anybody"
    assert explain(job_id) == "The farm was paused by anybody. It goes on when an operator resumes it."
    assert client.post("/api/v1/queue/resume").get_json()["paused_by"] is None
    assert explain(job_id) == "Next in line for a free worker."
    assert read_audit() == [
        ("anybody", "pause queue", "queue"),
        ("anybody", "resume queue", "queue"),
    ]


def test_a_jobs_priority_is_changed_while_it_has_not_ended(client: FlaskClient) -> None:
    first, second = make_job(), make_job()
    answer = client.patch(f"/api/v1/jobs/{second}", json={"priority": 100})
    assert (answer.status_code, answer.get_json()["priority"]) == (200, 100)
    with sessions.write_session() as session:
        taken = claims.claim(session, Taker("gpu0@a"))
    assert taken is not None
    assert taken.job.id == second
    with sessions.write_session() as session:
        states.cancel(session, first)
    assert client.patch(f"/api/v1/jobs/{first}", json={"priority": 1}).status_code == 409
    assert read_audit() == [("anybody", "change priority", second)]


@pytest.mark.parametrize("sent", [{}, {"priority": 101}, {"priority": "high"}, {"state": "queued"}])
def test_a_wrong_change_is_refused_by_name(client: FlaskClient, sent: dict[str, object]) -> None:
    answer = client.patch(f"/api/v1/jobs/{make_job()}", json=sent)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("worker", "job", "told"),
    [
        ({"classes": ["large"]}, {}, "No worker takes preview pictures. It waits for one that does."),
        ({"tags": ["day"]}, {"tag": "night"}, "No worker has the tag night. It waits for one that has."),
        ({}, {"least_cpu_bytes": 10**12}, "No worker that takes such pictures has memory enough"),
        ({"state": "sick"}, {}, "No worker that could make it takes jobs now: gpu0@a is sick."),
    ],
)
def test_a_job_that_no_worker_can_take_says_why(
    worker: dict[str, object], job: dict[str, object], told: str
) -> None:
    see("gpu0@a", **worker)
    job_id = change(make_job(), **job)
    assert explain(job_id).startswith(told)


def test_a_worker_that_can_take_it_is_enough() -> None:
    see("gpu0@a", classes=["large"])
    see("gpu1@a", tags=["night"])
    assert explain(change(make_job(), tag="night")) == "Next in line for a free worker."
    with sessions.read_session() as session:
        assert len(registry.list_alive(session)) == 2


def test_the_form_offers_the_tags_that_workers_have_and_once_more_keeps_one(
    post_form: Callable[..., TestResponse], client: FlaskClient
) -> None:
    # Given no worker with a tag, then there is nothing to choose
    see("gpu0@a")
    assert 'name="tag"' not in client.get("/").text
    # Given one with two
    see("gpu1@a", tags=["night", "a100"])
    assert re.findall(r'<option[^>]*value="([^"]*)"[^>]*>', read_field(client.get("/").text)) == [
        "",
        "a100",
        "night",
    ]
    # When one is chosen, then the job asks for it, and so does the next of its kind, worker or none
    assert post_form(tag="night").status_code == 303
    with sessions.read_session() as session:
        job = session.scalars(select(Job)).unique().one()
    assert job.tag == "night"
    see("gpu1@a", tags=["a100"])
    again = read_field(client.get(f"/?from={job.id}").text)
    assert '<option selected value="night">night, which no worker has now</option>' in again
    # And what can be no tag is named at its field
    refused = post_form(tag="no tag")
    assert refused.status_code == 422
    assert '<a href="#tag">Workers must be a word of 40 letters' in refused.text
