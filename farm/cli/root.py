"""Group of all commands, and its report of errors. Commands are loaded when one is asked for."""

from __future__ import annotations

import importlib
from typing import Any

import click

from farm.errors import FarmError

AUDIENCES = (
    "admin",
    "film",
    "looks",
    "operators",
    "people",
    "processes",
    "remote",
    "render",
    "storage",
)  # modules, each of which adds its commands


class Farm(click.Group):
    """Group of commands that reports the farm's own errors in one line, with exit status 1."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None: there is none of this name."""
        _load_commands()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        _load_commands()
        return super().list_commands(ctx)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FarmError as error:
            raise _report(str(error)) from error
        except Exception as error:
            from sqlalchemy.exc import DBAPIError

            if not isinstance(error, DBAPIError):
                raise
            from farm.database import sessions

            message = f"The database {sessions.redact_url()}: {str(error.orig).strip()}."
            raise _report(message) from error


def _load_commands() -> None:
    """Import what adds the commands: `--version` is answered without."""
    for name in AUDIENCES:
        importlib.import_module(f"farm.cli.{name}")


def _report(message: str) -> click.ClickException:
    from farm.database.names import make_printable

    return click.ClickException(make_printable(message))


@click.group(cls=Farm, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="style-farm")
def main() -> None:
    """Rendering farm for neural style transfer."""
