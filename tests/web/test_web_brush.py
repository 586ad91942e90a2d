"""The brush on the form: what is painted over the photograph becomes masks; pointer, finger or keys."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from benchmarks.testbed.processes import wait_for
from farm.database import sessions
from farm.database.models import Job, JobPicture, State
from farm.jobs import states
from farm.pictures.decode import decode_map_to_size
from farm.storage import storage
from tests.browser.drafts import find_kept_file
from tests.web import bad_pictures
from tests.workers.test_render_job import rendered

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

RED, BLUE = (200, 60, 40), (40, 60, 200)


def painting(colour: tuple[int, int, int]) -> bytes:
    """Strokes of one colour, lighter and darker."""
    shades = np.random.default_rng(1).uniform(0.5, 1.2, (96, 96, 1)).repeat(3, axis=2)
    return bad_pictures.encoded(Image.fromarray((shades * colour).clip(0, 255).astype(np.uint8)), "PNG")


@pytest.fixture
def chosen(page: Page, served: str, tmp_path: Path) -> Page:
    """The form with a grey photograph and two paintings, and its brush."""
    page.goto(served)
    choose(page, tmp_path)
    return page


def choose(page: Page, folder: Path) -> None:
    grey = Image.fromarray(np.random.default_rng(2).integers(90, 160, (96, 128), np.uint8)).convert(
        "RGB"
    )
    files = {
        "street.png": bad_pictures.encoded(grey, "PNG"),
        "red.png": painting(RED),
        "blue.png": painting(BLUE),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    page.locator("input[name=content]").set_input_files(folder / "street.png")
    page.locator("input[name=style]").set_input_files([folder / "red.png", folder / "blue.png"])
    open_where(page)
    expect(page.locator("#brush canvas")).to_be_visible()


def open_where(page: Page) -> None:
    """Unfold what holds the brush, once more if the page moved under the pointer between press and
    release, as it does while pictures come."""
    while page.locator("#where").get_attribute("open") is None:
        page.locator("#where > summary").click()


def find_resting_box(canvas: Locator) -> FloatRect:
    """Return where it is, once what comes into the page above it moves it no more."""
    canvas.scroll_into_view_if_needed()
    boxes = [canvas.bounding_box()]

    def rests() -> bool:
        boxes.append(canvas.bounding_box())
        return boxes[-1] == boxes[-2]

    wait_for(rests)
    assert boxes[-1]
    return boxes[-1]


def stroke(canvas: Locator, *places: tuple[float, float]) -> None:
    """Lead the pointer over these places, shares of width and height, with its button down; once more if
    the page moved under it, as it does while pictures come."""
    while True:
        box = find_resting_box(canvas)
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        mouse = canvas.page.mouse
        mouse.move(*points[0])
        mouse.down()
        for point in points[1:]:
            mouse.move(*point, steps=4)
        mouse.up()
        if canvas.bounding_box() == box:
            return
        canvas.page.get_by_role("button", name="Undo").click()


def paint_left_half(page: Page) -> None:
    page.locator("#brush-size").fill("40")
    page.locator("#brush-softness").fill("0")
    stroke(page.locator("#brush canvas"), (0.1, 0.0), (0.1, 1.0), (0.25, 1.0), (0.25, 0.0))


def send(page: Page) -> Job:
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    with sessions.read_session() as session:
        return states.get(session, page.url.rpartition("/")[2])


def levels(guide: JobPicture) -> np.ndarray:
    return decode_map_to_size(storage().get(guide.upload.key), "mask", 10, lambda sent: sent)


@pytest.mark.timeout(300)  # of a machine at work: it paints a picture
def test_two_regions_are_painted_sent_and_found_in_the_picture(chosen: Page, weights_dir: Path) -> None:
    # Given a brush in the colour of the first painting, led over the left half
    page = chosen
    expect(page.locator("#brush-words")).to_have_text(
        "Nothing painted yet: each painting paints everywhere."
    )
    paint_left_half(page)
    expect(page.locator("#brush-words")).to_contain_text("red.png 4")
    expect(page.locator("#brush-words")).to_contain_text("blue.png 5")

    # When the form is sent
    page.locator("#size").fill("96")
    page.get_by_text("Draft", exact=True).click()
    job = send(page)

    # Then each painting has its part, and together they have all of it
    left, right = (levels(mask) for mask in job.masks)
    assert left.shape == (384, 512)  # of a small photograph a map is larger than it is
    assert left[:, :160].min() == 255
    assert left[:, 288:].max() == 0
    assert (left.astype(int) + right == 255).all()
    assert job.keep is None
    page.get_by_role("img", name="Where painting 2 paints").scroll_into_view_if_needed()

    # And in the finished picture each half has the colour of its own painting
    done = rendered(job)
    assert done.state is State.SUCCEEDED
    with Image.open(io.BytesIO(storage().get(done.result_key))) as result:
        pixels = np.asarray(result, int)
    redder = pixels[..., 0] - pixels[..., 2]
    assert redder[:, :30].mean() > 20
    assert redder[:, 60:].mean() < -20


def test_undo_erase_clear_and_what_stays(chosen: Page) -> None:
    page = chosen
    words = page.locator("#brush-words")
    paint_left_half(page)
    page.get_by_role("button", name="Leave as it is").click()
    page.locator("#brush-size").fill("10")
    stroke(page.locator("#brush canvas"), (0.15, 0.1), (0.15, 0.9))
    expect(words).to_contain_text("as it is")
    page.get_by_role("button", name="Undo").click()
    expect(words).not_to_contain_text("as it is")
    page.get_by_role("button", name="Redo").click()
    expect(words).to_contain_text("as it is")

    # Where the brush erases nobody has anything
    page.get_by_role("button", name="Erase").click()
    page.locator("#brush-size").fill("60")
    stroke(page.locator("#brush canvas"), (0.1, 0.0), (0.1, 1.0), (0.3, 1.0), (0.3, 0.0), (0.5, 0.5))
    expect(words).to_contain_text("Nothing painted yet")
    now = page.evaluate("Date.now()")
    page.get_by_role("button", name="Undo").click()
    expect(words).to_contain_text("as it is")

    # What was painted outlasts loading again
    before = words.text_content() or ""
    wait_for(lambda: find_kept_file(page, "mask") >= now)
    page.reload()
    open_where(page)
    expect(words).to_have_text(before)

    # Cleared, nothing is sent
    page.get_by_role("button", name="Clear").click()
    expect(words).to_contain_text("Nothing painted yet")
    page.locator("#size").fill("96")
    assert send(page).guides == []


def test_the_keyboard_paints_and_undoes(chosen: Page) -> None:
    page = chosen
    canvas, words = page.locator("#brush canvas"), page.locator("#brush-words")
    page.locator("#brush-size").fill("20")
    canvas.focus()
    expect(page.locator(".brush-ring")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.down(" ")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.keyboard.up(" ")
    expect(words).to_contain_text("red.png")
    page.keyboard.press("Control+z")
    expect(words).to_contain_text("Nothing painted yet")
    page.keyboard.press("Control+Shift+z")
    expect(words).to_contain_text("red.png")


def test_a_finger_paints_on_a_narrow_page_and_once_more_shows_it(
    browser: Browser, served: str, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto(served)
    choose(page, tmp_path)
    canvas = page.locator("#brush canvas")
    canvas.scroll_into_view_if_needed()
    canvas.tap()
    expect(page.locator("#brush-words")).to_contain_text("red.png")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#size").fill("96")
    job = send(page)
    sent = levels(job.masks[0])
    assert sent[192, 256] == 255
    assert (sent.astype(int) + levels(job.masks[1]) == 255).all()

    # Once more: its regions are there, and are sent again as they are
    page.goto(f"{served}/?from={job.id}")
    open_where(page)
    expect(page.locator("#brush-words")).to_contain_text("Painting 1")
    again = send(page)
    assert [each.upload_sha256 for each in again.guides] == [each.upload_sha256 for each in job.guides]
    context.close()


@pytest.mark.parametrize("size", [(40, 30), (33, 130)])
def test_a_tiny_photograph_is_painted_on_in_its_proportion(
    page: Page, served: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    page.goto(served)
    (tmp_path / "tiny.png").write_bytes(
        bad_pictures.encoded(Image.new("RGB", size, (90, 120, 60)), "PNG")
    )
    (tmp_path / "red.png").write_bytes(painting(RED))
    page.locator("input[name=content]").set_input_files(tmp_path / "tiny.png")
    page.locator("input[name=style]").set_input_files(tmp_path / "red.png")
    open_where(page)
    canvas = page.locator("#brush canvas")
    expect(canvas).to_be_visible()
    box = find_resting_box(canvas)
    assert max(box["width"], box["height"]) > 250
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.02)
    page.get_by_role("button", name="Leave as it is").click()
    stroke(canvas, (0.5, 0.5), (0.5, 0.7))
    job = send(page)
    assert job.keep
    sent = levels(job.keep)
    assert max(sent.shape) == 512
    assert sent[sent.shape[0] // 2, sent.shape[1] // 2] == 255
    assert sent[0, 0] == 0


def test_arrows_are_drawn_with_pointer_and_keys_and_sent(chosen: Page) -> None:
    # Given one arrow drawn by pointer, and one by keys to the right of the middle
    page = chosen
    canvas, words = page.locator("#brush canvas"), page.locator("#arrow-words")
    button = page.get_by_role("button", name="Draw arrows")
    pressed = page.locator("#brush [aria-pressed=true]")
    button.click()
    expect(pressed).to_have_text(["Draw arrows"])  # the brush is laid aside
    stroke_arrow(canvas, (0.25, 0.75), (0.25, 0.25))
    expect(words).to_have_text("1 arrow: strokes run along it.")
    canvas.focus()
    page.mouse.move(0, 0)
    page.keyboard.down(" ")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.up(" ")
    expect(words).to_have_text("2 arrows: strokes run along them.")
    # When one without a length is tried, it is none, and the last is taken away and drawn again
    canvas.click()
    expect(words).to_contain_text("has no length")
    page.keyboard.press("Control+z")
    expect(words).to_have_text("1 arrow: strokes run along it.")
    stroke_arrow(canvas, (0.5, 0.5), (0.9, 0.5))
    expect(page.locator(".brush-stage polyline")).to_have_count(4)
    # Then they are in their setting, the brush painted nothing, and they are sent
    expect(page.locator("#brush-words")).to_contain_text("Nothing painted yet")
    page.get_by_role("button", name="Erase").click()
    expect(pressed).to_have_text(["Erase"])
    page.locator("#size").fill("96")
    job = send(page)
    upright, level = job.recipe["stroke_arrows"]
    assert upright == pytest.approx([0.25, 0.75, 0.25, 0.25], abs=0.02)
    assert level == pytest.approx([0.5, 0.5, 0.9, 0.5], abs=0.02)
    assert job.guides == []
    # And once more shows them
    page.goto(f"{page.url.partition('/jobs')[0]}/?from={job.id}")
    open_where(page)
    expect(words).to_have_text("2 arrows: strokes run along them.")
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#stroke_arrows")).to_have_value("")


def stroke_arrow(canvas: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    box = find_resting_box(canvas)
    mouse = canvas.page.mouse
    mouse.move(box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"])
    mouse.down()
    mouse.move(box["x"] + end[0] * box["width"], box["y"] + end[1] * box["height"], steps=4)
    mouse.up()
