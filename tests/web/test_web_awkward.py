"""People who click twice, go back, watch in two windows, or have a bad line, no script, no mouse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, request
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import delete, select

from benchmarks.testbed.processes import wait_for
from farm.database import sessions
from farm.database.models import Exploration, Job, State
from farm.explorations import grids
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.jobs import attempts, claims, job_rows, states
from farm.jobs.attempts import Progress
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from farm.recipe import Recipe
from tests.web import bad_pictures
from tests.web.conftest import bring_to
from web import streams

pytestmark = pytest.mark.browser

MakeJob = Callable[..., Job]
MAX_TABS = 60
SENT_BEFORE = "You have sent this form before"


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A page without JavaScript."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


@pytest.fixture(params=["with a script", "without a script"])
def either(request: pytest.FixtureRequest) -> Page:
    """A page with JavaScript, and one without."""
    return request.getfixturevalue("page" if request.param == "with a script" else "plain")


def all_jobs() -> list[Job]:
    with sessions.read_session() as session:
        return list(session.scalars(select(Job)).unique())


def fill_in(page: Page, served: str) -> None:
    page.goto(served)
    page.get_by_text("Mountain lake").click()
    page.get_by_text("Brushwork").click()
    page.get_by_label("Longest side, px").fill("96")


def report(attempt: AttemptRef, share: float) -> None:
    with sessions.write_session() as session:
        attempts.report(session, attempt, Progress(share, 1, 2, 10, 72, 9.0, 0.1, 0.2, 0.01))


def taken(job: Job) -> AttemptRef:
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({job.work_class})))
    assert claim
    return claim.attempt


def after(page: Page, milliseconds: int, selector: str) -> str | None:
    """What stands there after this time, which passes at once."""
    page.clock.run_for(milliseconds)
    return page.locator(selector).text_content()


def tab_to(page: Page, wanted: Locator) -> None:
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"not reached by {MAX_TABS} tabs: {wanted}")


# Sending -----------------------------------------------------------------------------------------


def test_a_double_click_makes_one_job(either: Page, served: str) -> None:
    fill_in(either, served)
    either.get_by_role("button", name="Paint it").dblclick()
    expect(either).to_have_url(re.compile("/jobs/"))  # the second click ends the first one's request
    either.reload()
    assert len(all_jobs()) == 1


def test_a_double_click_makes_one_exploration(plain: Page, served: str) -> None:
    fill_in(plain, served)
    plain.get_by_role("button", name="Explore").dblclick()
    expect(plain).to_have_url(re.compile("/explore/"))
    assert len(all_jobs()) == 9


def test_whoever_goes_back_and_sends_the_same_again_is_led_to_what_came_of_it(
    page: Page, served: str
) -> None:
    # Given somebody who has sent the form
    fill_in(page, served)
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    first = page.url

    # When they go back, all is there, and sending it again makes nothing new and says so
    page.go_back()
    expect(page.get_by_label("Longest side, px")).to_have_value("96")
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url(first)
    expect(page.get_by_text(SENT_BEFORE)).to_be_visible()
    assert len(all_jobs()) == 1

    # When they change something, it is another job
    page.go_back()
    page.get_by_label("Longest side, px").fill("128")
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url(lambda url: "/jobs/" in url and url != first)
    expect(page.get_by_text(SENT_BEFORE)).to_have_count(0)
    assert sorted(job.width for job in all_jobs()) == [96, 128]


def test_a_form_whose_job_was_deleted_makes_a_new_one(page: Page, served: str) -> None:
    fill_in(page, served)
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    (job,) = all_jobs()
    page.go_back()
    with sessions.write_session() as session:
        states.cancel(session, job.id)
        job_rows.delete_ended(session, job.id)

    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_text(SENT_BEFORE)).to_have_count(0)
    assert [again.id != job.id for again in all_jobs()] == [True]


# Watching ----------------------------------------------------------------------------------------


def test_what_is_cancelled_in_one_window_is_shown_in_the_other(
    page: Page, served: str, make_job: MakeJob
) -> None:
    address = f"{served}/jobs/{make_job(State.RUNNING).id}"
    other = page.context.new_page()
    for each in (page, other):
        each.goto(address)
        expect(each.locator(".percent")).to_have_text("42 %")

    page.get_by_role("button", name="Cancel").click()

    expect(other.get_by_text("Stopping as soon as the worker notices.")).to_be_visible()
    expect(other.get_by_role("button", name="Cancel")).to_have_count(0)


LISTEN = """
    window.EventSource = class extends EventSource {
        constructor(url) {
            super(url);
            this.addEventListener("changed", (event) => console.log(`told ${event.lastEventId}`));
        }
    };
"""


def test_a_stream_that_breaks_off_again_and_again_loses_nothing_and_repeats_nothing(
    page: Page, app: Flask, served: str, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given streams that end after a moment, and what is told and asked for is noted
    monkeypatch.setattr(streams, "LONGEST_SECONDS", 0.2)
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(streams, "RETRY_MILLISECONDS", 50)
    told: list[str] = []
    asked: list[tuple[str, str]] = []  # paths, and what the browser knew
    page.on("console", lambda said: told.append(said.text))
    app.before_request(lambda: asked.append((request.path, request.headers.get("Last-Event-ID", ""))))
    page.add_init_script(LISTEN)
    job = make_job()
    attempt = taken(job)

    # When a job is watched over several of them
    page.goto(f"{served}/jobs/{job.id}")
    stream, part = f"/jobs/{job.id}/changes", f"/jobs/{job.id}/progress"

    def more_streams(number: int) -> None:
        known = len(asked)
        wait_for(lambda: [path for path, _ in asked[known:]].count(stream) >= number, pause=0.05)

    for percent, silent in ((10, 6), (30, 2), (50, 2)):
        report(attempt, percent / 100)
        expect(page.locator(".percent")).to_have_text(f"{percent} %")
        more_streams(silent)
    with sessions.write_session() as session:
        states.fail(session, attempt, "No paint left.")
    expect(page.get_by_role("alert")).to_contain_text("No paint left.")

    # Then each was told once, whoever came again said what it knew, and nobody asked without being told
    events = [text for text in told if text.startswith("told ")]
    assert len(events) >= 4
    assert len(events) == len(set(events))
    assert [knew for path, knew in asked if path == stream].count("") == 1
    assert [path for path, _ in asked].count(part) <= len(events)


def test_without_a_stream_the_page_asks_and_says_when_nobody_answers(
    page: Page, app: Flask, served: str, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a farm that has as many streams as it may have
    monkeypatch.setattr(app.extensions["live"], "_most", 0)
    page.clock.install()
    job = make_job()
    attempt = taken(job)
    page.goto(f"{served}/jobs/{job.id}")
    report(attempt, 0.25)
    wait_for(lambda: after(page, 1000, ".percent") == "25 %", pause=0)

    # When it does not answer any more, and then does
    page.route("**/jobs/*/progress", lambda route: route.abort())
    page.clock.run_for(1000)
    expect(page.get_by_text("Connection lost, trying again.")).to_be_visible()
    page.unroute("**/jobs/*/progress")
    report(attempt, 0.5)
    wait_for(lambda: after(page, 1000, ".percent") == "50 %", pause=0)
    expect(page.get_by_text("Connection lost, trying again.")).to_be_hidden()


def test_a_job_that_is_deleted_while_it_is_watched_is_said_to_be(
    page: Page, served: str, make_job: MakeJob
) -> None:
    job = make_job()
    page.goto(f"{served}/jobs/{job.id}")
    with sessions.write_session() as session:
        states.cancel(session, job.id)
        job_rows.delete_ended(session, job.id)

    expect(page.get_by_role("heading", level=1)).to_have_text("This job was deleted")
    expect(page.get_by_role("link", name="All jobs")).to_be_visible()
    assert page.title().startswith("This job was deleted")
    # And whoever comes later is told, too
    page.reload()
    expect(page.get_by_text("perhaps it was deleted")).to_be_visible()


@pytest.fixture
def grid(home: object) -> Exploration:
    """2 x 2 cells, none of them painted."""
    recipe = Recipe()
    across = axis("across", "balance", recipe, [0, 2])
    down = axis("down", "tv", recipe, [1, 2])
    return explore(bad_pictures.photo(), [bad_pictures.photo(100, 100)], recipe, across, down)


def test_an_exploration_that_is_deleted_while_it_is_watched_is_said_to_be(
    page: Page, served: str, grid: Exploration
) -> None:
    page.goto(f"{served}/explore/{grid.id}")
    with sessions.write_session() as session:
        for cell in grid.cells:
            states.cancel(session, cell.id)
            job_rows.delete_ended(session, cell.id)
        session.execute(delete(Exploration))

    expect(page.get_by_role("heading", level=1)).to_have_text("This exploration was deleted")


def test_a_browser_whose_clock_is_wrong_and_then_set_tells_the_right_times(
    page: Page, served: str, make_job: MakeJob
) -> None:
    # Given a running job and a browser that is a day ahead
    page.clock.install(time=datetime.now(UTC) + timedelta(days=1))
    job = make_job()
    attempt = taken(job)
    page.goto(f"{served}/jobs/{job.id}")
    expect(page.locator(".job-facts time")).to_have_text("just now")
    report(attempt, 0.25)
    expect(page.locator(".percent")).to_have_text("25 %")
    expect(page.get_by_text("9 s to go")).to_be_visible()

    # When its clock is set while it looks, what happened is told all the same
    page.clock.set_system_time(datetime.now(UTC) - timedelta(days=1))
    with sessions.write_session() as session:
        attempts.add_log_lines(session, attempt, ["Half of it is dry."])
    page.clock.run_for(5000)
    report(attempt, 0.5)
    expect(page.locator("#log")).to_contain_text("Half of it is dry.")

    for path in ("/jobs", "/jobs?view=table"):
        page.goto(served + path)
        expect(page.locator("#jobs time")).to_have_text("just now")


# Without a script, without a mouse ---------------------------------------------------------------


def test_without_a_script_pages_follow_what_happens(plain: Page, served: str, make_job: MakeJob) -> None:
    # Given an exploration that was sent without a script, and a job
    fill_in(plain, served)
    plain.get_by_role("button", name="Explore").click()
    plain.wait_for_url("**/explore/*")
    cells = all_jobs()
    job = plain.context.new_page()
    job.goto(f"{served}/jobs/{cells[0].id}")

    # When a worker takes it, both pages show it by themselves
    bring_to(min(cells, key=lambda cell: cell.cell or 0), State.SUCCEEDED)
    grids.cancel(plain.url.rpartition("/")[2])
    expect(plain.get_by_text("Cancelled")).to_have_count(8, timeout=60_000)
    expect(plain.get_by_text("Finished", exact=True)).to_be_visible()
    expect(job.locator(".state").first).not_to_have_text("Waiting", timeout=60_000)


def test_the_keyboard_alone_goes_from_the_form_to_the_finished_picture(page: Page, served: str) -> None:
    # Given the form, filled in by keys alone
    page.goto(served)
    tab_to(page, page.get_by_role("radio", name="Mountain lake"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("checkbox", name="Brushwork"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("slider", name="Balance"))
    page.keyboard.press("ArrowRight")
    tab_to(page, page.get_by_role("radio", name="Standard"))
    page.keyboard.press("ArrowUp")
    tab_to(page, page.locator('[data-size="256"]'))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Paint it"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
    (job,) = all_jobs()
    assert (job.recipe["preset"], job.recipe["size"]) == ("draft", 256)
    assert job.recipe["content_weight"] < Recipe().content_weight

    # When it is finished, then arrow keys compare it with the photograph
    bring_to(job, State.SUCCEEDED)
    slider = page.get_by_role("slider", name="How much of the photograph shows")
    expect(slider).to_have_attribute("aria-valuenow", "50", timeout=60_000)
    tab_to(page, slider)
    for key, value in (("ArrowRight", "52"), ("PageDown", "42"), ("End", "100"), ("ArrowRight", "100")):
        page.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuenow", value)
    expect(slider).to_have_attribute("aria-valuetext", "100 % photograph")
