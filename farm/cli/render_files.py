"""From files to a file: what `farm render` does, without a farm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from farm.cli import sent_files
from farm.engine import device, quality
from farm.engine.checkpoint import Checkpoint, read
from farm.engine.checkpoint_writer import CheckpointThread
from farm.engine.guides import Guides
from farm.engine.loaded import Engine
from farm.engine.optimise import LevelDone, Step, stylize
from farm.errors import InvalidInput, Problem
from farm.files import replace_file
from farm.jobs.guides import check_leaves_something
from farm.jobs.names import clean_file_name
from farm.pictures import encode
from farm.pictures.decode import Channels, Decoded, check_map, decode_map_to_size, decode_to_size
from farm.pictures.marks import Marks
from farm.pictures.pixels import Picture, Pixels
from farm.recipe import Recipe, formats
from farm.recipe.picture_sizes import (
    Size,
    check_proportion,
    check_start,
    compute_held_map,
    compute_held_painting,
    compute_held_photograph,
    compute_held_start,
    name_mask,
)
from farm.recipe.recipe import SMALLEST_STYLE
from farm.settings import settings


def render_files(
    content: Path,
    styles: list[Path],
    output: Path,
    recipe: Recipe,
    *,
    guides: sent_files.Guides = sent_files.NO_GUIDES,
    tile: int | Literal["auto"] | None = "auto",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 300,
    say: Callable[[str], None],
    show: Callable[[Step], None],
    is_stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Render, write the picture with its recipe embedded, and return the figures.

    Args:
        output: its ending chooses the format, unless the recipe names one. guides: files of what else
            steers it. tile: see `optimise.stylize`. checkpoint: written every `checkpoint_seconds`; if
            it is there already, the rendering goes on from it. say: told one line now and then. show:
            told each step. is_stopped: asked after each step; True: the checkpoint is written, and the
            rendering ends.

    Raises:
        InvalidInput: a file or a setting is wrong. RenderFailed: the engine could not go on.
        KeyboardInterrupt: it was stopped.
    """
    recipe = _with_format_of(output, recipe)
    recipe = recipe.begin_with_picture() if guides.init else recipe
    check_start(recipe, begins=guides.init is not None)
    recipe.check_number_of_paintings(len(styles))
    sources = [content, *styles, *(path for _, path in guides.list_files())]
    check_writable("output", output, sources)
    if checkpoint is not None:
        check_writable("checkpoint", checkpoint, [*sources, output])
    saved = _Saved(checkpoint, checkpoint_seconds)
    resume = saved.read()
    recipe = _with_version_of(resume, recipe)
    whole = resume is not None and not resume.facts.scaled
    photograph, paintings = _decode_inputs(content, styles, recipe, whole)
    steering = decode_guides(guides, recipe, photograph.sent, photograph.alpha)
    steering.check(photograph.sent, len(styles))
    engine = load_engine(recipe, resume, say)
    quality.load_metrics_meanwhile()
    log: list[LevelDone] = []
    entered = resume.facts.seconds if resume else 0.0
    render = partial(stylize, photograph.pixels, paintings, recipe, engine, guides=steering)
    with saved:
        for step in render(size=photograph.sent, tile=tile, resume=resume):
            show(step)
            if step.ends_level:
                log.append(LevelDone.from_step(step, entered))
                say(str(log[-1]))
                entered = step.seconds
            saved.on_step(step)
            if is_stopped() and step.progress < 1:
                saved.write(step)
                raise KeyboardInterrupt
    picture = step.picture()
    names = clean_file_name(content.name), [clean_file_name(style.name) for style in styles]
    description = encode.compose_description(*names)
    _write(output, picture, engine.resolve(recipe), description, steering.opaque)
    saved.remove()
    figures = quality.measure(picture, photograph.pixels, paintings, recipe, engine, guides=steering)
    return _report(step, log, recipe, engine) | {"metrics": figures.as_dict()}


class _Saved:
    """The checkpoint of this rendering in a file, written by a thread; nothing if none was asked for.

    As a context it ends with the block, when what is being written is written.
    """

    def __init__(self, path: Path | None, every_seconds: float) -> None:
        self._path = path
        self._thread = CheckpointThread(every_seconds, self._write)

    def read(self) -> Checkpoint | None:
        """Return what a run before this one left; None: nothing.

        Raises:
            InvalidInput: the file is no checkpoint.
        """
        return read(self._path) if self._path is not None and self._path.exists() else None

    def on_step(self, step: Step) -> None:
        """Write after a step, but the last, if it is time to.

        Raises:
            RenderFailed: the last one could not be written.
        """
        if self._path is not None and step.progress < 1 and self._thread.is_due():
            self._thread.start(step.checkpoint)

    def write(self, step: Step) -> None:
        """Write after this step, and wait until it is written; nothing if no file was named.

        Raises:
            RenderFailed: it could not be written.
        """
        if self._path is not None:
            self._thread.finish()
            self._thread.start(step.checkpoint)
            self._thread.finish()

    def remove(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._thread.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._thread.__exit__(*raised)

    def _write(self, saved: Checkpoint) -> None:
        assert self._path is not None, "nothing is written without a path"
        saved.write(self._path)


def _with_version_of(resume: Checkpoint | None, recipe: Recipe) -> Recipe:
    """Return the recipe by the rules of the version that wrote the checkpoint, unless it names one."""
    if resume is None or "version" in recipe.model_fields_set:
        return recipe
    return Recipe.parse({"version": resume.version, **recipe.model_dump(exclude_unset=True)})


def _decode_inputs(
    content: Path, styles: list[Path], recipe: Recipe, whole: bool
) -> tuple[Decoded, list[Pixels]]:
    """Return the photograph and the paintings, (H, W, 3) sRGB.

    Args:
        whole: as they were sent, for a checkpoint of pictures that were decoded so.

    Raises:
        InvalidInput: a file is no picture, or the result would be too narrow.
    """
    fit_photograph = _keep if whole else partial(compute_held_photograph, recipe)
    photograph = _decode(content, fit_photograph, 1, Channels.COLOUR_AND_ALPHA)
    recipe.compute_result_size(*photograph.sent)
    return photograph, decode_paintings(styles, recipe, photograph.sent, whole)


def decode_paintings(styles: list[Path], recipe: Recipe, photograph: Size, whole: bool) -> list[Pixels]:
    """Return the paintings that go with a photograph of this size, (H, W, 3) sRGB.

    Args:
        whole: as they were sent, see `_decode_inputs`.

    Raises:
        InvalidInput: a file is no picture.
    """
    fits = [
        _keep if whole else partial(compute_held_painting, recipe, photograph, scale=scale)
        for scale in recipe.list_style_scales(len(styles))
    ]
    return [_decode(style, fit, SMALLEST_STYLE).pixels for style, fit in zip(styles, fits, strict=True)]


def decode_guides(
    files: sent_files.Guides, recipe: Recipe, photograph: Size, opaque: Pixels | None = None
) -> Guides:
    """Return what steers the rendering of a photograph of this size; opaque: its transparency.

    Raises:
        InvalidInput: a file is no picture, a map has another proportion than the photograph, or maps
            leave nothing to paint.
    """
    limit, count = settings().max_upload_megapixels, len(files.masks)
    fit_start = partial(compute_held_start, recipe, photograph)

    def decode_map(field: str, path: Path) -> Pixels:
        def fit(sent: Size) -> Size:
            check_proportion(field, sent, photograph)
            return compute_held_map(recipe, sent)

        return decode_map_to_size(path.read_bytes(), str(path), limit, fit)

    def read_marks(path: Path) -> Marks | None:
        return check_map(path.read_bytes(), str(path), limit, shortest=1).marks

    if files.masks and files.keep:
        masks = [marks for marks in map(read_marks, files.masks) if marks]
        check_leaves_something(masks, read_marks(files.keep))
    return Guides(
        masks=tuple(decode_map(name_mask(n, count), mask) for n, mask in enumerate(files.masks, 1)),
        keep=decode_map("keep", files.keep) if files.keep else None,
        opaque=opaque,
        start=_decode(files.init, fit_start, 1).pixels if files.init else None,
    )


def _keep(size: Size) -> Size:
    return size


def load_engine(recipe: Recipe, resume: Checkpoint | None, say: Callable[[str], None]) -> Engine:
    """Load the recipe's network, or the checkpoint's where the recipe leaves it open."""
    given = settings()
    network = resume.network if resume and recipe.features == "auto" else recipe.features
    where, memory = device.choose(given.device, say), given.memory_gb
    engine = Engine.load(network, recipe.precision, given.weights_dir, say, where, memory)
    say(f"{device.describe(engine.device)}, {engine.number_format.name}")
    if resume is not None:
        at = f"level {resume.facts.level}, iteration {resume.facts.iteration}"
        say(f"going on from {at}, with its network, version, tile and budget")
    return engine


def _write(
    output: Path, picture: Picture, recipe: Recipe, description: str, alpha: Pixels | None
) -> None:
    """Write the picture to a file that appears whole or not at all; see `encode.write`."""
    with replace_file(output) as part, part.open("wb") as file:
        encode.write_result(picture, recipe, file, description, alpha)


def _report(step: Step, log: list[LevelDone], recipe: Recipe, engine: Engine) -> dict[str, Any]:
    """Return all figures but those on the picture itself; step: the last one."""
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
    }


def _with_format_of(output: Path, recipe: Recipe) -> Recipe:
    """Return the recipe with the format that it names, if the ending agrees, or else with the ending's.

    Raises:
        InvalidInput: the ending is no format's, or another's.
    """
    given = recipe.format if "format" in recipe.model_fields_set else None
    return recipe.model_copy(update={"format": formats.find_format(output.suffix, given).name})


def check_writable(field: str, path: Path, others: list[Path]) -> None:
    """Check that a file can be written, before any work is done for it.

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


def _decode(
    path: Path,
    compute_size: Callable[[Size], Size],
    shortest: int,
    channels: Channels = Channels.COLOUR,
) -> Decoded:
    limit = settings().max_upload_megapixels
    return decode_to_size(path.read_bytes(), str(path), limit, compute_size, shortest, channels)
