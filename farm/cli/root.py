"""Group of all commands, and its report of errors."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from farm.database import sessions
from farm.errors import FarmError

console = Console(stderr=True, highlight=False)


class Farm(click.Group):
    """Group of commands that reports the farm's own errors in one line, with exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FarmError as error:
            raise click.ClickException(str(error)) from error
        except DBAPIError as error:
            raise click.ClickException(
                f"The database {sessions.redact_url()}: {str(error.orig).strip()}."
            ) from error


@click.group(cls=Farm, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="style-farm")
def main() -> None:
    """Rendering farm for neural style transfer."""
