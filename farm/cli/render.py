"""Command `farm render`: one picture, here and now, without a farm."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from farm.cli.guide_options import add_guide_options, read_guides
from farm.cli.output import OUTPUT, find_free_name, is_folder
from farm.cli.recipe_options import EXISTING, add_recipe_options, read_recipe
from farm.cli.root import main
from farm.cli.screen import console
from farm.errors import InvalidInput, Problem
from farm.recipe.formats import FORMATS
from farm.recipe.memory_plan import SMALLEST_TILE
from farm.recipe.problems import LONGEST_NAME
from farm.recipe.recipe import LARGEST_SIZE


def parse_tile(text: str) -> int | Literal["auto"] | None:
    """Parse `auto`, `whole` (None) or a side in px.

    Raises:
        InvalidInput: it is none of them.
    """
    if text in ("auto", "whole"):
        return "auto" if text == "auto" else None
    if text.isascii() and text.isdecimal() and SMALLEST_TILE <= int(text) <= LARGEST_SIZE:
        return int(text)
    limits = f"{SMALLEST_TILE} to {LARGEST_SIZE}"
    raise InvalidInput(
        Problem("tile", f"must be auto, whole or {limits} px (got {text[:LONGEST_NAME]!r})")
    )


@contextmanager
def _stop_on_signals(checkpoint: Path | None) -> Iterator[Callable[[], bool]]:
    """Yield what tells that Ctrl-C was pressed, and end the process with the shell's exit status for it.

    With a checkpoint the iteration that runs is finished, so that it can be saved; a second Ctrl-C stops
    at once. Without one there is nothing to wait for.
    """
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        if checkpoint is None or len(received) > 1:
            raise KeyboardInterrupt
        os.write(2, b"\nSaving after this iteration; once more stops at once.\n")  # safe in a handler

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    except KeyboardInterrupt:
        if checkpoint is not None and checkpoint.exists():
            console.print(f"Stopped. The same command goes on from {checkpoint}.", soft_wrap=True)
        sys.exit(128 + (received[0] if received else signal.SIGINT))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@main.command()
@click.argument("content", type=EXISTING)
@click.argument("styles", type=EXISTING, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    required=True,
    help="The picture's file, or a folder, where it is named for the photograph.",
)
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
    help="Between two checkpoints.  [default: 300]",
)
@add_guide_options
@add_recipe_options
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
    """Render CONTENT in the manner of STYLES, here and now, without a farm.

    Ctrl-C with --checkpoint saves the rendering first; exit status 130.
    """
    guides = read_guides(given)
    recipe = read_recipe(given)
    side = parse_tile(tile)
    if is_folder(output):
        output = find_free_name(output, content.stem, FORMATS[recipe.format].suffix)
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
    with _stop_on_signals(checkpoint) as is_stopped, Progress(*columns, console=console) as progress:
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
            guides=guides,
            tile=side,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            say=console.print,
            show=show,
            is_stopped=is_stopped,
        )
    console.print(f"{output} {report['width']} x {report['height']}, {report['seconds']} s")
    if as_json:
        click.echo(json.dumps(report))
