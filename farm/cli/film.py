"""Command `farm film`: a clip, here and now, without a farm."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from farm.cli.guide_options import add_guide_options, read_guides
from farm.cli.output import OUTPUT, find_free_name, is_folder
from farm.cli.recipe_options import EXISTING, add_recipe_options, read_recipe
from farm.cli.root import main
from farm.cli.screen import console
from farm.errors import InvalidInput, Problem
from farm.recipe.film import LONGEST_SPACING, SPACING, Moving, parse_range
from farm.recipe.film_formats import FILM_FORMATS

UNUSED = {  # settings of a picture that a film has no use for, and why
    "format": "is a picture's; the ending of --output chooses the film's",
    "grown_from": "is a picture's; give --size",
}


def add_film_options(command: Any) -> Any:
    """Add what is said of a film beside the settings of its frames."""
    options = (
        click.option(
            "--frames", metavar="A:B", help="Only frames A up to, without, B, from 0.  [default: all]"
        ),
        click.option("--every", type=int, default=1, help="2 paints each second frame, and so on."),
        click.option(
            "--spacing",
            type=click.IntRange(1, LONGEST_SPACING),
            default=SPACING,
            help="Frames from anchor to anchor.",
            show_default=True,
        ),
        click.option(
            "--moving",
            metavar="JSON|FILE",
            help='Settings that move, such as {"blend": {"0": [1, 0], "48": [0, 1]}}.',
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def read_moving(text: str | None) -> Moving:
    """Read settings that move, from JSON or its file.

    Raises:
        InvalidInput: they are none, or the file cannot be read.
    """
    try:
        if text and not text.lstrip().startswith("{"):
            text = Path(text).read_text()
        return Moving.parse(json.loads(text or "{}"))
    except OSError as error:
        message = f"must be JSON or its file; {text} cannot be read: {error.strerror}"
        raise InvalidInput(Problem("moving", message)) from error
    except ValueError as error:
        raise InvalidInput(Problem("moving", f"is no JSON: {error}")) from error


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
    frames: str | None,
    every: int,
    spacing: int,
    moving: str | None,
    **given: Any,
) -> None:
    """Paint CLIP, a video or a folder of frames, in the manner of STYLES, here and now, without a farm.

    Ctrl-C stops; the same command goes on after the last whole frame, from the folder NAME.frames beside
    the film. Exit status 130.
    """
    guides = read_guides(given)
    if guides.init:
        raise InvalidInput(Problem("init", "is a picture's; frames of a film begin from each other"))
    for name, reason in UNUSED.items():
        if given.get(name) is not None:
            raise InvalidInput(Problem(name, reason))
    recipe = read_recipe(given)
    first, end = parse_range(frames or ":")
    movement = read_moving(moving)
    if is_folder(output):
        output = find_free_name(output, clip.stem, ".mp4")
    from farm.cli.film_files import Choice, name_folder, paint_film  # brings torch

    with _stop_on_signals(keep_frames or name_folder(output)), _build_progress() as progress:
        task = progress.add_task("", total=1.0, done="", left="")
        foretold: list[str] = []

        def show(sight: Any) -> None:
            done = f"{sight.done}/{sight.frames} frames"
            left = "" if sight.seconds_left is None else f"{format_duration(sight.seconds_left)} left"
            progress.update(task, completed=sight.share, done=done, left=left)
            if left and not foretold:
                foretold.append(left)
                console.print(f"About {left}")

        report = paint_film(
            clip,
            list(styles),
            output,
            recipe,
            Choice(first, end, every, spacing, movement),
            guides=guides,
            keep=keep_frames,
            say=console.print,
            show=show,
        )
    figures = f"{report['frames']} frames of {report['width']} x {report['height']}"
    console.print(f"{output} {figures}, {report['sound']}, {format_duration(report['seconds'])}")
    if as_json:
        click.echo(json.dumps(report))


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
