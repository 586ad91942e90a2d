"""From files to a file: what `farm render` does, without a farm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from farm import formats, images
from farm.engine import device, quality
from farm.engine.optimise import Engine, Step, stylize
from farm.errors import InvalidInput, Problem
from farm.recipe import SMALLEST_STYLE, Recipe
from farm.settings import settings


def render_files(
    content: Path,
    styles: list[Path],
    output: Path,
    recipe: Recipe,
    *,
    say: Callable[[str], None],
    show: Callable[[Step], None],
) -> dict[str, Any]:
    """Render, write the picture with its recipe embedded, and return the figures.

    Args:
        output: its ending chooses the format, unless the recipe names one. say: told one line
            now and then. show: told each step.

    Raises:
        InvalidInput: a file or a setting is wrong. RenderFailed: the engine could not go on.
    """
    recipe = _with_format_of(output, recipe)
    if not output.parent.is_dir():
        raise InvalidInput(Problem("output", f"{output.parent} is not a folder"))
    photograph = _decode(content, shortest=1)
    recipe.result_size(*photograph.shape[:2])
    paintings = [_decode(style, SMALLEST_STYLE) for style in styles]
    engine = Engine.ready(recipe.features, recipe.precision, settings().weights_dir, say)
    say(f"{device.describe(engine.device)}, {engine.form.name}")
    device.reset_peak_memory(engine.device)
    iterations: dict[int, int] = {}
    for step in stylize(photograph, paintings, recipe, engine):
        iterations[step.level] = step.iterations
        show(step)
    picture = step.picture()
    text = engine.settled(recipe).model_dump_json()
    with output.open("wb") as file:
        images.write(picture, recipe.format, file, text)
    return {
        "size": recipe.size,
        "width": step.width,
        "height": step.height,
        "levels": step.levels,
        "iterations": list(iterations.values()),
        "seconds": round(step.seconds, 2),
        "seconds_per_iteration": round(step.seconds / step.total, 4),
        "peak_memory_bytes": step.peak_memory_bytes,
        "features": engine.vgg.features,
        "precision": engine.form.name,
        "metrics": quality.measure(picture, photograph, paintings, recipe, engine).as_dict(),
    }


def _with_format_of(output: Path, recipe: Recipe) -> Recipe:
    """The format that was given if the ending agrees; if none was, the ending's."""
    given = recipe.format if "format" in recipe.model_fields_set else None
    return recipe.model_copy(update={"format": formats.of_ending(output.suffix, given).name})


def _decode(path: Path, shortest: int) -> images.Picture:
    limit = settings().max_upload_megapixels
    return images.decode(path.read_bytes(), str(path), limit, shortest)
