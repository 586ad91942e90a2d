"""Commands for a running farm: jobs sent, watched, acted on and fetched; explorations."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.table import Column, Table

from farm.cli import client
from farm.cli import wait as waiting
from farm.cli.batch import Batch, list_photographs
from farm.cli.film_options import add_film_options, check_for_film, read_choice, refuse_choice
from farm.cli.guide_options import add_guide_options, read_guides
from farm.cli.output import OUTPUT, is_folder
from farm.cli.recipe_options import (
    EXISTING,
    add_recipe_options,
    choose_recipe_options,
    read_recipe,
)
from farm.cli.root import main
from farm.cli.screen import console
from farm.cli.screen import output as screen
from farm.cli.sent_files import clean_name, read_picture
from farm.clips.recognise import is_clip
from farm.counts import format_count
from farm.database.models import State
from farm.database.names import make_printable
from farm.jobs.fields import NAME_MEANS, PRIORITIES, PRIORITY_MEANS, TAG_MEANS, WEBHOOK_MEANS
from farm.recipe import Recipe
from farm.recipe.film_formats import find_film_format
from farm.settings import settings

STATES = [state.value for state in State]
OF_DRAFT = ("init", "grown_from")  # settings of a picture that grows, which the finished one makes
Command = Callable[..., None]


def connect(url: str) -> client.Client:
    """Return a client of the farm at this address, with the token of the environment."""
    return client.Client(url, settings().token)


url_option = click.option(
    "--url",
    default=lambda: settings().url,
    show_default="FARM_URL, or http://127.0.0.1:8000",
    help="The farm.",
)


def add_job_options(name: str) -> Callable[[Command], Command]:
    """Return a decorator that adds what is said of a job beside its settings; name: its default."""
    options = (
        click.option("--name", default="", help=f"{NAME_MEANS}  [default: {name}]"),
        click.option(
            "--priority",
            type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]),
            default=0,
            help=PRIORITY_MEANS,
        ),
        click.option("--wait", is_flag=True, help="Wait until all are finished, then fetch them."),
        click.option(
            "-o",
            "--output",
            type=OUTPUT,
            help="With --wait: the picture's file, or a folder.  [default: this folder]",
        ),
        click.option("--webhook", default="", metavar="URL", help=WEBHOOK_MEANS),
        click.option("--tag", default="", help=TAG_MEANS),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@main.command()
@click.argument("content", type=click.Path(exists=True, path_type=Path))
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@add_job_options("the photograph's file name")
@click.option("--again", is_flag=True, help="Send a folder's pictures anew, those that were sent, too.")
@url_option
@add_film_options
@add_guide_options
@add_recipe_options
def submit(
    content: Path,
    styles: tuple[Path, ...],
    name: str,
    priority: int,
    wait: bool,
    output: Path | None,
    webhook: str,
    tag: str,
    again: bool,
    url: str,
    **given: Any,
) -> None:
    """Send CONTENT and STYLES to a running farm and print the job's id.

    CONTENT may be a folder: each picture in it becomes a job, but for hidden files; the same command
    given again sends nothing twice. It may be a clip, which becomes a film of the kind of --output.
    With --wait the exit status is 0 when all have succeeded, 1 when a picture was refused, 3 when a
    job failed, 4 when one was cancelled; Ctrl-C stops the waiting, not the jobs.
    """
    farm = connect(url)
    if content.is_file() and is_clip(read_picture("content", content)):
        fields = {"name": name, "priority": str(priority), "webhook_url": webhook, "tag": tag}
        _submit_film(farm, content, list(styles), fields, output, wait=wait, given=given)
        return
    refuse_choice(given)
    guides = read_guides(given)
    recipe = read_recipe(given, farm.find_look)
    photographs = list_photographs(content)
    waiting.check_output(output, wait=wait, many=content.is_dir())
    batch = Batch(farm, list(styles), recipe, name, priority, webhook, tag, guides)
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


def _submit_film(
    farm: client.Client,
    clip: Path,
    styles: list[Path],
    fields: dict[str, str],
    output: Path | None,
    *,
    wait: bool,
    given: dict[str, Any],
) -> None:
    """Send a clip, and wait for its film if that is wanted; given: the options of its frames."""
    choice = read_choice(given)
    guides = read_guides(given)
    check_for_film(given, guides)
    recipe = read_recipe(given, farm.find_look)
    waiting.check_output(output, wait=wait, many=False)
    named = output is not None and not is_folder(output)
    kind = find_film_format(output.suffix).name if output and named else "mp4"
    sent = clean_name(clip), read_picture("clip", clip)
    made = farm.submit_film(sent, styles, recipe, choice.to_json() | {"format": kind}, fields, guides)
    console.print(f"{made['state']}: {farm.url}/films/{made['id']}", soft_wrap=True)
    if wait:
        sys.exit(waiting.wait_for_all(farm, [made], output, console))
    click.echo(made["id"])


@main.command()
@click.argument("job_id")
@add_job_options("the finished job's")
@url_option
@choose_recipe_options(
    without=OF_DRAFT,
    usual="the finished job's",
    words={
        "size": "Longest side of the picture, px: more than the finished one has. Needed, but for an"
        " exploration's draft, which has that of its exploration."
    },
)
def grow(
    job_id: str,
    name: str,
    priority: int,
    wait: bool,
    output: Path | None,
    webhook: str,
    tag: str,
    url: str,
    **given: Any,
) -> None:
    """Make the picture of a finished job large: --size says how large.

    The new job goes on from the finished picture's pixels, with its photograph, paintings and masks, and
    with its settings but for those that are given; what --recipe or --look say of a start does not
    count. Prints its id; exit status as of `farm submit`.
    """
    farm = connect(url)
    settings = read_recipe(given, farm.find_look).list_given()
    recipe = Recipe.parse({name: settings[name] for name in settings if name not in OF_DRAFT})
    waiting.check_output(output, wait=wait, many=False)
    fields = {"name": name, "priority": str(priority), "webhook_url": webhook, "tag": tag}
    job = farm.grow(job_id, recipe, fields)
    console.print(f"{job['state']}: {farm.url}/jobs/{job['id']}", soft_wrap=True)
    if wait:
        sys.exit(waiting.wait_for_all(farm, [job], output, console))
    click.echo(job["id"])


@main.command()
@click.argument("job_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the job as the API serialises it.")
@click.option("--state", type=click.Choice(STATES), help="Only jobs of this state.")
@url_option
def status(job_id: str | None, as_json: bool, state: str | None, url: str) -> None:
    """Show the state of a job or a film; without JOB_ID, the newest jobs."""
    if job_id and state:
        raise click.UsageError("--state chooses among all jobs; leave JOB_ID out.")
    farm = connect(url)
    found = [farm.find(job_id)] if job_id else farm.list_jobs(state)
    if as_json:
        click.echo(json.dumps(found[0] if job_id else found))
        return
    _show(found)
    if job_id and found[0]["error"]:
        raise click.ClickException(make_printable(found[0]["error"]))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as the API serialises them.")
@url_option
def films(as_json: bool, url: str) -> None:
    """Show the newest films; `farm status ID` shows one."""
    found = connect(url).list_films()
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)


def _show(rows: list[dict[str, Any]]) -> None:
    """Print jobs or films as a table."""
    table = Table(
        Column("id", no_wrap=True, min_width=32), "name", "state", "done", "step", "left", box=None
    )
    for row in rows:
        left = "" if row["eta_seconds"] is None else f"{row['eta_seconds']:.0f} s"
        done, steps = f"{row['progress']:.0%}", waiting.describe_steps(row)
        table.add_row(row["id"], row["name"], row["state"], done, steps, left)
    screen.print(table)


@main.command()
@click.argument("job_id")
@url_option
def cancel(job_id: str, url: str) -> None:
    """Stop a job or a film: at once if it waits, soon if it runs."""
    click.echo(connect(url).cancel(job_id)["state"])


@main.command()
@click.argument("job_id")
@url_option
def retry(job_id: str, url: str) -> None:
    """Let a job or a film that failed or was cancelled wait again."""
    click.echo(connect(url).retry(job_id)["state"])


@main.command()
@click.argument("job_ids", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    help="The picture's file, or a folder.  [default: this folder]",
)
@url_option
def wait(job_ids: tuple[str, ...], output: Path | None, url: str) -> None:
    """Wait until the jobs and films have ended, then fetch what they made, as `submit --wait` does.

    The exit status is 0 when all have succeeded, 3 when a job failed, 4 when one was cancelled.
    """
    waiting.check_output(output, wait=True, many=len(job_ids) > 1)
    farm = connect(url)
    jobs = [farm.find(job_id) for job_id in dict.fromkeys(job_ids)]
    sys.exit(waiting.wait_for_all(farm, jobs, output, console))


@main.command()
@click.argument("content", type=EXISTING)
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option("--name", default="", help=f"{NAME_MEANS}  [default: the photograph's file name]")
@click.option(
    "--across", default="", metavar="SETTING", help="Varies from left to right, such as balance."
)
@click.option("--across-values", default="", metavar="JSON", help="Its values, such as [-1, 0, 1].")
@click.option(
    "--down", default="", metavar="SETTING", help="Varies from top to bottom, such as style_scale."
)
@click.option("--down-values", default="", metavar="JSON", help="Its values.")
@click.option("--cell-size", default="", metavar="PX", help="Longest side of a draft.")
@url_option
@add_guide_options
@choose_recipe_options(without=("grown_from",))
def explore(
    content: Path,
    styles: tuple[Path, ...],
    name: str,
    across: str,
    across_values: str,
    down: str,
    down_values: str,
    cell_size: str,
    url: str,
    **given: Any,
) -> None:
    """Try settings small: a grid of drafts that differ in one setting across and in another down.

    What is not given is the farm's choice. Prints the exploration's id; its page shows the grid.
    """
    farm = connect(url)
    guides = read_guides(given)
    recipe = read_recipe(given, farm.find_look)
    fields = {"name": name, "cell_size": cell_size, "across": across, "down": down}
    values = {"across_values": across_values, "down_values": down_values}
    made = farm.explore(content, list(styles), recipe, fields | values, guides)
    console.print(
        f"{format_count(len(made['cells']), 'draft')}: {farm.url}/explore/{made['id']}", soft_wrap=True
    )
    click.echo(made["id"])


@main.command()
@click.argument("job_id")
@url_option
def delete(job_id: str, url: str) -> None:
    """Delete a job or a film that has ended, and its pictures."""
    connect(url).delete(job_id)
    click.echo("deleted")


@main.command()
@click.argument("job_id")
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    help="The picture's file, whose ending chooses the format, or a folder.",
)
@url_option
def fetch(job_id: str, output: Path | None, url: str) -> None:
    """Download a finished picture, in the format of its recipe or of the ending of --output, or a film.

    In a folder it is named for its job. What ends with a slash is a folder, which is made.
    """
    if output and not is_folder(output) and not output.parent.is_dir():
        raise click.ClickException(f"{output.parent} is not a folder.")
    farm = connect(url)
    row = farm.find(job_id)
    if output and is_folder(output):
        click.echo(str(waiting.fetch_into(farm, row, output)))
    else:
        click.echo(str(farm.fetch(row, output)))
