"""The longest names that are permitted, in several scripts, wherever pages show them.

A machine's fonts may be wide or narrow, so each page is also looked at with letters set apart and with
larger ones: what holds with those does not depend on what is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from farm.database.models import State
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.jobs.fields import NAME_LENGTH
from farm.recipe import Recipe
from tests.browser.window import borrowed
from tests.conftest import leave_environment
from tests.web import bad_pictures
from tests.web.conftest import bring_to, farm_in, job_made, serving
from web import create_app

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("names")]

NAMES = {
    kind: (sentence * NAME_LENGTH)[:NAME_LENGTH].rstrip()
    for kind, sentence in {
        "Latin": "The old mill by the river in autumn, ",
        "one word": "Wildwassermühlenradwelle",
        "Chinese": "秋天河邊的舊磨坊與橋上的行人",
        "Arabic": "الطاحونة القديمة على النهر في الخريف، ",
    }.items()
}
WIDTHS = (320, 390, 1280)  # CSS px
HEIGHT = 844
LETTERS = {
    "as installed": "",
    "wide": "* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }",
    "high": "* { line-height: 1.6 !important; }",
    "large": ":root { font-size: 130% !important; }",
}
SHAPES = {"tall": (60, 160), "usual": (160, 120), "broad": (160, 64)}
LOOK = (Path(__file__).parents[1] / "browser" / "names.js").read_text()
SET_LETTERS = """rules => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(rules);
    document.adoptedStyleSheets = [sheet];
}"""  # which the content security policy lets pass


@pytest.fixture(scope="module", autouse=True)
def farm_home() -> None:
    """No farm for each test: they share, and nothing here changes a row."""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Iterator[Callable[[str], str]]:
    """The address of a path, in which `{grid}` and the like are ids of what has this kind of name."""
    with pytest.MonkeyPatch.context() as patch:
        leave_environment(patch)
        with farm_in(tmp_path_factory.mktemp("farm"), tables, patch), serving(create_app()) as url:
            made: dict[str, dict[str, str]] = {kind: rows(name) for kind, name in NAMES.items()}

            def address(path: str, kind: str = "Latin") -> str:
                return url + path.format(**made[kind])

            yield address


def rows(name: str) -> dict[str, str]:
    """Pictures of three shapes, jobs that wait and that failed, a grid; their ids."""
    grid = _grid(name)
    ids = {"grid": grid}
    for shape, size in SHAPES.items():
        ids[shape] = job_made(State.SUCCEEDED, name=name, content=size).id
    ids["failed"] = job_made(State.FAILED, name=name).id
    ids["stopped"] = job_made(State.CANCELLED, name=name).id
    return ids


def _grid(name: str) -> str:
    recipe = Recipe(size=1024)
    axes = (
        axis("across", "balance", recipe, [-2, 0, 2]),
        axis("down", "style_scale", recipe, [1, 2]),
    )
    photo, painting = bad_pictures.photo(), bad_pictures.photo(100, 100)
    made = explore(photo, [painting], recipe, *axes, name=name)
    for cell in made.cells:
        bring_to(cell, State.SUCCEEDED)
    return str(made.id)


def bulk(page: Page) -> None:
    """What a page says before many are deleted."""
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete")


def alone(page: Page) -> None:
    """What a page says before one is deleted."""
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete “")


def files(page: Page) -> None:
    """Chosen files have names, too."""
    picture: FilePayload = {
        "name": f"{NAMES['one word'][:100]}.jpg",
        "mimeType": "image/jpeg",
        "buffer": bad_pictures.photo(),
    }
    page.get_by_label("Choose a photograph").set_input_files(picture)


LISTS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "jobs": ("/jobs", lambda page: None),
    "jobs as a table": ("/jobs?view=table", lambda page: None),
    "jobs about to be deleted": ("/jobs", bulk),
    "gallery": ("/gallery", lambda page: None),
    "explorations": ("/explore", lambda page: None),
}
OF_ONE: dict[str, tuple[str, Callable[[Page], None]]] = {
    "job": ("/jobs/{usual}", lambda page: None),
    "job about to be deleted": ("/jobs/{failed}", alone),
    "viewer": ("/jobs/{usual}/view", lambda page: None),
    "exploration": ("/explore/{grid}", lambda page: None),
    "exploration about to be deleted": ("/explore/{grid}/delete", lambda page: None),
    "form": ("/?from={usual}", files),
}


@pytest.fixture(scope="module", params=["mouse", "fingers"])
def window(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A window for whoever points with these: captions differ."""
    touch = request.param == "fingers"
    context = browser.new_context(has_touch=touch, is_mobile=touch)
    yield context.new_page()
    context.close()


@pytest.fixture
def hands(window: Page, farm: Callable[..., str]) -> Iterator[Page]:
    """The window that tests share, as if it were new."""
    with borrowed(window, farm("")) as page:
        yield page


@pytest.mark.parametrize("where", LISTS)
def test_long_names_stay_in_their_place_in_lists(
    farm: Callable[..., str], hands: Page, where: str
) -> None:
    path, act = LISTS[where]
    hands.goto(farm(path))
    act(hands)
    assert complaints(hands) == ""


@pytest.mark.parametrize(
    ("window", "kind"),
    [*(("mouse", kind) for kind in NAMES), ("fingers", "one word")],  # captions differ, scripts do not
    indirect=["window"],
    scope="module",
)
@pytest.mark.parametrize("where", OF_ONE)
def test_a_long_name_stays_in_its_place(
    farm: Callable[..., str], hands: Page, where: str, kind: str
) -> None:
    path, act = OF_ONE[where]
    hands.goto(farm(path, kind))
    act(hands)
    assert complaints(hands) == ""


def complaints(page: Page) -> str:
    """What is wrong with names, once for all widths and letters: a line for each thing."""
    found: dict[str, str] = {}
    page.wait_for_load_state()  # a click may have led to a new page
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for letters, rules in LETTERS.items():
            page.evaluate(SET_LETTERS, rules)
            for what in page.evaluate(LOOK, list(NAMES.values())):
                found.setdefault(what, f"{width} px, {letters}: {what}")
    return "\n".join(found.values())
