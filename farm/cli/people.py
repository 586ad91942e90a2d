"""Commands for accounts: `farm people`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click
from rich.table import Table

from farm.cli.root import main
from farm.cli.screen import console, output
from farm.database import schema, sessions
from farm.database.people import Person, Role
from farm.people import accounts, audit, quotas, sign_in
from farm.people.quotas import Limits, Quota, describe_amount
from farm.settings import settings
from farm.storage import format_bytes

ROLES = click.Choice([each.value for each in Role])
LABELS = ("running", "waiting", "megapixels today", "stored")
LIMIT = "NUMBER|farm"
FARMS = "farm"  # in place of a limit: the farm's own holds

N = TypeVar("N", int, float)


def _read_count(text: str) -> int | str:
    """Return the number, or FARMS as it is."""
    return _read_limit(text, int, "a whole number")


def _read_amount(text: str) -> float | str:
    """Return the same of a number with a point."""
    return _read_limit(text, float, "a number")


def _read_limit(text: str, kind: type[N], means: str) -> N | str:
    """Return the number of this kind, or FARMS as it is.

    Raises:
        BadParameter: it is neither.
    """
    try:
        return text if text == FARMS else kind(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither {means} nor `{FARMS}`.") from None


@main.group()
def people() -> None:
    """Add, list and change the accounts of a farm that asks for tokens."""
    schema.check_version()


@people.command("add")
@click.argument("name")
@click.option("--role", type=ROLES, default=Role.USER.value, show_default=True)
def add_person(name: str, role: str) -> None:
    """Add an account for NAME, and print a link that signs them in once, within a day."""
    with sessions.write_session() as session:
        made = accounts.add(session, name, Role(role), by=audit.COMMAND_LINE)
        secret = sign_in.make_link(session, made.name, audit.COMMAND_LINE)
    _print_link(secret)
    warn_if_open()


def warn_if_open() -> None:
    """Warn that nobody needs to sign in, as far as can be seen from here."""
    if not settings().require_token:
        words = "The farm asks for tokens once FARM_REQUIRE_TOKEN=1 is set for its web part."
        console.print(words, style="yellow")


@people.command("list")
def list_people() -> None:
    """List the accounts, their roles, and what they use of their quotas."""
    table = Table("name", "role", *LABELS, box=None)
    with sessions.read_session() as session:
        found = accounts.list_all(session)
        for person in found:
            table.add_row(person.name, person.role.value, *_describe_quotas(person))
    output.print(table if found else "Nobody has an account.")


def _describe_quotas(person: Person) -> list[str]:
    with sessions.read_session() as session:
        used = quotas.measure(session, person)
    return [
        _describe_quota(used.running),
        _describe_quota(used.waiting),
        _describe_quota(used.megapixels_a_day),
        _describe_quota(used.stored_bytes, format_bytes),
    ]


def _describe_quota(quota: Quota, describe: Callable[[float], str] = describe_amount) -> str:
    """Return `3 of 10`, or `3` where there is no limit."""
    used = describe(quota.used)
    return used if quota.limit is None else f"{used} of {describe(quota.limit)}"


@people.command("role")
@click.argument("name")
@click.argument("role", type=ROLES)
def change_role(name: str, role: str) -> None:
    """Give NAME another ROLE."""
    with sessions.write_session() as session:
        accounts.change_role(session, name, Role(role), by=audit.COMMAND_LINE)
    click.echo(f"{name}: {role}")


@people.command("remove")
@click.argument("name")
def remove_person(name: str) -> None:
    """Remove the account of NAME and its tokens; its jobs stay, and operators see them."""
    with sessions.write_session() as session:
        accounts.remove(session, name, by=audit.COMMAND_LINE)
    click.echo("removed")


@people.command("sign-in")
@click.argument("name")
def print_sign_in_link(name: str) -> None:
    """Print a link that signs NAME in once, within a day."""
    with sessions.write_session() as session:
        secret = sign_in.make_link(session, name, audit.COMMAND_LINE)
    _print_link(secret)


@people.command("quota")
@click.argument("name")
@click.option("--running", type=_read_count, metavar=LIMIT, help="Jobs that are rendered at once.")
@click.option("--waiting", type=_read_count, metavar=LIMIT, help="Jobs that wait.")
@click.option(
    "--megapixels-a-day", type=_read_amount, metavar=LIMIT, help="Megapixels sent in a day (UTC)."
)
@click.option("--storage-gb", type=_read_amount, metavar=LIMIT, help="GB of pictures and uploads.")
def change_quota(name: str, **given: int | float | str | None) -> None:
    """Set limits of NAME's own; 0 is none, `farm` the farm's; without an option, show them."""
    with sessions.write_session() as session:
        person = accounts.get(session, name)
        limits = vars(Limits.from_row(person)) | {
            key: None if value == FARMS else value for key, value in given.items() if value is not None
        }
        if any(value is not None for value in given.values()):
            quotas.change_limits(session, name, Limits(**limits), by=audit.COMMAND_LINE)
    for label, text in zip(LABELS, _describe_quotas(person), strict=True):
        click.echo(f"{label}: {text}")


def _print_link(secret: str) -> None:
    """Print the address of a sign-in link, and beside it what is to be replaced on other machines."""
    from farm.cli.supervisor import build_link

    url, advice = build_link(settings(), secret)
    click.echo(url)
    if advice:
        console.print(advice, style="yellow", soft_wrap=True)
