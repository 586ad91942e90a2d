"""Write the tables of settings in docs/ from the code that holds them.

    python docs/tables.py

`Recipe` and `Settings` have each name, default, limit and description once, `web.metrics` each metric;
docs/recipe.md, docs/settings.md and docs/operating.md repeat them between two marks. `make docs` runs
this, a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from farm.recipe import Recipe
from farm.recipe.typed_values import format_value
from farm.settings import SECRET, Settings
from web import metrics

DOCS = Path(__file__).resolve().parent
BEGIN = "<!-- This table is written by `make docs` from {}. -->\n"
END = "<!-- End of the table. -->\n"


def recipe_table() -> Iterator[str]:
    """Yield the lines of docs/recipe.md's table, one for each field of `Recipe`."""
    yield "| setting | default | values | meaning |"
    yield "|---|---|---|---|"
    properties = Recipe.model_json_schema()["properties"]
    for name, field in Recipe.model_fields.items():
        yield _row(f"`{name}`", _code(format_value(field.default)), _values(properties[name]), field)


def settings_table() -> Iterator[str]:
    """Yield the lines of docs/settings.md's table, one for each field of `Settings`."""
    yield "| variable | default | values | meaning |"
    yield "|---|---|---|---|"
    properties = Settings.model_json_schema()["properties"]
    for field in Settings.model_fields.values():
        variable = str(field.validation_alias)
        name = f"`{variable}`, `{variable}_FILE`" if SECRET in field.metadata else f"`{variable}`"
        default = "" if field.default in (PydanticUndefined, None) else field.default
        shown = "off" if default is False else str(default)
        yield _row(name, _code(shown), _values(properties[variable]), field)


def metrics_table() -> Iterator[str]:
    """Yield the lines of docs/operating.md's table, one for each metric."""
    yield "| metric | kind | labels | meaning |"
    yield "|---|---|---|---|"
    for name, kind, text, labels in metrics.list_all():
        yield f"| `{name}` | {kind} | {', '.join(map(_code, labels))} | {text} |"


def _row(name: str, default: str, values: str, field: FieldInfo) -> str:
    return f"| {name} | {default} | {values} | {field.description} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _values(schema: dict[str, Any]) -> str:
    """Return the choices or limits of a JSON schema: `png`, `png16`; 64 to 7680; 1 or more."""
    schema = (schema.get("anyOf") or schema.get("oneOf") or [schema])[0]
    if "enum" in schema:
        return ", ".join(_code(choice) for choice in schema["enum"])
    if each := schema.get("items") or schema.get("additionalProperties"):
        return f"{_values(each)} each"
    low = schema.get("minimum")
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        return ""
    return f"{low:g} or more" if high is None or high >= 1e6 else f"{low:g} to {high:g}"


TABLES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "recipe.md": ("`farm/recipe/recipe.py`", recipe_table),
    "settings.md": ("`farm/settings.py`", settings_table),
    "operating.md": ("`web/metrics.py`", metrics_table),
}


def with_table(page: str, text: str) -> str:
    """Return the page's text with its table made anew; ValueError where a mark is missing."""
    source, table = TABLES[page]
    begin = BEGIN.format(source)
    before, _, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"docs/{page} has not both marks around its table: {begin}{END}")
    return before + begin + "\n".join(table()) + "\n" + END + after


def main() -> None:
    """Write the pages."""
    for page in TABLES:
        path = DOCS / page
        path.write_text(with_table(page, path.read_text()))


if __name__ == "__main__":
    main()
