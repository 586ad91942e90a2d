"""Operators' pages: workers and their orders, the queue and priorities, people, events."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.base import now
from farm.database.fleet import Worker, WorkerState
from farm.database.models import Job, State
from farm.database.people import AuditLine, Person, Role
from farm.fleet import operations, queue, registry
from farm.jobs import actions
from farm.people import accounts, audit
from farm.people.visitors import ANYBODY
from tests.web.conftest import token
from tests.web.test_web_people import Headers, closed, make_person  # noqa: F401 - a fixture
from web import create_app

MakeJob = Callable[..., Job]
CARD = registry.Machine("NVIDIA H100", 80 * 10**9, "cuda", 2, False, 70 * 10**9, "bfloat16")
PAGES = ("/operators/queue", "/operators/storage", "/operators/people", "/operators/events")


def see(name: str, job_id: str | None = None, **process: Any) -> None:
    """A worker is seen now."""
    with sessions.write_session() as session:
        record(session, name, job_id, **process)


def record(session: Session, name: str, job_id: str | None = None, **process: Any) -> None:
    """Record what a worker that is alive records."""
    told = registry.Process(name.partition("@")[2], "1.1.a", "1", **process)
    registry.record_heartbeat(session, name, CARD, told, registry.Reading(20 * 10**9, 0.5))
    registry.record_speed(session, name, 0.5)
    registry.set_job(session, name, job_id)


def send(client: FlaskClient, path: str, **form: str) -> TestResponse:
    """Send a form as a browser without scripts, and follow where it leads."""
    return client.post(path, data={"csrf_token": token(client)} | form, follow_redirects=True)


def get_words(page: TestResponse) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def read_audit() -> list[tuple[str, str, str]]:
    with sessions.read_session() as session:
        lines = session.scalars(select(AuditLine).order_by(AuditLine.id))
        return [(line.person, line.action, line.subject) for line in lines]


def read_worker(name: str) -> Worker:
    with sessions.read_session() as session:
        return operations.get(session, name)


# Who sees them ------------------------------------------------------------------------------------


def test_they_are_for_operators(closed: None) -> None:  # noqa: F811
    user, operator = make_person("Ada", Role.USER), make_person("Olga", Role.OPERATOR)
    client = create_app().test_client()
    see("gpu0@attic")
    rules = [rule for rule in client.application.url_map.iter_rules() if "/operators/" in rule.rule]
    assert len(rules) > 15
    for rule in rules:
        path = re.sub(r"<any[^>]*>", "pause", rule.rule)
        path = re.sub(r"<path:name>", "gpu0@attic", path)
        if "<" in path:  # of a job, which is hidden: tests/web/test_web_people.py
            continue
        method = "POST" if "POST" in (rule.methods or ()) else "GET"
        refused = client.open(path, method=method, headers=user)
        assert refused.status_code in (403, 400), path  # 400: without the form's token
        if method == "GET":
            assert "for the farm&#39;s operators" in refused.text, path
            assert client.get(path, headers=operator).status_code in (200, 303), path
            asked = client.get(path, headers={"Accept": "text/html"})
            assert asked.headers["Location"].startswith("/sign-in?next="), path
    # A user sees the workers, and nothing to press
    page = client.get("/workers", headers=user).text
    assert "gpu0@attic" in page
    assert "formaction" not in page
    assert 'aria-label="Farm"' not in page
    page = client.get("/workers", headers=operator).text
    assert all(f'href="{path}"' in page for path in PAGES)
    assert read_worker("gpu0@attic").state is WorkerState.ACTIVE


def test_a_user_is_not_told_whose_job_a_worker_has(
    closed: None,  # noqa: F811
    make_job: MakeJob,
) -> None:
    client = create_app().test_client()
    user = make_person("Ada", Role.USER)
    see("gpu0@attic", make_job(State.RUNNING, name="Secret garden").id)
    page = client.get("/workers", headers=user)
    assert "A job of somebody else's" in get_words(page).replace("&#39;", "'")
    assert "Secret garden" not in page.text


def test_one_person_on_a_laptop_finds_one_link(client: FlaskClient) -> None:
    header = re.search(r"<header.*?</header>", client.get("/").text, re.DOTALL)
    assert header
    assert re.findall(r'class="site-link"[^>]*>(\w+)<', header[0]) == ["New", "Jobs", "Gallery", "Farm"]
    page = client.get("/operators/", follow_redirects=True)
    assert page.status_code == 200
    assert "/operators/people" not in page.text  # nobody has an account


# Workers ------------------------------------------------------------------------------------------


def test_a_worker_shows_what_it_is_and_does(client: FlaskClient, make_job: MakeJob) -> None:
    job = make_job(State.RUNNING)
    see("gpu0@attic", job.id)
    see("gpu1@attic", classes=("preview",), tags=("night",))
    words = get_words(client.get("/workers"))
    # What all of a host have in common is said once
    assert "attic 2 workers · NVIDIA H100 · bfloat16 · farm 1" in words
    assert words.count("NVIDIA H100") == 1
    assert "2 MP/s" in words
    assert "60 GB of 80 GB" in words
    assert "50 %" in words
    assert "takes preview · #night" in words
    assert job.name in words
    assert "All 2 At work 1 Free 1" in words
    # And those of one condition can be asked for
    words = get_words(client.get("/workers?show=free"))
    assert "gpu1@attic" in words
    assert "gpu0@attic" not in words
    assert client.get("/workers?show=lost").status_code == 422


def test_orders_are_given_by_buttons(client: FlaskClient, make_job: MakeJob) -> None:
    see("gpu0@attic", make_job(State.RUNNING).id)
    path = "/operators/workers/{}/gpu0@attic"
    assert f'formaction="{path.format("drain")}"' in client.get("/workers").text.replace("%40", "@")
    for order, state, words in (
        ("pause", WorkerState.PAUSED, "takes no more jobs"),
        ("resume", WorkerState.ACTIVE, "takes jobs again"),
        ("drain", WorkerState.DRAINING, "ends as soon as it has no job"),
    ):
        assert words in get_words(send(client, path.format(order)))
        assert read_worker("gpu0@attic").state is state
    assert [action for _, action, _ in read_audit()] == ["pause worker", "resume worker", "drain worker"]
    # One that is gone, sick, or not asked for from our form
    assert "no worker of this name" in get_words(send(client, "/operators/workers/drain/nobody"))
    with sessions.write_session() as session:
        operations.mark_sick(session, "gpu0@attic", "it fell off")
    assert "is sick" in get_words(send(client, path.format("pause")))
    assert "it fell off" in get_words(client.get("/workers"))
    assert client.post(path.format("resume")).status_code == 400


def test_a_worker_that_ended_sick_can_be_resumed(client: FlaskClient) -> None:
    see("gpu0@attic")
    with sessions.write_session() as session:
        operations.mark_sick(session, "gpu0@attic", "it fell off")
        long_ago = now() - timedelta(hours=5)
        session.execute(update(Worker).values(seen_at=long_ago))
    words = get_words(client.get("/workers"))
    assert "1 not seen for a minute" in words
    assert "it fell off" in words
    assert "/operators/workers/resume/gpu0" in client.get("/workers").text


@pytest.mark.slow
def test_two_hundred_workers_are_read_with_few_questions(client: FlaskClient) -> None:
    with sessions.write_session() as session:
        for number in range(200):
            record(session, f"gpu{number % 8}@node{number // 8:02}")
    page = client.get("/workers").text
    assert page.count('class="worker"') == 200
    assert page.count('class="host"') == 25
    assert page.count("csrf_token") == 1
    assert len(page) < 400_000
    part = client.get("/workers/list")
    known = {"If-None-Match": part.headers["ETag"]}
    assert client.get("/workers/list", headers=known).status_code == 304


# The queue ----------------------------------------------------------------------------------------


def test_the_queue_is_drawn_by_class_and_person(client: FlaskClient, make_job: MakeJob) -> None:
    with sessions.write_session() as session:
        ada = accounts.add(session, "Ada", by="me").id
    mine = [make_job(), make_job(size=1024), make_job(size=1024)]
    make_job()
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.id.in_([job.id for job in mine])).values(owner_id=ada))
    page = client.get("/operators/queue")
    words = get_words(page)
    assert "Waiting 4 At work 0" in words
    assert "All done in not known" in words
    assert "No worker is running" in words
    assert "Drafts 2 Up to 2048 px 2 Larger 0" in words
    bars = re.findall(r'aria-label="(\w[^"]*): (\d+) drafts, (\d+) up to 2048 px', page.text)
    assert [(name.replace("&#39;", "'"), *counts) for name, *counts in bars] == [
        ("Everybody's", "2", "2"),
        ("Ada", "1", "2"),
        ("Nobody's", "1", "0"),
    ]
    ada_bar = page.text.split('aria-label="Ada: ')[1].split("</svg>")[0]
    assert re.findall(r'x="([\d.]+)" width="([\d.]+)"', ada_bar) == [
        ("0.0", "333.33"),
        ("333.33", "666.67"),
    ]
    # And a worker that measured its speed says how long it takes
    see("gpu0@attic")
    assert "All done in less than a minute" in get_words(client.get("/operators/queue"))


def test_what_no_worker_can_take_is_said_once_for_each_reason(
    client: FlaskClient, make_job: MakeJob
) -> None:
    see("gpu0@attic", tags=("day",))
    stuck = [make_job(), make_job()]
    make_job()
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.id.in_([job.id for job in stuck])).values(tag="night"))
    words = get_words(client.get("/operators/queue"))
    assert "2 jobs : No worker has the tag night." in words
    assert words.count("No worker has") == 1


def test_priorities_are_set_and_bring_to_the_front(client: FlaskClient, make_job: MakeJob) -> None:
    first, second = make_job(name="First"), make_job(name="Second")
    path = f"/operators/queue/jobs/{second.id}/priority"
    assert "Second has priority 7 now" in get_words(send(client, path, priority="7"))
    assert "Second has priority 100 now" in get_words(send(client, path, priority="x", front="1"))
    page = client.get("/operators/queue").text
    assert page.index("Second") < page.index("First")
    for wrong in ("", "high", "101", "1e9", "9" * 5000):
        assert "priority must be" in get_words(send(client, path, priority=wrong)), wrong
    actions.cancel(first.id)
    path = f"/operators/queue/jobs/{first.id}/priority"
    assert "already" in get_words(send(client, path, priority="1"))
    assert [line[1:] for line in read_audit()] == [("change priority", second.id)] * 2


def test_those_further_behind_have_pages(
    client: FlaskClient, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        make_job(name=f"Number {number}")
    monkeypatch.setattr("web.pages.operators.queue.PAGE", 2)
    page = client.get("/operators/queue").text
    assert "Number 2" not in page
    further = re.search(r'href="([^"]+)" rel="next"', page)
    assert further
    page = client.get(further[1].replace("&amp;", "&")).text
    assert "Number 2" in page
    assert "Number 1" not in page
    wrong = client.get("/operators/queue?cursor=x")
    assert (wrong.status_code, "cursor" in wrong.text) == (422, True)


def test_a_paused_farm_says_so_on_all_pages(client: FlaskClient, make_job: MakeJob) -> None:
    job = make_job()
    send(client, "/operators/queue/pause")
    for path in ("/", "/jobs", "/gallery", "/workers", f"/jobs/{job.id}", *PAGES):
        assert "The farm was paused by anybody" in client.get(path).text, path
    assert "Resume the farm" in client.get("/operators/queue").text
    send(client, "/operators/queue/resume")
    assert "was paused by" not in client.get("/").text
    with sessions.read_session() as session:
        assert not queue.is_paused(session)


def test_who_is_not_signed_in_is_not_told_who_paused_it(closed: None) -> None:  # noqa: F811
    with sessions.write_session() as session:
        queue.pause(session, "Olga")
    page = create_app().test_client().get("/sign-in").text
    assert "Olga" not in page
    assert "Farm</a>" not in page


# People -------------------------------------------------------------------------------------------


def test_people_are_added_with_a_link_that_is_shown_once(client: FlaskClient) -> None:
    made = send(client, "/operators/people", name="Ada")
    assert made.status_code == 201
    link = re.search(r'id="link">(http://localhost/sign-in\?link=[\w-]+)<', made.text)
    assert link
    page = client.get("/operators/people").text
    assert link[1] not in page
    assert "never signed in" in page
    again = send(client, "/operators/people/link", name="Ada")
    assert again.status_code == 201
    assert link[1] not in again.text
    assert "has an account already" in send(client, "/operators/people", name="Ada").text
    assert send(client, "/operators/people", name="").status_code == 422
    assert "Nobody called" in send(client, "/operators/people/link", name="Bob").text


def test_quotas_roles_and_accounts_are_changed(client: FlaskClient) -> None:
    send(client, "/operators/people", name="Ada")
    send(client, "/operators/people", name="Olga", role="operator")
    given = {"name": "Ada", "running": "3", "waiting": "", "megapixels_a_day": "12.5", "storage_gb": "0"}
    words = get_words(send(client, "/operators/people/quota", **given))
    assert "0 of 3" in words
    assert "0 of 12.5" in words
    with sessions.read_session() as session:
        ada = accounts.get(session, "Ada")
        assert (ada.max_running, ada.max_waiting, ada.max_stored_bytes) == (3, None, 0)
    for field, wrong in (("running", "1.5"), ("waiting", "-1"), ("storage_gb", "nan"), ("running", "x")):
        refused = get_words(send(client, "/operators/people/quota", **given | {field: wrong}))
        assert f"The {field.replace('_', ' ')} must be" in refused, field
    send(client, "/operators/people/role", name="Ada", role="operator")
    assert "Ada is a user now" in get_words(
        send(client, "/operators/people/role", name="Ada", role="user")
    )
    assert "last operator" in get_words(send(client, "/operators/people/remove", name="Olga"))
    assert "Ada has no account any more" in get_words(
        send(client, "/operators/people/remove", name="Ada")
    )
    with sessions.read_session() as session:
        assert [person.name for person in session.scalars(select(Person))] == ["Olga"]


# Events -------------------------------------------------------------------------------------------


def test_events_are_listed_newest_first_searched_and_paged(
    client: FlaskClient, make_job: MakeJob
) -> None:
    job = make_job(name="Bridge <at> dusk")
    with sessions.write_session() as session:
        for number in range(60):
            audit.record(session, "Olga", "pause worker", f"gpu{number}@attic", "it was active")
    actions.set_priority(job.id, 5, ANYBODY, "Åsa")
    page = client.get("/operators/events").text
    assert "Bridge &lt;at&gt; dusk</a>" in page
    assert page.index("gpu59@attic") < page.index("gpu12@attic")
    assert "gpu5@attic" not in page
    older = re.search(r'href="([^"]+)" rel="next"', page)
    assert older
    assert "gpu5@attic" in client.get(older[1].replace("&amp;", "&")).text
    assert "gpu59@attic" not in client.get("/operators/events?q=Åsa").text
    assert "No line has" in client.get("/operators/events?q=100%25").text
    for wrong in ("q=%00", "before=x", "before=-1", f"before={'9' * 30}", f"q={'x' * 200}"):
        assert client.get(f"/operators/events?{wrong}").status_code == 422, wrong
    # And programs read the same
    found = client.get("/api/v1/events?limit=2&q=olga").get_json()
    assert [item["subject"] for item in found["items"]] == ["gpu59@attic", "gpu58@attic"]
    after = client.get(f"/api/v1/events?limit=2&before={found['before']}").get_json()
    assert [item["subject"] for item in after["items"]] == ["gpu57@attic", "gpu56@attic"]
    assert client.get("/api/v1/events?before=0").status_code == 422


# In a browser -------------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_worker_is_paused_and_resumed_without_losing_its_place(
    served: str, page: Page, make_job: MakeJob
) -> None:
    see("gpu0@attic", make_job(State.RUNNING, name="Bridge").id)
    page.goto(f"{served}/workers")
    row = page.locator(".worker", has_text="gpu0@attic")
    row.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").filter(has_text="takes no more jobs")).to_be_visible()
    # When it is marked sick meanwhile, the page says so by itself
    with sessions.write_session() as session:
        operations.mark_sick(session, "gpu0@attic", "it fell off")
    expect(row).to_contain_text("it fell off")
    row.get_by_role("button", name="Resume").press("Enter")
    expect(row).to_contain_text("At work")


@pytest.mark.browser
def test_a_priority_that_is_being_typed_stays_while_the_queue_moves(
    served: str, page: Page, make_job: MakeJob
) -> None:
    first, second = make_job(name="First"), make_job(name="Second")
    page.goto(f"{served}/operators/queue")
    field = page.get_by_label("Priority of Second")
    field.fill("42")
    actions.cancel(first.id)
    expect(page.get_by_label("Priority of First")).to_have_count(0)
    expect(field).to_have_value("42")
    expect(field).to_be_focused()
    field.press("Enter")
    expect(page.get_by_text("Second has priority 42 now")).to_be_visible()
    assert read_audit() == [("anybody", "change priority", second.id)]
