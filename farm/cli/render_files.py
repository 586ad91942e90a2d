"""From files to a file: what `farm render` does, without a farm."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from farm.engine import device, quality
from farm.engine.checkpoint import read
from farm.engine.loaded import Engine
from farm.engine.optimise import LevelDone, Step, stylize
from farm.errors import InvalidInput, Problem
from farm.pictures import encode
from farm.pictures.decode import decode_picture
from farm.pictures.pixels import Picture
from farm.recipe import Recipe, formats
from farm.recipe.recipe import SMALLEST_STYLE
from farm.settings import settings


def render_files(
    content: Path,
    styles: list[Path],
    output: Path,
    recipe: Recipe,
    *,
    tile: int | Literal["auto"] | None = "auto",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 300,
    say: Callable[[str], None],
    show: Callable[[Step], None],
) -> dict[str, Any]:
    """Render, write the picture with its recipe embedded, and return the figures.

    Args:
        output: its ending chooses the format, unless the recipe names one. tile: see
            `optimise.stylize`. checkpoint: written at each level's end and every `checkpoint_seconds`;
            if it is there already, the rendering goes on from it. say: told one line now and then.
            show: told each step.

    Raises:
        InvalidInput: a file or a setting is wrong. RenderFailed: the engine could not go on.
    """
    recipe = _with_format_of(output, recipe)
    _check_writable("output", output, [content, *styles])
    if checkpoint is not None:
        _check_writable("checkpoint", checkpoint, [content, *styles, output])
    resume = read(checkpoint) if checkpoint is not None and checkpoint.exists() else None
    if resume is not None and "version" not in recipe.model_fields_set:
        recipe = Recipe.parse({"version": resume.version, **recipe.model_dump(exclude_unset=True)})
    photograph = _decode(content, shortest=1)
    recipe.result_size(*photograph.shape[:2])
    paintings = [_decode(style, SMALLEST_STYLE) for style in styles]
    given = settings()
    network = resume.network if resume and recipe.features == "auto" else recipe.features
    engine = Engine.load(network, recipe.precision, given.weights_dir, say, memory_gb=given.memory_gb)
    say(f"{device.describe(engine.device)}, {engine.number_format.name}")
    if resume is not None:
        facts = resume.facts
        at = f"level {facts.level}, iteration {facts.iteration}"
        say(f"going on from {at}, with its network, version, tile and budget")
    log: list[LevelDone] = []
    saved, entered = time.monotonic(), resume.facts.seconds if resume else 0.0
    for step in stylize(photograph, paintings, recipe, engine, tile=tile, resume=resume):
        show(step)
        if step.ends_level:
            log.append(LevelDone.from_step(step, entered))
            say(str(log[-1]))
            entered = step.seconds
        due = step.ends_level or time.monotonic() - saved >= checkpoint_seconds
        if checkpoint is not None and due and step.progress < 1:
            step.checkpoint().write(checkpoint)
            saved = time.monotonic()
    picture = step.picture()
    text = engine.resolve(recipe).model_dump_json()
    part = output.with_name(f".{output.name}.part")
    with part.open("wb") as file:
        encode.write(picture, recipe.format, file, text)
    part.replace(output)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return {
        "size": recipe.size,
        "width": step.width,
        "height": step.height,
        "levels": step.levels,
        "iterations": [level.iterations for level in log],
        "seconds": round(step.seconds, 2),
        "seconds_per_iteration": round(step.seconds / step.total, 4),
        "peak_memory_bytes": max(level.peak_memory_bytes for level in log),
        "log": [asdict(level) for level in log],
        "features": engine.vgg.network,
        "precision": engine.number_format.name,
        "metrics": quality.measure(picture, photograph, paintings, recipe, engine).as_dict(),
    }


def _with_format_of(output: Path, recipe: Recipe) -> Recipe:
    """The format that was given if the ending agrees; if none was, the ending's."""
    given = recipe.format if "format" in recipe.model_fields_set else None
    return recipe.model_copy(update={"format": formats.of_ending(output.suffix, given).name})


def _check_writable(field: str, path: Path, others: list[Path]) -> None:
    """Before any work is done for it.

    Raises:
        InvalidInput: the file cannot be written there, or is another one of this command.
    """
    if any(path.resolve() == other.resolve() for other in others):
        raise InvalidInput(Problem(field, f"{path} is used by this command already; name another file"))
    if not path.parent.is_dir():
        raise InvalidInput(Problem(field, f"{path.parent} is not a folder"))
    trial = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():
            raise InvalidInput(Problem(field, f"{path} is not a plain file"))
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InvalidInput(Problem(field, f"{path} cannot be written: {error.strerror}")) from error


def _decode(path: Path, shortest: int) -> Picture:
    limit = settings().max_upload_megapixels
    return decode_picture(path.read_bytes(), str(path), limit, shortest)
