"""Commands for a running farm: submit, status, cancel, delete, fetch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from farm.cli import client
from farm.cli import wait as waiting
from farm.cli.batch import Batch, list_photographs
from farm.cli.recipe_options import EXISTING, add_recipe_options, read_recipe
from farm.cli.root import main
from farm.cli.screen import console
from farm.cli.screen import output as screen
from farm.database.names import make_printable
from farm.jobs.fields import NAME_MEANS, PRIORITIES, PRIORITY_MEANS, WEBHOOK_MEANS
from farm.settings import settings


def _connect(url: str) -> client.Client:
    return client.Client(url, settings().token)


url_option = click.option(
    "--url",
    default=lambda: settings().url,
    show_default="FARM_URL, or http://127.0.0.1:8000",
    help="The farm.",
)


@main.command()
@click.argument("content", type=click.Path(exists=True, path_type=Path))
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option("--name", default="", help=f"{NAME_MEANS}  [default: the photograph's file name]")
@click.option(
    "--priority", type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]), default=0, help=PRIORITY_MEANS
)
@click.option("--wait", is_flag=True, help="Wait until the pictures are finished, then fetch them.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="With --wait: the picture's file, or a folder.  [default: this folder]",
)
@click.option("--webhook", default="", metavar="URL", help=WEBHOOK_MEANS)
@click.option("--again", is_flag=True, help="Send a folder's pictures anew, those that were sent, too.")
@url_option
@add_recipe_options
def submit(
    content: Path,
    styles: tuple[Path, ...],
    name: str,
    priority: int,
    wait: bool,
    output: Path | None,
    webhook: str,
    again: bool,
    url: str,
    **given: Any,
) -> None:
    """Send CONTENT and STYLES to a running farm and print the job's id.

    CONTENT may be a folder: each picture in it becomes a job, but for hidden files; the same command
    given again sends nothing twice. With --wait the exit status is 0 when all have succeeded, 1 when a
    picture was refused, 3 when a job failed, 4 when one was cancelled; Ctrl-C stops the waiting, not the
    jobs.
    """
    recipe = read_recipe(given)
    photographs = list_photographs(content)
    waiting.check_output(output, wait=wait, many=content.is_dir())
    farm = _connect(url)
    batch = Batch(farm, list(styles), recipe, name, priority, webhook)
    for photograph in photographs:
        job = batch.send(photograph, again=again) if content.is_dir() else batch.send_one(photograph)
        if job:
            console.print(f"{job['state']}: {farm.url}/jobs/{job['id']}", soft_wrap=True)
        if job and not wait:
            click.echo(job["id"])
    status = waiting.wait_for_all(farm, batch.sent, output, console) if wait else 0
    for photograph, reason in batch.refused.items():
        console.print(f"Not sent: {photograph}: {reason}", soft_wrap=True)
    sys.exit(status or (waiting.REFUSED if batch.refused else 0))


@main.command()
@click.argument("job_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the job as the API serialises it.")
@url_option
def status(job_id: str | None, as_json: bool, url: str) -> None:
    """Show a job's state; without JOB_ID, the newest jobs."""
    farm = _connect(url)
    found = [farm.get_job(job_id)] if job_id else farm.list_jobs()
    if as_json:
        click.echo(json.dumps(found[0] if job_id else found))
        return
    table = Table(
        Column("id", no_wrap=True, min_width=32), "name", "state", "done", "level", "left", box=None
    )
    for job in found:
        left = "" if job["eta_seconds"] is None else f"{job['eta_seconds']:.0f} s"
        done, level = f"{job['progress']:.0%}", f"{job['level']}/{job['levels']}"
        table.add_row(job["id"], job["name"], job["state"], done, level, left)
    screen.print(table)
    if job_id and found[0]["error"]:
        raise click.ClickException(make_printable(found[0]["error"]))


@main.command()
@click.argument("job_id")
@url_option
def cancel(job_id: str, url: str) -> None:
    """Stop a job: at once if it waits, soon if it runs."""
    click.echo(_connect(url).cancel(job_id)["state"])


@main.command()
@click.argument("job_id")
@url_option
def delete(job_id: str, url: str) -> None:
    """Delete a job that has ended, and its pictures."""
    _connect(url).delete(job_id)
    click.echo("deleted")


@main.command()
@click.argument("job_id")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path))
@url_option
def fetch(job_id: str, output: Path | None, url: str) -> None:
    """Download a finished picture, in the format of its recipe or of the ending of --output."""
    if output and not output.parent.is_dir():
        raise click.ClickException(f"{output.parent} is not a folder.")
    click.echo(str(_connect(url).fetch(job_id, output)))
