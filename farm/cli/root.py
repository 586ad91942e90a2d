"""Group of all commands, and its report of errors."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from farm.database import sessions
from farm.database.names import make_printable
from farm.errors import FarmError


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


class Farm(click.Group):
    """Group of commands that reports the farm's own errors in one line, with exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FarmError as error:
            raise click.ClickException(make_printable(str(error))) from error
        except DBAPIError as error:
            detail = make_printable(str(error.orig).strip())
            raise click.ClickException(f"The database {sessions.redact_url()}: {detail}.") from error


@click.group(cls=Farm, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="style-farm")
def main() -> None:
    """Rendering farm for neural style transfer."""
