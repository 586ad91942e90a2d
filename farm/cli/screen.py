"""Terminal: what commands print for people, whose names and messages are shown as they are."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from farm.database.names import make_printable


class Screen(Console):
    """Console that shows text as it is: no markup, no emoji codes, escapes for control characters.

    Names come from strangers; colours are given by `style`.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a string, of a table's cell, too."""
        return super().render_str(make_printable(text), **options)


console, output = Screen(stderr=True), Screen()
