"""Films in a real browser: a clip goes into the form, its strip fills in, the player shows both."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from benchmarks.testbed.processes import wait_for
from farm.clips.look import check_clip
from farm.clips.write import write_film
from farm.database import sessions
from farm.database.films import Film
from farm.database.models import Job
from farm.films import films
from farm.films.parts import read_plan
from farm.films.settings import FilmSettings
from farm.films.submit import submit_film
from farm.jobs import attempts, claims, states
from farm.jobs.claims import Taker
from farm.recipe import Recipe
from farm.recipe.film import Role
from farm.storage import storage
from tests.web import bad_pictures
from tests.web.test_web_form_pictures import drop

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

FRAMES = 6
SIZE = (72, 96)  # height, width, px
LEVELS = [40 * number for number in range(FRAMES)]  # grey of each frame of the clip
PAINTED = (200, 30, 90)
PIXEL = """([x, y]) => { const canvas = document.getElementById("player-picture");
    return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data]; }"""


def make_clip(frames: int = FRAMES) -> bytes:
    """Return an animated PNG whose frames are grey, each brighter than the one before."""
    file = io.BytesIO()
    first, *others = (Image.new("RGB", SIZE[::-1], (level,) * 3) for level in LEVELS[:frames])
    first.save(file, "PNG", save_all=True, append_images=others, duration=100)
    return file.getvalue()


def clip_file(data: bytes | None = None, name: str = "walk.png") -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": make_clip() if data is None else data}


def submit_clip(settings: FilmSettings | None = None, priority: int = 0, webhook_url: str = "") -> Film:
    painting = bad_pictures.photo(100, 100)
    recipe = Recipe.parse({"size": SIZE[1], "preset": "draft"})
    names = ["walk.png", "brushwork.jpg"]
    return submit_film(
        make_clip(),
        [painting],
        recipe,
        settings or FilmSettings(),
        name="Walk",
        priority=priority,
        webhook_url=webhook_url,
        file_names=names,
    )


def paint_part(film: Film, result: bytes = b"the film") -> None:
    """Paint the next part of a film as a worker does.

    Args:
        result: the file that joining all makes.
    """
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1"))
    assert claim
    assert claim.job.film_id == film.id
    part = read_plan(film)[claim.job.film_part or 0]
    frames = part.frames if part.role is not Role.JOIN else ()
    for number in frames:
        paint_frame(film, claim.job, number)
        with sessions.write_session() as session:
            attempts.record_frame(session, claim.attempt, film.id, number, 1000)
    if part.role is Role.JOIN:
        storage().put(claim.job.result_key, result)
    with sessions.write_session() as session:
        states.succeed(session, claim.attempt, {"sound": "copied"} if part.role is Role.JOIN else {})
    films.settle(film.id)


def paint_frame(film: Film, job: Job, number: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", SIZE[::-1], (PAINTED[0] + number, *PAINTED[1:])).save(file, "PNG")
    storage().put(f"{job.folder}/{job.attempt}/frames/{number}.png", file.getvalue())


def read_pixel(page: Page, x: int, y: int) -> list[int]:
    return list(page.evaluate(PIXEL, [x, y]))


def expect_pixel(page: Page, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Wait until a pixel of the player is whole, of this colour."""
    wanted = pytest.approx([*colour, 255], abs=6)
    wait_for(lambda: read_pixel(page, *place) == wanted, seconds=30)


LEFT, RIGHT = (10, 36), (85, 36)


def test_a_clip_in_the_form_becomes_a_film(page: Page, served: str) -> None:
    # Given a form for a picture, without a sign of films
    page.goto(served)
    expect(page.get_by_text("From frame")).to_be_hidden()
    expect(page.get_by_role("button", name="Paint it")).to_be_visible()

    # When a clip is dropped where a photograph goes, it says what it is
    drop(page.locator('[data-drop="content"]'), ("walk.png", "image/png", make_clip()))
    page.get_by_text("Brushwork").click()
    expect(page.locator("#clip-facts")).to_contain_text("96 × 72 px, 6 frames, 0.6 s")
    expect(page.get_by_text("Explore first")).to_be_hidden()
    expect(page.locator("#estimate")).to_contain_text("6 frames of 512 × 384 px: no worker that paints")

    # Then it is painted as a film, of the frames that were chosen
    page.get_by_label("From frame").fill("2")
    page.get_by_label("Every nth frame").fill("2")
    page.get_by_label("File of the film").select_option("zip")
    page.get_by_role("button", name="Paint the film").click()
    page.wait_for_url(re.compile("/films/[0-9a-f]{32}$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("walk")
    expect(page.locator("#strip li")).to_have_count(3)
    found = films.get(page.url[-32:])
    settings = FilmSettings.model_validate(found.settings)
    assert (settings.first, settings.every, settings.format) == (1, 2, "zip")
    assert found.parts[0].content.frames == FRAMES

    # And a photograph in its place makes a picture again
    page.goto(served)
    page.get_by_label("Choose a photograph").set_input_files(clip_file(bad_pictures.photo(), "p.jpg"))
    expect(page.get_by_role("button", name="Paint it")).to_be_visible()
    expect(page.get_by_text("From frame")).to_be_hidden()


def test_three_frames_are_tried_first(page: Page, served: str) -> None:
    page.goto(served)
    page.get_by_label("Choose a photograph").set_input_files(clip_file())
    page.get_by_text("Brushwork").click()
    page.get_by_role("button", name="Try three frames first").click()
    page.wait_for_url(re.compile(r"/jobs\?"))
    expect(page.locator(".card-name")).to_have_text(["walk, frame 6", "walk, frame 4", "walk, frame 1"])
    with sessions.read_session() as session:
        assert {job.recipe["preset"] for job in session.query(Job)} == {"draft"}


def test_a_bad_clip_is_refused_at_the_field(page: Page, served: str) -> None:
    # Given clips of noise, cut, and of one frame
    page.goto(served)
    page.get_by_text("Brushwork").click()
    for data, name, words in (
        (b"GIF89a" + b"noise" * 20, "noise.gif", "is damaged or incomplete"),
        (make_clip()[:200], "cut.png", "is damaged or incomplete and cannot be read to its end"),
        (make_still_gif(), "still.gif", "holds only one frame; send it as a photograph"),
    ):
        page.get_by_label("Choose a photograph").set_input_files(clip_file(data, name))
        expect(page.locator("#content-errors")).to_contain_text(f"{name} {words}")

    # Then it is not sent, until another one takes its place
    page.get_by_role("button", name="Paint the film").click()
    expect(page.get_by_role("button", name="Paint the film")).to_be_enabled()
    assert page.url.rstrip("/") == served
    page.get_by_label("Choose a photograph").set_input_files(clip_file())
    expect(page.locator("#content-errors")).to_be_empty()
    expect(page.locator("#clip-facts")).to_contain_text("6 frames")


def make_still_gif() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", SIZE[::-1]).save(file, "GIF")
    return file.getvalue()


def test_the_strip_fills_and_the_player_shows_clip_and_painting(page: Page, served: str) -> None:
    # Given a film of which nothing is painted: on the right what is to come, faint
    film = submit_clip(FilmSettings(spacing=4))
    page.goto(f"{served}/films/{film.id}")
    words, place = page.locator("#player-words"), page.get_by_role("slider", name="Frame")
    expect(words).to_have_text("Frame 1 of 6, 0:00.00, not painted yet")
    expect(page.locator("#strip .not-begun")).to_have_count(FRAMES)
    expect_pixel(page, LEFT, (LEVELS[0],) * 3)

    # When the first part is painted, it is shown without a reload
    paint_part(film)
    expect(page.locator("#strip .not-begun")).to_have_count(FRAMES - 1)
    expect(words).to_have_text("Frame 1 of 6, 0:00.00")
    expect_pixel(page, RIGHT, PAINTED)
    expect(page.locator("#painted-words")).to_contain_text("1 of 6 frames is painted")
    expect(page.get_by_role("link", name="The frames so far as a zip")).to_be_visible()

    # Then the handle shows more of the clip, by keys and by the pointer
    handle = page.get_by_role("slider", name="How much of the clip shows")
    handle.press("End")
    expect_pixel(page, RIGHT, (LEVELS[0],) * 3)
    handle.press("Home")
    expect_pixel(page, LEFT, PAINTED)
    drag(page, page.locator("#player-stage"))
    expect(handle).to_have_attribute("aria-valuetext", re.compile("^7[0-9] % clip$"))
    expect_pixel(page, LEFT, (LEVELS[0],) * 3)
    expect_pixel(page, RIGHT, PAINTED)

    # And frames are stepped through by buttons, keys and the strip
    page.get_by_role("button", name="One frame on").click()
    expect(words).to_have_text("Frame 2 of 6, 0:00.10, not painted yet")
    expect_pixel(page, LEFT, (LEVELS[1],) * 3)
    place.press("ArrowRight")
    expect(words).to_contain_text("Frame 3 of 6")
    page.locator("#strip a").nth(4).click()
    expect(words).to_contain_text("Frame 5 of 6")
    expect(page.locator("#strip [aria-current]")).to_have_attribute("data-frame", "4")
    expect_pixel(page, LEFT, (LEVELS[4],) * 3)

    # And it plays, until it is asked to stop
    place.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(words).to_contain_text("Frame 2 of 6")
    place.press(" ")
    expect(page.get_by_role("button", name="Play")).to_be_visible()

    # And both stand side by side
    page.get_by_role("button", name="Side by side").click()
    expect(handle).to_be_hidden()
    assert page.evaluate("document.getElementById('player-picture').width") == 2 * SIZE[1]


def drag(page: Page, stage: Locator) -> None:
    """Drag the handle to three quarters."""
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 3 / 4, box["y"] + 20, steps=3)
    page.mouse.up()


def test_a_finished_film_is_downloaded_whole_or_frame_by_frame(page: Page, served: str) -> None:
    # Given a film that is finished while its page is open
    film = submit_clip(FilmSettings(spacing=4))
    page.goto(f"{served}/films/{film.id}")
    while films.get(film.id).outcome is None:
        paint_part(film)
    expect(page.get_by_role("link", name="Download MP4")).to_be_visible(timeout=30_000)
    expect(page.locator("#player")).to_be_visible()  # as no browser plays what this file holds
    expect(page.get_by_role("button", name="The film")).to_have_count(0)
    expect(page.locator("#strip .not-begun")).to_have_count(0)

    # Then there is the film, all frames, and one
    with page.expect_download() as whole:
        page.get_by_role("link", name="Download MP4").click()
    assert whole.value.suggested_filename == f"walk-{film.id[:8]}.mp4"
    assert whole.value.path().read_bytes() == b"the film"
    with page.expect_download() as frames:
        page.get_by_role("link", name="The frames as a zip").click()
    with zipfile.ZipFile(frames.value.path()) as archive:
        assert archive.namelist() == [f"frame_{number:06d}.png" for number in range(FRAMES)]
    with page.expect_download() as one:
        page.get_by_role("link", name="This frame as PNG").click()
    with Image.open(one.value.path()) as image:
        assert image.size == SIZE[::-1]

    # And it is deleted from its page
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete the film").click()
    expect(page.get_by_text("“Walk” was deleted.")).to_be_visible()
    expect(page.get_by_text("No film yet")).to_be_visible()


def make_webm() -> bytes:
    """Return the painted frames of the clip as a film."""
    file = io.BytesIO()
    clip, _ = check_clip(make_clip(), "clip")
    frames = (np.full((*SIZE, 3), PAINTED, np.uint8) for _ in range(FRAMES))
    write_film(frames, clip, range(FRAMES), "webm", make_clip(), file)
    return file.getvalue()


def test_a_finished_film_plays_on_its_page(
    page: Page, served: str, browser_without_script: Callable[[], Page]
) -> None:
    # Given a finished film in a format that browsers play
    film, result = submit_clip(FilmSettings(format="webm", spacing=4)), make_webm()
    while films.get(film.id).outcome is None:
        paint_part(film, result)

    # Then its page has it, with words for its sound, and clip and painting at the same moment
    page.goto(f"{served}/films/{film.id}")
    video = page.locator("video")
    expect(video).to_be_visible()
    expect(
        page.locator("figcaption", has_text="The film: 6 frames, 0.6 s, with the clip's")
    ).to_be_visible()
    expect(page.locator("#player")).to_be_hidden()
    wait_for(lambda: video.evaluate("video => video.readyState >= 2"), seconds=30)
    assert video.evaluate("video => video.videoWidth") == SIZE[1]
    video.evaluate("video => { video.currentTime = 0.35; }")
    page.get_by_role("button", name="Over each other").click()
    expect(video).to_be_hidden()
    expect(page.locator("#player-words")).to_have_text("Frame 4 of 6, 0:00.30")
    page.get_by_role("button", name="The film").click()
    expect(video).to_be_visible()

    # And where it cannot be played, as its source and the video both say, its frames are there
    video.evaluate("""video => {
        for (const it of [video.querySelector("source"), video]) it.dispatchEvent(new Event("error"));
    }""")
    expect(page.locator("#player")).to_be_visible()
    expect(page.get_by_role("button", name="The film")).to_have_count(0)

    # And without a script, too
    plain = browser_without_script()
    plain.goto(f"{served}/films/{film.id}")
    expect(plain.locator("video")).to_be_visible()
    expect(plain.locator("#player-views")).to_be_hidden()


def test_a_film_is_made_again_with_its_settings(page: Page, served: str) -> None:
    # Given a film of some frames, in which a setting moves
    moving = {"style_scale": {"0": 0.5, "5": 2}}
    settings = FilmSettings.parse(
        {"first": 1, "every": 2, "spacing": 4, "format": "zip", "moving": moving}
    )
    film = submit_clip(settings)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    # When it is made once more from its page, which says what it was
    page.goto(f"{served}/films/{film.id}")
    expect(page.locator(".film-settings")).to_contain_text("2 to 6 of the clip's 6, each second one")
    expect(page.locator(".film-settings")).to_contain_text("0.5 at frame 1; 2 at frame 6")
    page.get_by_role("link", name="Again, with changes").click()
    expect(page.locator("#clip-facts")).to_contain_text("6 frames")
    expect(page.get_by_role("checkbox", name="Its settings that move over time")).to_be_checked()
    page.get_by_label("Anchor every").fill("3")
    page.get_by_role("button", name="Paint the film").click()
    page.wait_for_url(re.compile("/films/[0-9a-f]{32}$"))

    # Then the other film has the clip, the paintings and all settings, but for what was changed
    again = films.get(page.url[-32:])
    assert again.id != film.id
    assert FilmSettings.model_validate(again.settings) == settings.model_copy(update={"spacing": 3})
    assert again.name == "Walk"
    sources = [
        [each.upload_sha256 for each in films.get(one.id).parts[0].sources] for one in (film, again)
    ]
    assert sources[0] == sources[1]
    # And until the clip was looked at, nobody asked what a picture would need
    assert [url for url in asked if "/estimate?" in url and "clip=&" in url] == []


def test_a_film_is_cancelled_where_it_is_to_be_deleted(page: Page, served: str) -> None:
    film = submit_clip()
    page.goto(f"{served}/films/{film.id}/delete")
    expect(page.get_by_text("0 of 6 frames are painted. Cancel the film first")).to_be_visible()
    page.get_by_role("button", name="Cancel the film").click()
    page.get_by_role("button", name="Delete the film").click()
    expect(page.get_by_text("“Walk” was deleted.")).to_be_visible()


def test_a_film_is_cancelled_and_goes_on(page: Page, served: str) -> None:
    film = submit_clip()
    page.goto(f"{served}/films/{film.id}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#film-facts .state")).to_have_text("Cancelled")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#film-facts .state")).to_have_text("Waiting")
    page.get_by_text("Parts", exact=True).click()
    expect(page.locator("#film-parts tbody tr")).to_have_count(3)
    page.goto(f"{served}/films")
    expect(page.get_by_role("link", name="Walk")).to_be_visible()


def test_without_a_script_a_film_is_a_strip(
    browser_without_script: Callable[[], Page], served: str
) -> None:
    film = submit_clip()
    paint_part(film)
    page = browser_without_script()
    page.goto(f"{served}/films/{film.id}")
    expect(page.locator("#player")).to_be_hidden()
    frames = page.locator("#strip a")
    expect(frames).to_have_count(FRAMES)
    answer = page.request.get(f"{served}{frames.first.get_attribute('href')}")
    assert read_colour(answer.body()) == pytest.approx(PAINTED)


def read_colour(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)[0, 0]


@pytest.fixture
def browser_without_script(page: Page) -> Iterator[Callable[[], Page]]:
    """Makes pages of a browser whose scripts are off."""
    browser = page.context.browser
    assert browser
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page
    context.close()
