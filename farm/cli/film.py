"""Command `farm film`: a clip, here and now, without a farm."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from farm import log
from farm.cli.film_options import UNUSED, add_film_options, check_for_film, read_choice
from farm.cli.guide_options import add_guide_options, read_guides
from farm.cli.output import OUTPUT, find_free_name, is_folder
from farm.cli.recipe_options import EXISTING, add_recipe_options, read_recipe
from farm.cli.root import main
from farm.cli.screen import console
from farm.counts import format_count
from farm.recipe.film_formats import FILM_FORMATS


@main.command()
@click.argument("clip", type=click.Path(exists=True, path_type=Path))
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    help=f"The film's file ({', '.join(known.suffix for known in FILM_FORMATS.values())}), or a folder.",
)
@click.option(
    "--keep-frames",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Painted frames stay in this folder, PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="Last line of stdout: one JSON object.")
@add_film_options
@add_guide_options
@add_recipe_options
def film(
    clip: Path,
    styles: tuple[Path, ...],
    output: Path,
    keep_frames: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Paint CLIP, a video or a folder of frames, in the manner of STYLES, here and now, without a farm.

    Ctrl-C stops; the same command goes on after the last whole frame, from the folder NAME.frames beside
    the film. Exit status 130.
    """
    log.configure_for_command()
    choice = read_choice(given)
    guides = read_guides(given)
    check_for_film(given, guides)
    recipe = read_recipe(given)
    if is_folder(output):
        output = find_free_name(output, clip.stem, ".mp4")
    from farm.cli.film_files import name_folder, paint_film  # brings torch

    with _stop_on_signals(keep_frames or name_folder(output)), _build_progress() as progress:
        task = progress.add_task("", total=1.0, done="", left="", visible=False)  # till it begins
        foretold: list[str] = []

        def show(now: Any) -> None:
            done = f"{now.done}/{format_count(now.frames, 'frame')}"
            left = "" if now.seconds_left is None else f"{format_duration(now.seconds_left)} left"
            progress.update(task, completed=now.share, done=done, left=left, visible=True)
            if left and not foretold:
                foretold.append(left)
                console.print(f"About {left}")

        report = paint_film(
            clip,
            list(styles),
            output,
            recipe,
            choice,
            guides=guides,
            keep=keep_frames,
            say=partial(console.print, soft_wrap=True),
            show=show,
        )
    figures = f"{format_count(report['frames'], 'frame')} of {report['width']} x {report['height']}"
    took = format_duration(report["seconds"])
    console.print(f"{output} {figures}, {report['sound']}, {took}", soft_wrap=True)
    if as_json:
        click.echo(json.dumps(report))


for _option in film.params:
    if isinstance(_option, click.Option):  # what is refused is not offered
        _option.hidden = _option.name in UNUSED


def format_duration(seconds: float) -> str:
    """Return a time for people: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _build_progress() -> Progress:
    columns = (
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    return Progress(*columns, console=console)


@contextmanager
def _stop_on_signals(folder: Path) -> Iterator[None]:
    """End the process with the shell's exit status for Ctrl-C and its like, and say how to go on."""
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        if folder.is_dir():
            console.print(f"Stopped. The same command goes on from {folder}.", soft_wrap=True)
        sys.exit(128 + (received[0] if received else signal.SIGINT))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
