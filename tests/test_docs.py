"""The pages in docs/: their tables are the code's, their links lead somewhere."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from farm.recipe import Recipe
from farm.settings import SECRET, Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
SOURCE = re.compile(r"`((?:farm|web|workers|migrations|tests|docs|benchmarks|samples)/[\w/.]+\.\w+)`")


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs/tables.py"))


@pytest.mark.parametrize("page", ["recipe.md", "settings.md", "operating.md"])
def test_a_table_is_what_the_code_says(tables: dict[str, Any], page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert tables["with_table"](page, text) == text, "run `make docs`"


def test_tables_have_a_line_for_each_setting(tables: dict[str, Any]) -> None:
    recipe, settings = list(tables["recipe_table"]()), list(tables["settings_table"]())
    assert len(recipe) == len(Recipe.model_fields) + 2
    assert len(settings) == len(Settings.model_fields) + 2
    assert "| `size` | `512` | 64 to 7680 | Longest side of the picture, px. |" in recipe
    assert "| `PORT` | `8000` | 1 to 65535 | Port that the web part listens on. |" in settings
    for field, line in zip(Settings.model_fields.values(), settings[2:], strict=True):
        assert field.description is not None
        assert line.endswith(f"| {field.description} |")
        assert (f"`{field.validation_alias}_FILE`" in line) == (SECRET in field.metadata)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    wrong = []
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / unquote(name)).resolve() if name else page
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            wrong.append(target)
    wrong += [path for path in SOURCE.findall(text) if "NAME" not in path and not (ROOT / path).exists()]
    assert wrong == []


def test_functions_on_the_map_are_where_it_says() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    named = re.findall(r"((?:farm|web|workers)/[\w/]+\.py): (\w+)$", text, re.MULTILINE)
    wrong = [
        f"{path}: {name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()
    ]
    assert len(named) >= 6
    assert wrong == []


def test_the_map_has_every_room_in_the_order_of_the_layers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    floor = {room: n for n, layer in enumerate(layers) for room in layer.split(" | ")}
    text = (ROOT / "docs/architecture.md").read_text()
    table = text.partition("| room | holds |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    rooms = [name for cell in cells for name in re.findall(r"`(.+?)`", cell)]
    modules = [room.rstrip("/").removesuffix(".py").replace("/", ".") for room in rooms]
    assert sorted(modules) == sorted(floor)
    assert [floor[module] for module in modules] == sorted(floor.values())


def test_what_the_recipes_for_contributors_name_is_in_the_code() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## The words of the code")[0]
    named = set(re.findall(r"`(test_\w+|[A-Z]+_[A-Z_]+|[A-Z]{5,})`", text)) | {
        "StyleLoss",
        "Secret",
        "look",
    }
    code = "\n".join(
        path.read_text() for room in ("farm", "web", "tests") for path in (ROOT / room).rglob("*.py")
    )
    assert {"NOT_LOOK", "ADVANCED", "PAGES", "LISTS", "OF_ONE"} <= named
    assert [
        name for name in named if not re.search(rf"^ *(def )?{name}\b(\(|:| =)", code, re.MULTILINE)
    ] == []


def test_the_readme_is_short_and_its_two_commands_are_those_that_are_tried() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 130
    assert re.findall(r"^```sh\n(make \w+)\n```$", readme, re.MULTILINE) == ["make up", "make test"]
    assert "\nmake test\n" in (ROOT / ".ci/run").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert {"up", "test"} <= set(re.findall(r"^([\w-]+):.* ## ", makefile, re.MULTILINE))


def test_the_changelog_begins_with_the_version_that_is_built() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    log = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", log, re.MULTILINE)
    assert releases[0][0] == version
    dates = [date for _, date in releases]
    assert dates == sorted(dates, reverse=True)


def test_decisions_have_four_parts_and_a_line_in_the_index() -> None:
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs/decisions/README.md").read_text()
    lines = re.findall(r"^- \[(\d{4})\]\((.+)\) (.+)$", index, re.MULTILINE)
    assert [record.name[:4] for record in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    assert sorted(name for _, name, _ in lines) == [record.name for record in records]
    for number, name, title in lines:
        text = (ROOT / "docs/decisions" / name).read_text()
        assert text.startswith(f"# {number} {title}\n")
        parts = re.findall(r"^## (.+)\n\n\S", text, re.MULTILINE)
        assert parts[:4] == ["Context", "Decision", "Consequences", "Measured"], name
        assert parts[4:] in ([], ["Later"]), name  # what was learned since


def _anchors(page: Path) -> set[str]:
    """Return the anchors that a forge makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
