"""Commands for looks: `farm looks`, those that come with the farm and people's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from farm.cli import remote
from farm.cli.recipe_options import EXISTING, add_recipe_options, find_look, read_look_file, read_recipe
from farm.cli.refusals import Refused
from farm.cli.remote import url_option
from farm.cli.root import main
from farm.cli.screen import console, output
from farm.looks.built_in import list_built_in
from farm.looks.look import LEFT_OUT, Look, list_left_out
from farm.recipe.typed_values import format_value

share_option = click.option("--share", is_flag=True, help="With everybody.")


@main.group("looks", invoke_without_command=True)
@url_option
@click.pass_context
def looks(context: click.Context, url: str) -> None:
    """List looks, for --look: those that come with the farm, and your own where one is running."""
    if context.invoked_subcommand:
        return
    table = Table("look", "whose", "sets", box=None)
    for each in list_built_in():
        table.add_row(each.id, "the farm's", each.words)
    for row in _list_saved(url):
        whose = ("yours" if row["mine"] else row["owner"] or "") + (", shared" if row["shared"] else "")
        table.add_row(row["name"], whose, _describe(row["settings"]))
    output.print(table)


def _list_saved(url: str) -> list[dict[str, Any]]:
    """Return the looks that people saved; without a farm, none."""
    try:
        return [row for row in remote.connect(url).list_looks() if not row["picture"]]
    except Refused as error:
        console.print(f"People's own looks are left out: {error}", soft_wrap=True)
        return []


def _describe(settings: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {format_value(value)}" for name, value in settings.items() if name != "version"
    )


@looks.command("show")
@click.argument("name")
@url_option
def show_look(name: str, url: str) -> None:
    """Print the look NAME as a file, for `farm looks add` and --look."""
    found = find_look(name, lambda text: remote.connect(url).find_look(text))
    click.echo(found.to_file().model_dump_json(indent=2))


@looks.command("add")
@click.argument("file", type=EXISTING)
@click.option("--name", default="", help="Another than the file's.")
@share_option
@url_option
def add_look(file: Path, name: str, share: bool, url: str) -> None:
    """Save the look in FILE, as `farm looks show` prints it, as your own."""
    look = read_look_file(file)
    _save(Look(name or look.name, look.settings), share, url)


@looks.command("save")
@click.argument("name")
@share_option
@url_option
@add_recipe_options
def save_look(name: str, share: bool, url: str, **given: Any) -> None:
    """Save what the options set as your own look NAME.

    Size, effort, file, chance and network are no part of it, nor what belongs to pictures: sizes of
    strokes and weights for each painting, arrows, and a picture to begin from.
    """
    recipe = read_recipe(given, remote.connect(url).find_look)
    _save(Look.from_recipe(name, recipe), share, url)
    if left_out := list_left_out(recipe):
        console.print(f"{LEFT_OUT}: {', '.join(left_out)}.", soft_wrap=True)


def _save(look: Look, share: bool, url: str) -> None:
    click.echo(remote.connect(url).save_look(look, shared=share)["id"])


@looks.command("rename")
@click.argument("name")
@click.argument("new_name")
@url_option
def rename_look(name: str, new_name: str, url: str) -> None:
    """Call your look NAME otherwise."""
    click.echo(remote.connect(url).change_look(name, {"name": new_name})["name"])


@looks.command("share")
@click.argument("name")
@click.option("--stop", is_flag=True, help="Keep it to yourself again.")
@url_option
def share_look(name: str, stop: bool, url: str) -> None:
    """Share your look NAME with everybody."""
    changed = remote.connect(url).change_look(name, {"shared": not stop})
    click.echo("shared" if changed["shared"] else "yours alone")


@looks.command("delete")
@click.argument("name")
@url_option
def delete_look(name: str, url: str) -> None:
    """Delete your look NAME. Pictures that were made by it keep their recipes."""
    remote.connect(url).delete_look(name)
    click.echo("deleted")
