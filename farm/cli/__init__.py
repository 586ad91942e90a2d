"""The command `farm`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from sqlalchemy.exc import DBAPIError

from farm import tokens
from farm.cli import client
from farm.cli import wait as waiting
from farm.database import schema, sessions
from farm.errors import FarmError, InvalidInput, Problem
from farm.fleet import registry
from farm.recipe import Recipe
from farm.recipe.memory_plan import SMALLEST_TILE
from farm.recipe.recipe import AUTOMATIC, LARGEST_SIZE, LONGEST_NAME, Features, choices, typed
from farm.settings import settings

console = Console(stderr=True, highlight=False)
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


class Farm(click.Group):
    """Turns the farm's own errors into one clear line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FarmError as error:
            raise click.ClickException(str(error)) from error
        except DBAPIError as error:
            raise click.ClickException(
                f"The database {sessions.shown_url()}: {str(error.orig).strip()}."
            ) from error


@click.group(cls=Farm, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="style-farm")
def main() -> None:
    """A rendering farm for neural style transfer."""


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """One option for each field of `Recipe`; what is not given keeps the recipe's default."""
    for name, field in reversed(Recipe.model_fields.items()):
        words = choices(field.annotation)
        kind = click.Choice(words) if words and all(isinstance(w, str) for w in words) else str
        shown = "" if field.default is None else f"  [default: {typed(field.default)}]"
        option = click.option(
            f"--{name.replace('_', '-')}", name, type=kind, help=f"{field.description}{shown}"
        )
        command = option(command)
    kept = click.option(
        "--recipe",
        type=EXISTING,
        help="A recipe in JSON, such as a job's page offers; other options change it.",
    )
    return kept(command)


def read_recipe(given: dict[str, Any]) -> Recipe:
    """The recipe of the options that were given."""
    path: Path | None = given.pop("recipe")
    values = Recipe.parse(path.read_bytes()).model_dump(exclude_unset=True) if path else {}
    return Recipe.parse(values | {name: value for name, value in given.items() if value is not None})


def read_tile(text: str) -> int | Literal["auto"] | None:
    """`auto`, `whole` (None) or a side in px."""
    if text in ("auto", "whole"):
        return "auto" if text == "auto" else None
    if text.isascii() and text.isdecimal() and SMALLEST_TILE <= int(text) <= LARGEST_SIZE:
        return int(text)
    limits = f"{SMALLEST_TILE} to {LARGEST_SIZE}"
    raise InvalidInput(
        Problem("tile", f"must be auto, whole or {limits} px (got {text[:LONGEST_NAME]!r})")
    )


# The engine alone -------------------------------------------------------------------------------


@main.command()
@click.argument("content", type=EXISTING)
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--json", "as_json", is_flag=True, help="Last line of stdout: one JSON object.")
@click.option(
    "--tile",
    default="auto",
    metavar="auto|whole|N",
    help="How much of the picture is worked on at once, px; only rounding differs.  [default: auto]",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written now and then; the same command goes on from it after a break.",
)
@click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(min=0),
    default=300,
    help="Between two checkpoints inside a level.  [default: 300]",
)
@recipe_options
def render(
    content: Path,
    styles: tuple[Path, ...],
    output: Path,
    as_json: bool,
    tile: str,
    checkpoint: Path | None,
    checkpoint_seconds: float,
    **given: Any,
) -> None:
    """Render CONTENT in the manner of STYLES, here and now, without a farm."""
    recipe = read_recipe(given)
    side = read_tile(tile)
    from farm.cli.render_files import render_files  # brings torch, which other commands do without

    columns = (
        TextColumn("level {task.fields[level]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1.0, level="", losses="")

        def show(step: Any) -> None:
            terms = step.losses
            progress.update(
                task,
                completed=step.progress,
                level=f"{step.level}/{step.levels} ({step.width} x {step.height})",
                losses=f"content {terms.content:.3f} style {terms.style:.4f}",
            )

        report = render_files(
            content,
            list(styles),
            output,
            recipe,
            tile=side,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            say=console.print,
            show=show,
        )
    console.print(f"[green]{output}[/] {report['width']} x {report['height']}, {report['seconds']} s")
    if as_json:
        click.echo(json.dumps(report))


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


# The farm's processes ---------------------------------------------------------------------------


@main.command()
def up() -> None:
    """The whole farm on this machine; Ctrl-C stops it."""
    from farm.cli.supervisor import up

    up()


@main.command()
def web() -> None:
    """The web part alone, in this process."""
    schema.check_version()
    _become("gunicorn", "--config", "python:web.server", "web:create_app()")


@main.command()
@click.option("--queues", default="preview,standard,large", show_default=True)
def worker(queues: str) -> None:
    """One worker, on the first GPU it may see or the CPU."""
    from farm.cli.supervisor import bring_weights

    schema.check_version()
    bring_weights(settings())
    name = settings().worker_name
    os.environ["FARM_WORKER_NAME"] = name
    options = ["--hostname", name, "--queues", queues, "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    _become("celery", "--quiet", "--app", "workers.tasks", "worker", *options)


@main.command("worker-alive")
def worker_alive() -> None:
    """Exit status 1 unless the worker FARM_WORKER_NAME was seen lately; for health checks."""
    with sessions.reading() as session:
        alive = [worker.name for worker in registry.alive(session)]
    if settings().worker_name not in alive:
        raise click.ClickException(f"{settings().worker_name} was not seen lately.")


@main.command()
def janitor() -> None:
    """The janitor: tickets for waiting jobs, jobs whose worker was lost, webhooks."""
    schema.check_version()
    _become("workers.janitor")


def _become(module: str, *arguments: str) -> None:
    """Replace this process by a Python module's, so that signals reach it and nothing else."""
    command = [sys.executable, "-m", module, *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - the farm's own commands


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


# A running farm ---------------------------------------------------------------------------------


def _farm(url: str) -> client.Client:
    return client.Client(url, settings().token)


url_option = click.option(
    "--url", envvar="FARM_URL", default="http://127.0.0.1:8000", show_default=True, help="The farm."
)


@main.command()
@click.argument("content", type=click.Path(exists=True, path_type=Path))
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option("--name", default="", help="Shown in lists; the photograph's file name when left out.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, help="Higher goes first.")
@click.option("--wait", is_flag=True, help="Until the pictures are finished, then fetch them.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="With --wait: the picture's file, or a folder.  [default: this folder]",
)
@click.option("--webhook", default="", metavar="URL", help="Told by a POST how the job ended.")
@url_option
@recipe_options
def submit(
    content: Path,
    styles: tuple[Path, ...],
    name: str,
    priority: int,
    wait: bool,
    output: Path | None,
    webhook: str,
    url: str,
    **given: Any,
) -> None:
    """Send CONTENT and STYLES to a running farm; prints the job's id.

    CONTENT may be a folder: each picture in it becomes a job. With --wait the exit status is 0 when all
    have succeeded, 3 when one failed, 4 when one was cancelled; Ctrl-C stops the waiting, not the jobs.
    """
    recipe = read_recipe(given)
    photographs = waiting.photographs(content)
    waiting.check_output(output, wait=wait, many=content.is_dir())
    farm = _farm(url)
    sent = []
    for photograph in photographs:
        job = farm.submit(photograph, list(styles), recipe, name or photograph.stem, priority, webhook)
        console.print(f"{job['state']}: {farm.url}/jobs/{job['id']}", soft_wrap=True)
        sent.append(job)
        if not wait:
            click.echo(job["id"])
    if wait:
        sys.exit(waiting.until_done(farm, sent, output, console))


@main.command()
@click.argument("job_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="The job as the API tells it.")
@url_option
def status(job_id: str | None, as_json: bool, url: str) -> None:
    """How a job stands; without JOB_ID, the newest jobs."""
    farm = _farm(url)
    found = [farm.job(job_id)] if job_id else farm.jobs()
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
    Console().print(table)
    if job_id and found[0]["error"]:
        raise click.ClickException(found[0]["error"])


@main.command()
@click.argument("job_id")
@url_option
def cancel(job_id: str, url: str) -> None:
    """Stop a job: at once if it waits, soon if it runs."""
    click.echo(_farm(url).cancel(job_id)["state"])


@main.command()
@click.argument("job_id")
@url_option
def delete(job_id: str, url: str) -> None:
    """Delete a job that has ended, and its pictures."""
    _farm(url).delete(job_id)
    click.echo("deleted")


@main.command()
@click.argument("job_id")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path))
@url_option
def fetch(job_id: str, output: Path | None, url: str) -> None:
    """Download a finished picture, in the format of its recipe or of the ending of --output."""
    if output and not output.parent.is_dir():
        raise click.ClickException(f"{output.parent} is not a folder.")
    click.echo(str(_farm(url).fetch(job_id, output)))
