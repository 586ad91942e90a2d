"""`farm storage`: what the storage holds, and what retention would delete."""

from __future__ import annotations

import math

import click
from rich.table import Table

from farm.cli.root import main
from farm.cli.screen import output
from farm.counts import format_count
from farm.database import disk, schema, sessions
from farm.jobs import holdings, retention
from farm.jobs.holdings import TITLES, Holdings
from farm.jobs.retention import Plan, Rules
from farm.people import audit
from farm.settings import MAX_KEEP_DAYS, MAX_KEEP_GB, settings
from farm.storage import format_bytes


def _check_number(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which no range does."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number.")
    return value


@main.command("storage")
@click.option(
    "--keep-days",
    type=click.FloatRange(0, MAX_KEEP_DAYS),
    callback=_check_number,
    help="Instead of FARM_KEEP_DAYS.",
)
@click.option(
    "--keep-gb",
    type=click.FloatRange(0, MAX_KEEP_GB),
    callback=_check_number,
    help="Instead of FARM_KEEP_GB.",
)
@click.option("--forget", is_flag=True, help="Delete now what would be deleted, after a question.")
@click.option("--yes", is_flag=True, help="With --forget: do not ask.")
def show_storage(keep_days: float | None, keep_gb: float | None, forget: bool, yes: bool) -> None:
    """Show what the storage holds, and which ended jobs FARM_KEEP_DAYS and FARM_KEEP_GB would delete.

    Nothing is deleted without --forget; the janitor does so by itself, once one of the two is set.
    """
    schema.check_version()
    rules = Rules.choose(keep_days, keep_gb)
    with sessions.read_session() as session:
        found = holdings.measure(session)
        plan = retention.plan(session, rules, found)
    output.print(_build_table(found))
    for line in (*_describe_disks(), "", *_describe_plan(rules, plan)):
        click.echo(line)
    if forget and plan.pictures and (yes or click.confirm("Delete them?", default=False)):
        _forget(rules, plan)


def _build_table(found: Holdings) -> Table:
    table = Table("in the storage", "number", "size", box=None)
    for kind, part in found.parts.items():
        table.add_row(TITLES[kind], f"{part.count:,}", format_bytes(part.size_bytes))
    table.add_row("all together", "", format_bytes(found.total_bytes))
    return table


def _describe_disks() -> list[str]:
    lines = [
        f"{format_bytes(each.free)} of {format_bytes(each.total)} are free on the disk of {each.folder};"
        f" below {format_bytes(each.reserve)} nothing new is taken."
        for each in disk.list_disks()
    ]
    return lines or [f"Pictures lie in {settings().storage}; there is no disk here to watch."]


def _describe_plan(rules: Rules, plan: Plan) -> list[str]:
    if rules.keep_all:
        return ["Everything is kept: neither FARM_KEEP_DAYS nor FARM_KEEP_GB is set."]
    lines = [f"Kept: {retention.describe_rules(rules)}."]
    if plan.unknown and rules.size_bytes:
        jobs = format_count(plan.unknown, "job")
        lines.append(f"The bytes of {jobs} are not known yet; the janitor finds them out.")
    lines.append(f"Would be deleted: {retention.describe_plan(plan)}.")
    return lines


def _forget(rules: Rules, plan: Plan) -> None:
    """Delete as many as were shown, some at a time."""
    deleted = 0
    while deleted < plan.pictures and (items := retention.forget_some(rules)):
        deleted += sum(item.pictures for item in items)
    if deleted:
        detail = f"{format_count(deleted, 'picture')}; kept: {retention.describe_rules(rules)}"
        with sessions.write_session() as session:
            audit.record(session, audit.COMMAND_LINE, "delete old pictures", "storage", detail)
    click.echo(f"Deleted: {format_count(deleted, 'picture')}.")
