"""Wait for jobs of a farm on the command line: a progress bar for each, then their pictures."""

from __future__ import annotations

import filecmp
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from farm.cli.batch import PHOTOGRAPHS
from farm.cli.client import Client, find_suffix, is_film
from farm.cli.output import is_folder
from farm.cli.refusals import Unavailable
from farm.counts import format_count
from farm.database.names import make_printable
from farm.errors import FarmError, InvalidInput, Problem
from farm.files import build_file_name
from farm.recipe.film_formats import FILM_FORMATS

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 300.0  # with a farm that does not answer
FILES = (*PHOTOGRAPHS, *(known.suffix for known in FILM_FORMATS.values()))  # endings of one file
REFUSED, FAILED, CANCELLED, INTERRUPTED = 1, 3, 4, 130  # exit statuses


def check_output(output: Path | None, *, wait: bool, many: bool) -> None:
    """Check `--output` before anything is sent; make the folder for several pictures.

    Raises:
        InvalidInput: pictures could not be stored there.
    """
    if output is None:
        return
    if not wait:
        raise InvalidInput(Problem("output", "goes with --wait; without it nothing is fetched"))
    if not is_folder(output) and not output.parent.is_dir():
        raise InvalidInput(Problem("output", f"{output.parent} is not a folder"))
    if many and (output.is_file() or output.suffix.lower() in FILES):
        raise InvalidInput(Problem("output", f"{output} must be a folder for several pictures"))
    if many:
        output.mkdir(exist_ok=True)


@dataclass
class _Watched:
    """Job or film under watch, as the farm last served it."""

    # As the API serialises it.
    job: dict[str, Any]
    # Its progress bar.
    bar: TaskID
    # ETag of `job`; None before the first poll.
    tag: str | None = None

    @property
    def ended(self) -> bool:
        return self.job["state"] in ("succeeded", "failed", "cancelled")


def wait_for_all(farm: Client, sent: list[dict[str, Any]], output: Path | None, console: Console) -> int:
    """Show the progress of the jobs, fetch each picture when it is finished, print its path.

    A picture that cannot be fetched keeps no other from being fetched.

    Returns:
        The exit status: 0 where all have succeeded and are fetched.
    """
    lost = False
    with _build_progress(console) as progress:
        watched = [
            _Watched(job, progress.add_task(make_printable(job["name"]), total=1.0, status=""))
            for job in sent
        ]
        try:
            for done in _watch(farm, watched, progress):
                lost |= not _fetch(farm, done.job, output, progress.console)
        except KeyboardInterrupt:
            progress.console.print("The jobs go on without this command; `farm status` shows them.")
            return INTERRUPTED
    states = {each.job["state"] for each in watched}
    if "failed" in states or "cancelled" in states:
        return FAILED if "failed" in states else CANCELLED
    return REFUSED if lost else 0


def _build_progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[status]}", markup=False),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console)


def _watch(farm: Client, watched: list[_Watched], progress: Progress) -> Iterator[_Watched]:
    """Poll the jobs, update their bars, and yield each job when it has ended.

    Raises:
        Unavailable: no answer for `PATIENCE_SECONDS`.
    """
    open_jobs, answered_at = list(watched), time.monotonic()
    while open_jobs:
        for each in list(open_jobs):
            try:
                changed, each.tag = farm.poll(each.job, each.tag)
                answered_at = time.monotonic()
            except Unavailable:
                if time.monotonic() - answered_at > PATIENCE_SECONDS:
                    raise
                progress.update(each.bar, status="the farm does not answer")
                continue
            each.job = changed or each.job
            progress.update(each.bar, completed=each.job["progress"], status=_describe(each.job))
            if each.ended:
                open_jobs.remove(each)
                yield each
        if open_jobs:
            time.sleep(POLL_SECONDS)


def _describe(job: dict[str, Any]) -> str:
    if job["state"] == "running" and (steps := describe_steps(job)):
        left = "" if job["eta_seconds"] is None else f", {job['eta_seconds']:.0f} s left"
        return f"{steps}{left}"
    return make_printable(str(job.get("waiting_for") or job["error"] or job["state"]))


def describe_steps(job: dict[str, Any]) -> str:
    """Return how far a job or a film is in its own steps; empty: not begun."""
    if is_film(job):
        return f"{job['painted']}/{format_count(job['frames'], 'frame')}"
    return f"level {job['level']}/{job['levels']}" if job["levels"] else ""


def _fetch(farm: Client, job: dict[str, Any], output: Path | None, console: Console) -> bool:
    """Fetch the picture of a job that succeeded, or print how else it ended; False: it did not come."""
    if job["state"] != "succeeded":
        console.print(f"{job['name']}: {job['state']}. {job['error'] or ''}", soft_wrap=True)
        return True
    try:
        if output and not is_folder(output):
            click.echo(farm.fetch(job, output))
        else:
            click.echo(fetch_into(farm, job, output or Path()))
    except (FarmError, OSError) as error:
        console.print(f"{job['name']} ({job['id']}): not fetched. {error}", soft_wrap=True)
        return False
    return True


def fetch_into(farm: Client, job: dict[str, Any], folder: Path) -> Path:
    """Fetch a picture or a film into a folder, named for its job, and return its path.

    A file that exists is not replaced; if it is this very picture, it is the one.
    """
    suffix = find_suffix(job)
    first = folder / build_file_name(job["name"], suffix)
    if not first.exists():
        return farm.fetch(job, first)
    second = farm.fetch(job, folder / build_file_name(job["name"], f"-{job['id'][:8]}{suffix}"))
    if filecmp.cmp(first, second, shallow=False):
        second.unlink()
        return first
    return second
