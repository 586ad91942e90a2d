"""The tab goes on in the background and says the end, and a notice comes where one was asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.testbed.processes import wait_for
from farm.database import sessions
from farm.database.models import Event, Job, State
from farm.jobs import states
from tests.web.conftest import bring_to
from tests.web.test_web_live import report, taken

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
}"""
NOTICES = """
    window.notices = [];
    window.Notification = class extends EventTarget {
        static permission = "default";
        static async requestPermission() { return (Notification.permission = "granted"); }
        constructor(title) { super(); window.notices.push(title); }
    };
"""

ONLY_WORKERS = """
    Notification = class extends Notification {
        constructor() { throw new TypeError("Illegal constructor"); }
    };
    ServiceWorkerRegistration.prototype.showNotification = async function (title, { data }) {
        window.notices.push(`${this.active.state}: ${title} ${data}`);
    };
"""


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job(name="Bridge")


def icon(page: Page) -> str:
    return page.locator("link[rel=icon]").get_attribute("href") or ""


def pass_until_titled(page: Page, title: str) -> None:
    """Let a hidden page's time pass, a few seconds at once, until its tab says this."""
    for _ in range(40):
        page.clock.run_for(2500)
        page.wait_for_timeout(50)  # for the answer, which comes by the real clock
        if page.title() == title:
            return
    expect(page).to_have_title(title, timeout=1)


def test_the_tab_goes_on_in_the_background_and_says_the_end(page: Page, served: str, job: Job) -> None:
    # Given a page of a running job that somebody looked at
    page.clock.install()
    attempt = taken(job)
    page.goto(f"{served}/jobs/{job.id}")
    report(attempt, 0.05)
    pass_until_titled(page, "5 % · Bridge · Style Farm")
    before = icon(page)

    # When it lies in the background, title and icon go on
    page.evaluate(HIDE, True)
    report(attempt, 0.12)
    pass_until_titled(page, "12 % · Bridge · Style Farm")
    assert icon(page) != before

    # And say the end, as the page does once somebody looks
    with sessions.write_session() as session:
        states.fail(session, attempt, "No paint left.")
    pass_until_titled(page, "Failed · Bridge · Style Farm")
    page.evaluate(HIDE, False)
    expect(page.get_by_role("heading", name="Why it failed")).to_be_visible()


def test_a_notice_that_was_asked_for_comes_and_the_wish_is_kept(
    page: Page, served: str, job: Job, make_job: Callable[..., Job]
) -> None:
    page.add_init_script(NOTICES)
    page.clock.install()
    page.goto(f"{served}/jobs/{job.id}")
    page.get_by_label("Notify me when it is done").check()

    page.evaluate(HIDE, True)
    bring_to(job, State.SUCCEEDED)
    pass_until_titled(page, "Finished · Bridge · Style Farm")
    assert page.evaluate("window.notices") == ["Finished · Bridge · Style Farm"]

    page.add_init_script("Notification.permission = 'granted'")
    page.goto(f"{served}/jobs/{make_job().id}")
    expect(page.get_by_label("Notify me when it is done")).to_be_checked()


def test_where_only_a_service_worker_may_show_a_notice_one_does(
    page: Page, served: str, job: Job
) -> None:
    for script in (NOTICES, ONLY_WORKERS):
        page.add_init_script(script)
    page.clock.install()
    page.goto(f"{served}/jobs/{job.id}")
    page.get_by_label("Notify me when it is done").check()
    page.evaluate(HIDE, True)
    bring_to(job, State.SUCCEEDED)
    pass_until_titled(page, "Finished · Bridge · Style Farm")
    told = f"activated: Finished · Bridge · Style Farm {served}/jobs/{job.id}"
    wait_for(lambda: page.evaluate("window.notices") == [told], 30)


def test_where_no_notice_can_come_the_page_says_why(page: Page, served: str, job: Job) -> None:
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.goto(f"{served}/jobs/{job.id}")
    expect(page.get_by_label("Notify me when it is done")).to_be_disabled()
    expect(page.locator("#notice-words")).to_contain_text("only for pages with https")
    expect(page.locator("#notice-words")).to_contain_text("title and the icon of this tab")


def test_whoever_comes_later_reads_the_end_in_the_title(page: Page, served: str, job: Job) -> None:
    with sessions.write_session() as session:
        states.cancel(session, job.id)
    page.goto(f"{served}/jobs/{job.id}")
    expect(page).to_have_title("Cancelled · Bridge · Style Farm")


def test_moments_are_told_in_the_time_of_whoever_reads(browser: Browser, served: str, job: Job) -> None:
    # Given somebody in Tokyo, nine hours ahead, who looks at a job of this evening
    with sessions.write_session() as session:
        for event in session.query(Event).all():
            event.created_at = datetime(2026, 3, 1, 20, 30, tzinfo=UTC)
    context = browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    page.goto(f"{served}/jobs/{job.id}")

    # Then it is of tomorrow morning, also once the page has changed
    moment = page.locator("#timeline time").last
    expect(moment).to_have_text("2 Mar 2026, 05:30:00")
    taken(job)
    expect(page.locator("#timeline li")).to_have_count(2)
    expect(moment).to_have_text("2 Mar 2026, 05:30:00")
    context.close()


def test_a_dark_system_gets_dark_pages_without_a_script(browser: Browser, served: str) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto(served)
    expect(page.locator("body")).to_have_css("background-color", "rgb(23, 21, 19)")
    context.close()
