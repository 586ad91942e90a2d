"""Commands for operators: weights, tables, tokens, and the secret of webhooks."""

from __future__ import annotations

import sys

import click
from rich.table import Table

from farm.cli.people import warn_if_open
from farm.cli.root import main
from farm.cli.screen import console, output
from farm.database import schema, sessions, shared_secrets
from farm.errors import NoFarm
from farm.people import accounts, audit, tokens
from farm.recipe.networks import AUTOMATIC
from farm.recipe.recipe import Features, list_values
from farm.settings import settings


@main.group()
def weights() -> None:
    """List, fetch and verify the networks' weights."""


@weights.command("list")
def list_weights() -> None:
    """List the networks, which of them are in the cache, and which one paints."""
    from farm.engine.weights import NETWORKS, list_cached

    folder = settings().weights_dir
    present = set(list_cached(folder))
    table = Table("name", "from", "download", "in the cache", box=None)
    for network in NETWORKS.values():
        found = "yes" if network.name in present else "no"
        table.add_row(network.name, network.source, f"{network.megabytes} MB", found)
    output.print(table)
    click.echo(f"cache: {folder}")
    first = next((name for name in AUTOMATIC if name in present), None)
    choice = f"paints with {first}" if first else f"fetches {', else '.join(AUTOMATIC)}"
    click.echo(f"auto {choice}. Pictures differ between networks.")


@weights.command("fetch")
@click.argument("name", type=click.Choice(list_values(Features)), default="auto")
def fetch_weights(name: str) -> None:
    """Bring NAME into the cache; auto: vgg19 if its host answers, else vgg16."""
    from farm.engine.weights import resolve

    resolve(name, settings().weights_dir, console.print)


@weights.command("verify")
def verify_weights() -> None:
    """Check the weights in the cache; exit status 1 if one is damaged or there are none."""
    from farm.engine.weights import find_damage, list_cached

    folder = settings().weights_dir
    results = {name: find_damage(name, folder) for name in list_cached(folder)}
    for name, damage in results.items():
        click.echo(f"{name}: {damage or 'good'}")
    if not results:
        raise click.ClickException(f"There are no weights in {folder}.")
    if any(results.values()):
        sys.exit(1)


@main.group("db")
def database() -> None:
    """Upgrade and check the database's tables."""


@database.command("upgrade")
def upgrade_database() -> None:
    """Bring the tables to this version of the farm, and mark the storage as its own."""
    from farm.database.setup import install

    install()
    click.echo("The database is up to date.")


@database.command("check")
def check_database() -> None:
    """Check that the database is whole and of this version; exit status 1 if not."""
    schema.check_version()
    click.echo(sessions.describe_version())
    if damage := sessions.list_damage():
        raise click.ClickException("\n".join(["The database is damaged:", *damage]))
    click.echo("The database is whole and up to date.")


@main.group()
def token() -> None:
    """Create, list and revoke the tokens of a farm that asks for one (FARM_REQUIRE_TOKEN=1)."""
    schema.check_version()


@token.command("create")
@click.argument("name")
@click.option("--person", help="Whose it is, of `farm people`.  [default: the account NAME]")
def create_token(name: str, person: str | None) -> None:
    """Create a token called NAME. It is printed now, and kept nowhere. Without --person it is that of
    the account NAME, which is made an operator's if there is none."""
    with sessions.write_session() as session:
        owner = accounts.get(session, person) if person else None
        token = tokens.create(session, name, owner)
        audit.record(session, audit.COMMAND_LINE, "make token", name, f"of {person or name}")
    click.echo(token)
    warn_if_open()


@token.command("list")
def list_tokens() -> None:
    """List the tokens by name, and when each was used last."""
    with sessions.read_session() as session:
        found = tokens.list_all(session)
        names = {each.id: each.name for each in accounts.list_all(session)}
    table = Table("name", "person", "made", "last used", box=None)
    for each in found:
        used = f"{each.used_at:%Y-%m-%d %H:%M}" if each.used_at else "never"
        table.add_row(each.name, names[each.person_id], f"{each.created_at:%Y-%m-%d %H:%M}", used)
    output.print(table if found else "Nobody has a token.")


@token.command("revoke")
@click.argument("name")
def revoke_token(name: str) -> None:
    """Revoke NAME's token; it is refused from now on."""
    with sessions.write_session() as session:
        tokens.revoke(session, name)
        audit.record(session, audit.COMMAND_LINE, "revoke token", name)
    click.echo("revoked")


@main.group()
def webhooks() -> None:
    """Show the secret of notifications that a job has ended."""


@webhooks.command("secret")
def print_webhook_secret() -> None:
    """Print the secret by which a receiver checks that a call comes from this farm."""
    _check_secret_exists()
    click.echo(shared_secrets.read_webhook_key())


def _check_secret_exists() -> None:
    """Check that the secret is a farm's: set, in its PostgreSQL, or in the home of one. A farm that is
    there may not have made it yet.

    Raises:
        NoFarm: it would be made here, for nobody.
    """
    given = settings()
    if given.webhook_secret:
        return
    if not sessions.is_on_one_machine():
        schema.check_version()
    elif not (given.home / "webhook_secret").exists():
        sessions.check_exists()
        if not given.home.is_dir():
            raise NoFarm(f"There is no folder {given.home}: set FARM_HOME, or FARM_WEBHOOK_SECRET.")
