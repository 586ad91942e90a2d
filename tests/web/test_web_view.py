"""The viewer in a real browser: an 8K picture fitted, at 100 %, dragged."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from benchmarks.testbed.processes import wait_for
from farm.database.models import Job, State
from farm.storage import storage
from tests.web.bad_pictures import encoded, picture

pytestmark = pytest.mark.browser

MakeJob = Callable[..., Job]
WIDTH, HEIGHT = 7680, 4320


@pytest.fixture(scope="module")
def eight_k() -> bytes:
    """A JPEG of a smooth gradient."""
    return encoded(picture().resize((WIDTH, HEIGHT)), quality=80)


@pytest.fixture
def job(make_job: MakeJob, eight_k: bytes) -> Job:
    """A finished job of 8K, whose result is a 16-bit TIFF."""
    job = make_job(
        State.SUCCEEDED, name="Bridge at dusk", content=(160, 90), size=WIDTH, format="tiff16"
    )
    storage().put(job.view_key, eight_k)
    return job


@pytest.fixture
def view(page: Page, served: str, job: Job) -> Page:
    """The viewer, come to from the job's page, once the full size is there."""
    page.goto(f"{served}/jobs/{job.id}")
    page.get_by_role("link", name="View in the whole window").click()
    expect(page.locator("#full")).to_be_attached(timeout=60_000)
    return page


def box(locator: Locator) -> tuple[float, float, float, float]:
    """x, y, width and height in the window, CSS px."""
    found = locator.bounding_box()
    assert found
    return found["x"], found["y"], found["width"], found["height"]


def test_the_picture_is_fitted_when_it_opens(view: Page) -> None:
    left, top, width, height = box(view.locator("#sheet"))
    stage = box(view.locator("#stage"))
    assert width == pytest.approx(stage[2], abs=1)
    assert height == pytest.approx(width * HEIGHT / WIDTH, abs=1)
    assert left == pytest.approx(0, abs=1)
    assert top + height / 2 == pytest.approx(stage[1] + stage[3] / 2, abs=1)
    expect(view.get_by_role("button", name="Fit")).to_have_attribute("aria-pressed", "true")
    assert view.evaluate("document.documentElement.scrollWidth") == 1280


def test_at_100_percent_a_point_of_the_picture_is_a_point_of_the_screen(view: Page) -> None:
    view.get_by_role("button", name="100 %").click()

    assert view.evaluate("document.querySelector('#full').naturalWidth") == WIDTH
    assert box(view.locator("#full"))[2:] == (WIDTH, HEIGHT)
    expect(view.locator("#spoken")).to_have_text("100 %")
    # And it is the very picture: the same columns of the gradient are in the middle of the screen
    with Image.open(io.BytesIO(view.screenshot())) as shot:
        red, green, *_ = np.asarray(shot.convert("RGB"))[476, 640]
    assert (red, green) == (pytest.approx(127, abs=4), pytest.approx(127, abs=4))


def test_dragging_and_arrow_keys_move_it_as_far_as_its_edges(view: Page) -> None:
    # Given the picture at 100 %
    view.keyboard.press("1")
    x, y, *_ = box(view.locator("#sheet"))

    # When it is dragged, it follows the pointer
    view.mouse.move(600, 500)
    view.mouse.down()
    view.mouse.move(400, 450, steps=5)
    view.mouse.up()
    assert box(view.locator("#sheet"))[:2] == (x - 200, y - 50)

    # When an arrow key is pressed, that side comes nearer
    view.keyboard.press("ArrowRight")
    assert box(view.locator("#sheet"))[0] == x - 280

    # When it is dragged beyond its edge, the edge stays at the window's
    for _ in range(9):
        view.mouse.move(200, 200)
        view.mouse.down()
        view.mouse.move(1200, 800)
        view.mouse.up()
    assert box(view.locator("#sheet"))[:2] == (0, box(view.locator("#stage"))[1])


def test_the_wheel_zooms_where_the_pointer_is(view: Page) -> None:
    under = """() => { const box = document.querySelector('#sheet').getBoundingClientRect();
                       return [(300 - box.x) / box.width, (400 - box.y) / box.height]; }"""
    before = view.evaluate(under)
    width = box(view.locator("#sheet"))[2]
    view.mouse.move(300, 400)
    for _ in range(5):
        view.mouse.wheel(0, -400)
    expect(view.get_by_role("button", name="Fit")).to_have_attribute("aria-pressed", "false")
    wait_for(lambda: box(view.locator("#sheet"))[2] > 3 * width, pause=0.05)
    assert view.evaluate(under) == pytest.approx(before, abs=0.002)


def test_keys_buttons_and_double_clicks_zoom(view: Page) -> None:
    fitted = box(view.locator("#sheet"))
    view.keyboard.press("+")
    assert box(view.locator("#sheet"))[2] == pytest.approx(fitted[2] * 1.25, rel=1e-3)
    view.get_by_role("button", name="Zoom out").click()
    view.keyboard.press("-")
    assert box(view.locator("#sheet")) == pytest.approx(fitted, abs=1)  # no smaller than the window
    view.mouse.dblclick(640, 450)
    assert box(view.locator("#sheet"))[2] == WIDTH
    view.mouse.dblclick(640, 450)
    assert box(view.locator("#sheet")) == pytest.approx(fitted, abs=1)
    view.get_by_role("button", name="100 %").click()
    view.keyboard.press("f")
    assert box(view.locator("#sheet")) == pytest.approx(fitted, abs=1)
    expect(view.locator("#spoken")).to_have_text("Fitted, 17 %")


def test_two_fingers_pinch(view: Page) -> None:
    width = box(view.locator("#sheet"))[2]
    session = view.context.new_cdp_session(view)

    def touch(kind: str, *xs: int) -> None:
        points = [{"x": x, "y": 450, "id": number} for number, x in enumerate(xs)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 600, 680)
    touch("touchMove", 560, 720)
    touch("touchMove", 520, 760)
    touch("touchEnd")
    assert box(view.locator("#sheet"))[2] == pytest.approx(3 * width, rel=0.01)


def test_escape_goes_back_to_the_job(view: Page, served: str, job: Job) -> None:
    view.keyboard.press("Escape")
    view.wait_for_url(f"{served}/jobs/{job.id}")


def test_escape_leads_to_the_job_from_a_bookmark_too(page: Page, served: str, job: Job) -> None:
    page.goto(f"{served}/jobs/{job.id}/view")
    page.keyboard.press("Escape")
    page.wait_for_url(f"{served}/jobs/{job.id}")


def test_in_a_narrow_window_everything_fits_and_is_reached_by_tab(view: Page) -> None:
    view.set_viewport_size({"width": 390, "height": 844})
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    wait_for(lambda: box(view.locator("#sheet"))[2] == pytest.approx(390, abs=1))
    seen = []
    for _ in range(6):
        view.keyboard.press("Tab")
        seen.append(view.evaluate("document.activeElement.title || document.activeElement.textContent"))
    assert seen[0] == "Back (Esc)"
    assert {"Zoom out (-)", "Zoom in (+)", "Download TIFF, 16 bit"} < set(seen)


def test_if_the_full_size_is_gone_the_preview_stays_and_it_is_said(
    page: Page, served: str, job: Job
) -> None:
    for key in (job.view_key, job.result_key):
        storage().delete(key)
    page.goto(f"{served}/jobs/{job.id}/view")
    expect(page.get_by_role("status")).to_contain_text("could not be loaded")
    expect(page.locator("#preview")).to_be_visible()


def test_without_javascript_there_are_the_picture_and_a_link(
    browser: Browser, served: str, job: Job, eight_k: bytes
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served}/jobs/{job.id}/view")
    expect(page.get_by_alt_text("Bridge at dusk, painted")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    address = page.get_by_role("link", name="Full size").get_attribute("href")
    assert page.request.get(f"{served}{address}").body() == eight_k
    context.close()


def test_an_unfinished_picture_is_shown_on_its_own_page(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.RUNNING)
    response = client.get(f"/jobs/{job.id}/view")
    assert (response.status_code, response.headers["Location"]) == (303, f"/jobs/{job.id}")
