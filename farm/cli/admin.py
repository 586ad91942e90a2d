"""For operators: weights, tables, tokens, and the secret of webhooks."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from farm import tokens
from farm.cli.root import console, main
from farm.database import schema, sessions
from farm.recipe.recipe import AUTOMATIC, Features, choices
from farm.settings import settings


@main.group()
def weights() -> None:
    """The networks' weights."""


@weights.command("list")
def weights_list() -> None:
    """List the networks, which of them are in the cache, and which one paints."""
    from farm.engine.weights import NETWORKS, cached

    folder = settings().weights_dir
    there = set(cached(folder))
    table = Table("name", "from", "download", "in the cache", box=None)
    for network in NETWORKS.values():
        found = "yes" if network.name in there else "no"
        table.add_row(network.name, network.source, f"{network.megabytes} MB", found)
    Console().print(table)
    click.echo(f"cache: {folder}")
    first = next((name for name in AUTOMATIC if name in there), None)
    choice = f"paints with {first}" if first else f"fetches {', else '.join(AUTOMATIC)}"
    click.echo(f"auto {choice}. Pictures differ between networks.")


@weights.command("fetch")
@click.argument("name", type=click.Choice(choices(Features)), default="auto")
def weights_fetch(name: str) -> None:
    """Bring NAME into the cache; auto: vgg19 if its host answers, else vgg16."""
    from farm.engine.weights import resolve

    resolve(name, settings().weights_dir, console.print)


@weights.command("verify")
def weights_verify() -> None:
    """Check what is in the cache; exit status 1 if something is wrong or nothing is there."""
    from farm.engine.weights import cached, find_damage

    folder = settings().weights_dir
    results = {name: find_damage(name, folder) for name in cached(folder)}
    for name, damage in results.items():
        click.echo(f"{name}: {damage or 'good'}")
    if not results:
        raise click.ClickException(f"There are no weights in {folder}.")
    if any(results.values()):
        sys.exit(1)


@main.group("db")
def database() -> None:
    """The database's tables."""


@database.command("upgrade")
def database_upgrade() -> None:
    """Bring the tables to this version of the farm, and mark the storage as its own."""
    from farm.database.setup import install

    install()
    click.echo("The database is up to date.")


@database.command("check")
def database_check() -> None:
    """Exit status 1 if the tables are not those this version needs."""
    schema.check_version()
    click.echo("The database is up to date.")


@main.group()
def token() -> None:
    """Who may use a farm that asks for a token (FARM_REQUIRE_TOKEN=1)."""
    schema.check_version()


@token.command("create")
@click.argument("name")
def token_create(name: str) -> None:
    """A token for NAME, a person or a program. It is printed now, and kept nowhere."""
    with sessions.writing() as session:
        made = tokens.create(session, name)
    click.echo(made)
    if not settings().require_token:
        console.print(
            "[yellow]The farm asks for tokens once FARM_REQUIRE_TOKEN=1 is set for its web part."
        )


@token.command("list")
def token_list() -> None:
    """Who has one, and when it was used last."""
    with sessions.reading() as session:
        found = tokens.listed(session)
    table = Table("name", "made", "last used", box=None)
    for each in found:
        used = f"{each.used_at:%Y-%m-%d %H:%M}" if each.used_at else "never"
        table.add_row(each.name, f"{each.created_at:%Y-%m-%d %H:%M}", used)
    Console().print(table if found else "Nobody has a token.")


@token.command("revoke")
@click.argument("name")
def token_revoke(name: str) -> None:
    """NAME's token opens nothing any more, at once."""
    with sessions.writing() as session:
        tokens.revoke(session, name)
    click.echo("revoked")


@main.group()
def webhooks() -> None:
    """Telling others that a job has ended."""


@webhooks.command("secret")
def webhooks_secret() -> None:
    """Print the secret by which a receiver checks who calls it."""
    click.echo(settings().webhook_key)
