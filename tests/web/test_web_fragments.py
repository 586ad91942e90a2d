"""Parts of pages that change by themselves: the same HTML as in the page, only when it changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from farm.database import sessions
from farm.database.models import Job
from farm.explorations import grids
from farm.explorations.axes import axis
from farm.jobs import attempts, states
from farm.jobs.states import AttemptRef
from farm.recipe import Recipe
from farm.storage import storage
from tests.web.bad_pictures import photo
from tests.web.test_web_live import listening, report, taken

pytestmark = pytest.mark.timeout(60)

MakeJob = Callable[..., Job]
NO_JOB = "0" * 32


@pytest.fixture
def running(make_job: MakeJob) -> Job:
    """A job that a worker has reported of."""
    job = make_job()
    report(taken(job), 0.25)
    return job


@pytest.mark.parametrize("part", ["progress", "history"])
def test_a_part_is_what_the_page_includes_and_sent_once(
    client: FlaskClient, running: Job, part: str
) -> None:
    path = f"/jobs/{running.id}/{part}"
    answer = client.get(path)
    assert "<html" not in answer.text
    words = {"progress": "Level 1 of 2", "history": "Timeline"}[part]
    page = client.get(f"/jobs/{running.id}").text
    for line in answer.text.splitlines():
        assert line.strip() in page or "<title>" in line
    assert words in answer.text

    known = {"If-None-Match": answer.headers["ETag"]}
    assert client.get(path, headers=known).status_code == 304
    report(AttemptRef(running.id, 1), 0.5)
    with sessions.write_session() as session:
        attempts.add_log_lines(session, AttemptRef(running.id, 1), ["Half of it is dry."])
    assert client.get(path, headers=known).status_code == 200
    assert client.get(f"/jobs/{NO_JOB}/{part}").status_code == 404


def test_a_part_with_forms_is_the_same_although_their_tokens_differ(
    client: FlaskClient, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe()
    axes = (axis("across", "balance", recipe, [0, 2]), axis("down", "tv", recipe, [1, 2]))
    made = grids.explore(photo(), [photo(100, 100)], recipe, *axes)
    path = f"/explore/{made.id}/grid"
    first = client.get(path)
    assert "csrf_token" in first.text
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda signer: 2_000_000_000)
    second = client.get(path)
    assert first.text != second.text
    assert first.headers["ETag"] == second.headers["ETag"]


def test_a_page_is_told_that_something_changed_and_no_more(served: str, make_job: MakeJob) -> None:
    job = make_job()
    with listening(f"{served}/jobs/{job.id}/changes") as told:
        first, second = next(told), (taken(job), next(told))[1]
        assert (first[0], first[2]) == (second[0], second[2]) == ("changed", {})
        assert first[1] != second[1]
        with sessions.write_session() as session:
            states.fail(session, AttemptRef(job.id, 1), "No paint left.")
        assert [name for name, _, _ in told] == ["changed", "end"]


@pytest.mark.browser
def test_what_a_person_does_on_a_jobs_page_outlasts_its_changes(
    page: Page, served: str, running: Job
) -> None:
    # Given a page of a running job: settings open, a link in focus, the log scrolled, elements marked
    attempt = AttemptRef(running.id, 1)
    with sessions.write_session() as session:
        attempts.add_log_lines(session, attempt, [f"Line {number}" for number in range(90)])
    page.emulate_media(reduced_motion="reduce")  # it scrolls at once, or the place were one on the way
    page.goto(f"{served}/jobs/{running.id}")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_role("link", name="Again, with changes").focus()
    page.locator("#log").evaluate("log => { log.scrollTop = 120; }")
    place = page.evaluate("scrollY")
    marked = ("#spoken", "#log", "#preview", "progress", "#progress")
    for selector in marked:
        page.locator(selector).evaluate("element => { element.marked = true; }")

    # When much of it changes
    report(AttemptRef(running.id, 1), 0.5)
    expect(page.locator(".percent")).to_have_text("50 %")
    expect(page.locator("#spoken")).to_have_text("50 % painted")
    with sessions.write_session() as session:
        attempts.add_log_lines(session, attempt, ["The last line"])
    report(AttemptRef(running.id, 1), 0.75)
    expect(page.locator("#log")).to_contain_text("The last line", timeout=15_000)
    expect(page.locator("progress")).to_have_js_property("value", 0.75)

    # Then it stands as it stood, in the very same elements
    expect(page.locator("details.advanced")).to_have_attribute("open", "")
    expect(page.get_by_role("link", name="Again, with changes")).to_be_focused()
    assert page.locator("#log").evaluate("log => log.scrollTop") == 120
    assert page.evaluate("scrollY") == place
    for selector in marked:
        assert page.locator(selector).evaluate("element => element.marked"), selector


@pytest.mark.browser
def test_a_picture_is_shown_when_it_is_whole_and_never_blinks(
    page: Page, served: str, make_job: MakeJob
) -> None:
    # Given a page of a job that nobody has painted, whose previews come slowly
    job = make_job()
    attempt = taken(job)
    page.goto(f"{served}/jobs/{job.id}")
    preview = page.locator("#preview")
    before = preview.get_attribute("src")
    held: list[Callable[[], None]] = []
    page.route("**/preview?*", lambda route: held.append(route.continue_))

    # When there is one, the words change at once, the picture as soon as it is there
    report(attempt, 0.25)
    with sessions.write_session() as session:
        storage().put(states.get(session, job.id).preview_key, photo(96, 72))
        attempts.record_preview(session, attempt)
    expect(page.locator(".percent")).to_have_text("25 %")
    expect(preview).to_have_attribute("alt", "The photograph, not yet painted")
    assert preview.get_attribute("src") == before
    report(attempt, 0.5)
    expect(page.locator(".percent")).to_have_text("50 %")
    for go in held:
        go()
    expect(preview).to_have_attribute("alt", "The picture as it stands")
    expect(preview).not_to_have_class("not-begun")
