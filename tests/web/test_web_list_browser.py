"""The list of jobs and the gallery in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from farm.database import sessions
from farm.database.models import Job, State
from farm.jobs import actions, states
from web.pages.jobs import PAGES, View

pytestmark = pytest.mark.browser

MakeJob = Callable[..., Job]
POLL_MS = 3000


@pytest.fixture
def five(make_job: MakeJob) -> list[Job]:
    """Jobs 1 to 5, of which 5 is the newest; 1 and 2 are finished, the others wait."""
    wanted = [State.SUCCEEDED] * 2 + [State.QUEUED] * 3
    return [make_job(state, name=f"Picture {number}") for number, state in enumerate(wanted, 1)]


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A page without JavaScript."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def box(page: Page, number: int) -> Locator:
    """What selects Picture `number`."""
    return page.get_by_label(f"Select Picture {number}", exact=True)


def shown(page: Page) -> list[str]:
    return page.locator(".card-name").all_text_contents()


MEASURE_SHIFT = """() => {
  window.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.shift += entry.value;
  }).observe({ type: "layout-shift" });
}"""


def test_a_person_searches_sorts_and_changes_the_view(five: list[Job], page: Page, served: str) -> None:
    page.goto(f"{served}/jobs")
    assert shown(page)[0] == "Picture 5"

    page.get_by_role("link", name="Name").click()
    expect(page.locator(".card-name").first).to_have_text("Picture 1")
    page.get_by_label("Search by name").fill("PICTURE 3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs?sort=name&q=PICTURE+3")
    assert shown(page) == ["Picture 3"]
    expect(page.locator("#filters")).to_contain_text("All 1")

    page.get_by_role("link", name="Table").click()
    page.wait_for_url(re.compile("view=table"))
    expect(page.get_by_role("row", name="Picture 3")).to_contain_text("Waiting")


def test_jobs_are_selected_with_the_keyboard_and_in_ranges(
    five: list[Job], page: Page, served: str
) -> None:
    page.goto(f"{served}/jobs")
    bar = page.get_by_role("form", name="The selected jobs")
    expect(bar).to_be_hidden()

    # When one is ticked with the space bar, the bar tells of it
    box(page, 5).focus()
    page.keyboard.press("Space")
    expect(bar).to_contain_text("1 selected")

    # When another is clicked with Shift, all between are ticked
    box(page, 2).click(modifiers=["Shift"])
    expect(bar).to_contain_text("4 selected")
    expect(page.get_by_label("Select all on this page")).not_to_be_checked()

    page.get_by_label("Select all on this page").check()
    expect(bar).to_contain_text("5 selected")
    box(page, 3).uncheck()
    expect(bar).to_contain_text("4 selected")
    page.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()


def test_a_person_deletes_what_has_ended_and_hears_of_the_rest(
    five: list[Job], page: Page, served: str
) -> None:
    page.goto(f"{served}/jobs?view=table")
    for number in (1, 2, 4):
        box(page, number).check()
    page.get_by_role("button", name="Delete").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Delete 2 jobs?")
    expect(page.get_by_role("region", name="1 will not: not ended yet")).to_contain_text("Picture 4")
    page.get_by_role("button", name="Delete 2 jobs").click()

    page.wait_for_url("**/jobs?view=table")
    expect(page.get_by_role("status").first).to_have_text("2 deleted.")
    assert page.locator("tbody th").all_text_contents() == ["Picture 5", "Picture 4", "Picture 3"]


def test_everything_works_without_javascript(five: list[Job], plain: Page, served: str) -> None:
    plain.goto(f"{served}/jobs?state=queued")
    for number in (3, 5):
        box(plain, number).check()
    plain.get_by_role("button", name="Cancel", exact=True).click()
    plain.get_by_role("button", name="Cancel 2 jobs").click()

    plain.wait_for_url("**/jobs?state=queued")
    expect(plain.get_by_text("2 cancelled.")).to_be_visible()
    assert shown(plain) == ["Picture 4"]
    plain.goto(f"{served}/gallery")
    expect(plain.get_by_role("link", name="Picture 2")).to_be_visible()


def test_the_list_keeps_up_and_keeps_selection_focus_and_place(
    five: list[Job], make_job: MakeJob, page: Page, served: str
) -> None:
    # Given a small window, scrolled down, with a job ticked and its box in focus
    page.clock.install()
    page.set_viewport_size({"width": 600, "height": 500})
    page.goto(f"{served}/jobs")
    box(page, 2).check()
    box(page, 4).focus()
    box(page, 2).scroll_into_view_if_needed()
    place = page.evaluate("scrollY")
    assert place > 200

    # When a job is cancelled and another one comes
    with sessions.write_session() as session:
        states.cancel(session, five[3].id)
    make_job(name="Picture 6")
    page.clock.run_for(POLL_MS)

    # Then what has changed is shown, where it was, and nothing else moves while something is ticked
    expect(page.locator(f'[data-id="{five[3].id}"]')).to_contain_text("Cancelled")
    expect(page.locator("#filters")).to_contain_text("All 6")
    assert shown(page)[0] == "Picture 5"
    expect(box(page, 2)).to_be_checked()
    expect(box(page, 4)).to_be_focused()
    assert page.evaluate("scrollY") == place

    # When nothing is ticked any more, the new one is shown as soon as it is asked for, and one that is
    # deleted goes
    box(page, 2).uncheck()
    actions.delete(five[1].id)
    page.clock.run_for(POLL_MS)
    page.get_by_role("button", name="1 new picture").click()
    expect(page.locator(".card-name")).to_have_text(
        ["Picture 6", "Picture 5", "Picture 4", "Picture 3", "Picture 1"]
    )


@pytest.mark.parametrize("view", ["cards", "table"])
def test_new_pictures_push_nothing_along_until_they_are_asked_for(
    view: str, five: list[Job], make_job: MakeJob, page: Page, served: str
) -> None:
    page.clock.install()
    page.goto(f"{served}/jobs?view={view}")
    page.evaluate(MEASURE_SHIFT)
    names = page.locator(".card-name, tbody th")
    for number in (6, 7):
        make_job(name=f"Picture {number}")
        page.clock.run_for(POLL_MS)
        news = page.get_by_role("button", name=f"{number - 5} new picture")
        expect(news).to_be_visible()
        expect(names).to_have_count(5)
    assert page.evaluate("shift") == 0
    news.click()
    expect(names.first).to_have_text("Picture 7")
    expect(names).to_have_count(7)
    expect(news).to_be_hidden()
    actions.delete(five[1].id)
    page.clock.run_for(POLL_MS)
    expect(names).to_have_count(6)


def test_an_empty_list_fills_by_itself(make_job: MakeJob, page: Page, served: str) -> None:
    page.clock.install()
    page.goto(f"{served}/jobs")
    expect(page.get_by_role("heading", name="The easel is empty")).to_be_visible()
    make_job(name="The first")
    page.clock.run_for(POLL_MS)
    expect(page.locator(".card-name")).to_have_text("The first")


def test_the_gallery_shows_words_on_focus_and_crops_next_to_nothing(
    make_job: MakeJob, page: Page, served: str
) -> None:
    for number, size in enumerate([(160, 90), (90, 160), (120, 120), (160, 120), (150, 100)]):
        make_job(State.SUCCEEDED, name=f"Picture {number}", content=size)
    page.goto(f"{served}/gallery")
    pictures = page.locator(".wall img")
    for picture in pictures.all():
        width, height = (int(picture.get_attribute(name) or 0) for name in ("width", "height"))
        shown = picture.bounding_box()
        assert shown
        assert shown["width"] / shown["height"] == pytest.approx(width / height, rel=0.05)
    words = page.get_by_text("Picture 4").locator("..")
    expect(words).to_have_css("opacity", "0")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.wall') !== null"):
            break
    expect(words).to_have_css("opacity", "1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Picture 4")


def test_all_of_a_search_are_selected_at_once(
    page: Page, served: str, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a search that fills two pages
    monkeypatch.setitem(PAGES, View.CARDS, 2)
    for number in range(3):
        make_job(name=f"Mill {number}")
    other = make_job(name="Bridge")
    page.goto(f"{served}/jobs?q=mill")
    expect(page.get_by_label("All 3 jobs of this list")).to_be_hidden()

    # When all of the page and then all of the search are ticked, all are cancelled
    page.get_by_label("Select all on this page").check()
    page.get_by_label("All 3 jobs of this list").check()
    page.get_by_role("form", name="The selected jobs").get_by_role(
        "button", name="Cancel", exact=True
    ).click()
    page.get_by_role("button", name="Cancel 3 jobs").click()

    expect(page.get_by_text("3 cancelled.")).to_be_visible()
    with sessions.read_session() as session:
        assert states.get(session, other.id).state is State.QUEUED


def test_all_that_wait_are_cancelled_in_two_clicks(five: list[Job], page: Page, served: str) -> None:
    page.goto(f"{served}/jobs")
    page.get_by_role("button", name="Cancel all that wait").click()
    page.get_by_role("button", name="Cancel 3 jobs").click()
    expect(page.get_by_text("3 cancelled.")).to_be_visible()
