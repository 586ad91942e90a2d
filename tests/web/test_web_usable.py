"""Every page, in every state that people find it in, looked at by `tests.browser.usable`.

Nothing here changes a row, so all tests share three farms: one in use, one without rows, one that asks
for a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from farm.database import sessions
from farm.database.models import Job, State
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.films.settings import FilmSettings
from farm.fleet import operations, registry
from farm.jobs import comparisons, ratings
from farm.jobs.ratings import Rater
from farm.people import accounts, tokens
from farm.people.visitors import ANYBODY
from farm.recipe import Recipe
from farm.webhooks import deliveries
from farm.webhooks.deliveries import Answer
from tests.browser.usable import complaints
from tests.browser.window import borrowed
from tests.conftest import leave_environment
from tests.web import bad_pictures
from tests.web.conftest import bring_to, farm_in, job_made, serving
from tests.web.test_web_films_browser import clip_file, paint_part, submit_clip
from web import create_app

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("usable")]

LONG = "A name as long as names may be, " + "with long words " * 5
CARD = registry.Machine("a card", 8_000_000_000, "cuda", 2, False, 8_000_000_000)
FOREVER = 600_000  # s that a worker is taken for alive


@dataclass
class Farm:
    """What there is to look at: its address, a token for it, paths by name."""

    url: str
    token: str = ""
    paths: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module", autouse=True)
def farm_home() -> None:
    """No farm for each test: they share."""


@pytest.fixture(scope="module")
def farm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tables: Path
) -> Iterator[Farm]:
    """`used`, `empty` or `closed`."""
    with pytest.MonkeyPatch.context() as patch:
        leave_environment(patch)
        patch.setenv("FARM_LEASE_SECONDS", str(FOREVER))
        if request.param == "closed":
            patch.setenv("FARM_REQUIRE_TOKEN", "1")
        with farm_in(tmp_path_factory.mktemp("farm"), tables, patch), serving(create_app()) as url:
            made = Farm(url)
            if request.param == "closed":
                with sessions.write_session() as session:
                    made.token = tokens.create(session, "Ada")
            if request.param == "used":
                made.paths = rows()
            yield made


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def page(window: Page, farm: Farm) -> Iterator[Page]:
    """The window that all these tests share, as if it were new."""
    with borrowed(window, farm.url) as page:
        yield page


def rows() -> dict[str, str]:
    """Jobs in every state, two explorations, four workers, a person; their paths."""
    with sessions.write_session() as session:
        accounts.add(session, "Ada", by="Olga")
        for name in ("gpu0@attic", "gpu1@attic", "gpu0@cellar"):
            process = registry.Process(name[5:], name, "1", ("preview",), ("night",))
            registry.record_heartbeat(session, name, CARD, process, registry.Reading(2 * 10**9, 0.5))
        session.flush()
        operations.mark_sick(session, "gpu1@attic", LONG)
        operations.pause(session, "gpu0@cellar", "Olga")
        registry.record_heartbeat(session, "worker-1", CARD)
        registry.record_speed(session, "worker-1", 0.5)
    paths = {"finished grid": _grid(State.SUCCEEDED)}
    _compare_two_cells()
    for state in reversed(State):
        if state is State.QUEUED:  # the last: whoever claims takes the oldest
            paths["grid"] = _grid(State.RUNNING)
        job = job_made(state, name=LONG, webhook_url="https://hook.example/told?key=letmein")
        paths[state.value] = f"/jobs/{job.id}"
        if state is State.SUCCEEDED:
            with sessions.write_session() as session:
                told = deliveries.claim(session)
                assert told
                deliveries.record_answer(session, told, Answer("500 Internal Server Error"))
    paths |= {"finished film": _film(parts=5), "film": _film(parts=1)}
    paths["deletion of the finished film"] = f"{paths['finished film']}/delete"
    for grid in ("grid", "finished grid"):
        paths[f"deletion of the {grid}"] = f"{paths[grid]}/delete"
    return paths


def _film(parts: int) -> str:
    """A film of so many painted parts; it has five."""
    film = submit_clip(FilmSettings(spacing=4), priority=1)  # before all that waits
    for _ in range(parts):
        paint_part(film)
    return f"/films/{film.id}"


def _grid(state: State) -> str:
    """2 x 2 cells, the first of them in this state, or all if it is an end."""
    recipe = Recipe(size=1024)
    axes = (
        axis("across", "balance", recipe, [0, 2]),
        axis("down", "style_scale", recipe, [1, 2]),
    )
    photo, painting = bad_pictures.photo(), bad_pictures.photo(100, 100)
    made = explore(photo, [painting], recipe, *axes, name=LONG)
    for cell in made.cells if state.ended else made.cells[:1]:
        bring_to(cell, state)
    return f"/explore/{made.id}"


def _compare_two_cells() -> None:
    """Somebody takes a cell of the one grid there is for nearer, and gives it stars."""
    with sessions.write_session() as session:
        one, other = session.scalars(select(Job).order_by(Job.cell).limit(2))
        rater = Rater.from_name("ann")
        comparisons.record_answer(session, [one.id, other.id], one.id, rater, ANYBODY)
        ratings.rate(session, one.id, rater, 4)


# How people come to them -------------------------------------------------------------------------


def at(path: str) -> Callable[[Page, Farm], object]:
    return lambda page, farm: page.goto(farm.url + farm.paths.get(path, path))


def form_with_errors(page: Page, farm: Farm) -> None:
    page.goto(farm.url)
    page.get_by_label("Longest side, px").fill("9999")
    page.locator("#tv_weight").evaluate("field => { field.value = '-1'; }")
    page.locator("#new").evaluate("form => { form.noValidate = true; }")
    page.get_by_role("button", name="Paint it").click()
    expect(page.get_by_role("heading", name="Not sent yet")).to_be_visible()


def form_with_errors_of_the_server(page: Page, farm: Farm) -> None:
    page.goto(farm.url)
    page.locator("#new").evaluate("form => form.submit()")  # as without a script
    expect(page.get_by_role("heading", name="Not sent yet")).to_be_visible()


def form_filled_in(page: Page, farm: Farm) -> None:
    page.goto(farm.url)
    page.get_by_label("Choose a photograph").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": bad_pictures.photo()}
    )
    for name in ("Brushwork", "Ink wash", "Mosaic"):
        page.locator("fieldset.tiles").get_by_text(name, exact=True).click()
    page.get_by_text("Advanced settings").click()
    page.get_by_text("Where", exact=True).click()
    page.get_by_text("From files").click()
    expect(page.locator("#blend-sliders")).to_be_visible()
    expect(page.locator("#brush canvas")).to_be_visible()


def form_with_a_clip(page: Page, farm: Farm) -> None:
    page.goto(farm.url)
    page.get_by_label("Choose a photograph").set_input_files(clip_file())
    expect(page.locator("#clip-facts")).to_contain_text("6 frames")


def film_with_parts(page: Page, farm: Farm) -> None:
    at("film")(page, farm)
    page.get_by_text("Parts", exact=True).click()
    expect(page.locator("#strip .not-begun")).to_have_count(5)


def once_more(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}/?from={farm.paths['succeeded'].removeprefix('/jobs/')}")


def finished_job_with_settings(page: Page, farm: Farm) -> None:
    at("succeeded")(page, farm)
    page.get_by_text("Settings", exact=True).click()


def enlarged(page: Page, farm: Farm) -> None:
    at("grid")(page, farm)
    page.get_by_role("link", name="Enlarge in balance, strokes × 2").click()
    expect(page.get_by_role("dialog", name="in balance, strokes × 2")).to_be_visible()


def viewer(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}{farm.paths['succeeded']}/view")
    expect(page.locator("#full")).to_be_attached()


def some_selected(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}/jobs")
    page.get_by_label("Select all on this page").check()


def looks_saved(page: Page, farm: Farm) -> None:
    if not page.request.get(f"{farm.url}/api/v1/looks").json()["items"][-1]["mine"]:
        made = page.request.post(f"{farm.url}/api/v1/looks", data={"name": LONG[:80], "settings": {}})
        assert made.ok
    page.goto(f"{farm.url}/looks")
    page.get_by_text("Rename").first.click()


def about_to_delete(page: Page, farm: Farm) -> None:
    some_selected(page, farm)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete 3 jobs?")


def api_opened(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}/api")
    for summary in page.locator("summary").all()[:2]:
        summary.click()


def people_opened(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}/operators/people")
    for summary in page.locator("summary").all()[:2]:
        summary.click()


def somebody_added(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}/operators/people")
    page.get_by_role("button", name="Sign-in link").first.click()
    expect(page.get_by_label("The link")).to_be_visible()


def forged(page: Page, farm: Farm) -> None:
    page.goto(farm.url)
    page.locator("#csrf_token").evaluate("field => { field.value = 'forged'; }")
    page.locator("#new").evaluate("form => form.submit()")
    expect(page.get_by_role("heading", level=1)).to_have_text("Bad request")


def not_let_in(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}/jobs")
    page.get_by_label("Token").fill("farm_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is not, or no longer")).to_be_visible()


def let_in(page: Page, farm: Farm) -> None:
    page.goto(f"{farm.url}/workers")
    page.get_by_label("Token").fill(farm.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


PAGES: dict[str, dict[str, Callable[[Page, Farm], object]]] = {
    "used": {
        "form": at("/"),
        "form with errors": form_with_errors,
        "form with errors, sent back": form_with_errors_of_the_server,
        "form filled in": form_filled_in,
        "form with a clip": form_with_a_clip,
        "form once more": once_more,
        "film": film_with_parts,
        "finished film": at("finished film"),
        "film about to be deleted": at("deletion of the finished film"),
        "films": at("/films"),
        "exploration": at("grid"),
        "finished exploration": at("finished grid"),
        "exploration, a draft enlarged": enlarged,
        "exploration about to be deleted": at("deletion of the finished grid"),
        "exploration to be stopped first": at("deletion of the grid"),
        "explorations": at("/explore"),
        "waiting job": at("queued"),
        "running job": at("running"),
        "stopping job": at("cancelling"),
        "finished job": finished_job_with_settings,
        "failed job": at("failed"),
        "cancelled job": at("cancelled"),
        "viewer": viewer,
        "jobs": at("/jobs"),
        "jobs as a table": at("/jobs?view=table"),
        "jobs selected": some_selected,
        "jobs about to be deleted": about_to_delete,
        "gallery": at("/gallery"),
        "comparison": at("/compare"),
        "opinions": at("/opinions"),
        "looks": looks_saved,
        "workers": at("/workers"),
        "queue": at("/operators/queue"),
        "people": people_opened,
        "a link for somebody": somebody_added,
        "events": at("/operators/events"),
        "storage": at("/operators/storage?keep_days=0.000001"),
        "storage, wrong limit": at("/operators/storage?keep_days=-1"),
        "API": api_opened,
        "not found": at(f"/jobs/{'0' * 32}"),
        "bad request": forged,
    },
    "empty": {
        "no jobs": at("/jobs"),
        "no gallery": at("/gallery"),
        "no comparison": at("/compare"),
        "no opinions": at("/opinions"),
        "no explorations": at("/explore"),
        "no films": at("/films"),
        "no workers": at("/workers"),
        "no queue": at("/operators/queue"),
        "no events": at("/operators/events"),
    },
    "closed": {"sign in": at("/sign-in"), "not let in": not_let_in, "let in": let_in},
}


@pytest.mark.parametrize(
    ("farm", "name"),
    [(kind, name) for kind, pages in PAGES.items() for name in pages],
    indirect=["farm"],
    scope="module",
)
def test_a_page_can_be_used_by_all(
    farm: Farm, name: str, request: pytest.FixtureRequest, page: Page
) -> None:
    kind = next(kind for kind, pages in PAGES.items() if name in pages)
    PAGES[kind][name](page, farm)
    assert complaints(page) == "", page.url
