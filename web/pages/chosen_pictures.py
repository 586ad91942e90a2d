"""Pictures chosen on the form: files, samples, earlier ones, a clip; and what else steers a picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from flask import current_app, request
from flask_wtf import FlaskForm
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from farm.clips.recognise import is_clip
from farm.database import sessions
from farm.database.models import Job, JobPicture, Upload
from farm.errors import InvalidInput, NotFound, Problem
from farm.explorations import growing
from farm.jobs.guides import NO_GUIDES, GuideFiles
from farm.recipe import Recipe
from farm.storage import storage
from web import samples
from web.api.requests import FILES, REPEATED, read_from_start
from web.middleware.authentication import get_visitor
from web.pages import clip, recent
from web.pages.form import KEPT
from web.pages.form_values import find_unknown_fields, read_recipe

START = {"init": "start"}  # in requests and in the form


@dataclass(frozen=True)
class Picture:
    """A picture of the form."""

    data: bytes
    # Where it came from, as far as that is known.
    file_name: str | None


def read_form(form: FlaskForm, kept: Job | None) -> tuple[list[Picture], GuideFiles, Recipe]:
    """Read the photograph, then the paintings, what else steers the picture, and the recipe.

    Raises:
        InvalidInput: all that can be found before the pictures are looked at.
    """
    if form.grow.data and kept is None:  # the job was deleted
        form.grow.data = ""
        growing.find_draft(request.form.get("from_job", ""), get_visitor())
    problems = list(find_unknown_fields(form, [*request.form, *request.files]))
    problems += _find_files_too_many()
    recipe = Recipe()
    try:
        recipe = read_recipe(form)
    except InvalidInput as error:
        problems += error.problems
    content = next(read_contents(form, kept, problems), None)
    styles = list(_read_styles(form, kept, problems))
    guides = NO_GUIDES
    try:
        guides = _read_growing_guides(form) if form.grow.data else _read_all_guides(form, kept, recipe)
    except InvalidInput as error:
        problems += error.problems
    if content is None and not any(p.field == "content" for p in problems):
        problems.append(Problem("content", "is missing; choose a photograph"))
    if not styles and not any(p.field == "style" for p in problems):
        problems.append(Problem("style", "is missing; choose at least one painting"))
    if problems:
        raise InvalidInput(*problems)
    assert content is not None
    _check_weight(content)
    if form.grow.data and kept:
        return _grow(form, kept, content, styles, recipe)
    return [content, *styles], guides, guides.complete(recipe)


def _grow(
    form: FlaskForm, kept: Job, content: Picture, styles: list[Picture], recipe: Recipe
) -> tuple[list[Picture], GuideFiles, Recipe]:
    """Return what a larger picture of a finished job's is made of, by the form's settings.

    Raises:
        InvalidInput: it cannot grow, or not so.
    """
    own = [name for name in ("init", "grown_from") if not form[name].raw_data]  # left to the job
    settings = {name: getattr(recipe, name) for name in Recipe.model_fields if name not in own}
    pictures = [each.data for each in styles]
    given = Recipe.model_validate(settings)
    parts = growing.prepare(kept.id, given, content.data, pictures, visitor=get_visitor())
    return [content, *styles], parts.guides, parts.recipe


def _find_files_too_many() -> Iterator[Problem]:
    """Name the fields for one file that came with several."""
    for field in sorted({*FILES} - {*REPEATED} | {"start"}):
        if (number := sum(_is_chosen(file) for file in request.files.getlist(field))) > 1:
            each = "is one for each picture" if field == "content" else "is one file"
            script = ", which takes a script in this page" if field == "content" else ""
            yield Problem(field, f"{each}; {number} were sent{script}")


@contextmanager
def name_start() -> Iterator[None]:
    """Raise what is wrong with the file `init` of a request under its name in the form."""
    try:
        yield
    except InvalidInput as error:
        problems = [Problem(START.get(each.field, each.field), each.message) for each in error.problems]
        raise type(error)(*problems) from None


def _check_weight(content: Picture) -> None:
    """Check that a form without a clip is no larger than any other submission.

    Raises:
        RequestEntityTooLarge: it is.
    """
    most = current_app.config["MAX_CONTENT_LENGTH"]
    if (request.content_length or 0) > most and not is_clip(content.data):
        request.max_content_length = most  # which the answer names
        raise RequestEntityTooLarge


def read_contents(form: FlaskForm, kept: Job | None, problems: list[Problem]) -> Iterator[Picture]:
    """Read the photograph or the clip in its place: a file if there is one, else what was picked."""
    if _is_chosen(form.content.data):
        yield _read_file(form.content.data)
        return
    if form.clip.data:
        upload = clip.find_upload(form.clip.data, get_visitor())
        if upload is None:
            problems.append(Problem("content", "is no longer here; choose the clip again"))
        else:
            yield from _read_stored(upload, form.clip_name.data, "content", problems)
        return
    pick = form.content_pick.data
    if pick == KEPT and kept:
        yield from _read_stored(kept.content, kept.content_name, "content", problems)
    elif pick:
        yield from _read_sample(pick, samples.CONTENTS, "content", problems)


def _read_styles(form: FlaskForm, kept: Job | None, problems: list[Problem]) -> Iterator[Picture]:
    """Read the paintings: what was picked, then the files."""
    uploads = {f"{KEPT}-{style.position}": style for style in kept.styles} if kept else {}
    for pick in form.style_pick.data or []:
        if stored := uploads.get(pick) or _find_recent(pick):
            yield from _read_stored(stored.upload, stored.file_name, "style", problems)
        else:
            yield from _read_sample(pick, samples.STYLES, "style", problems)
    yield from (_read_file(file) for file in form.style.data or [] if _is_chosen(file))


def _read_growing_guides(form: FlaskForm) -> GuideFiles:
    """Read what else steers a picture that grows: nothing that comes with the form.

    Raises:
        InvalidInput: something came.
    """
    with name_start():
        growing.check_guides(_read_files(form))
    return NO_GUIDES


def _read_all_guides(form: FlaskForm, kept: Job | None, recipe: Recipe) -> GuideFiles:
    """Read what else steers a picture.

    Raises:
        InvalidInput: something of it is wrong or missing.
    """
    problems: list[Problem] = []
    guides = _read_guides(form, kept, problems)
    try:
        guides = replace(guides, init=_read_start(form, kept, recipe))
    except InvalidInput as error:
        problems += error.problems
    if problems:
        raise InvalidInput(*problems)
    return guides


def _read_files(form: FlaskForm) -> GuideFiles:
    """Read what came as files."""
    masks = tuple(read_from_start(file) for file in form.mask.data or [] if _is_chosen(file))
    keep, start = (
        read_from_start(field.data) if _is_chosen(field.data) else None
        for field in (form.keep, form.start)
    )
    return GuideFiles(masks, keep, start)


def _read_guides(form: FlaskForm, kept: Job | None, problems: list[Problem]) -> GuideFiles:
    """Read masks and what stays: files if there are any, else an earlier job's, if it was asked for."""
    sent = _read_files(form)
    masks, keep = sent.masks, sent.keep
    if kept is None or not form.kept_guides.data:
        return GuideFiles(masks, keep)
    if not masks:
        masks = tuple(_read_kept_masks(form, kept, problems))
    if keep is None and kept.keep:
        keep = _read_guide(kept.keep, problems)
    return GuideFiles(masks, keep)


def _read_start(form: FlaskForm, kept: Job | None, recipe: Recipe) -> bytes | None:
    """Read what the picture begins from: a file, or what an earlier job's began from.

    Raises:
        InvalidInput: the settings ask for a start, and there is none.
    """
    if _is_chosen(form.start.data):
        return read_from_start(form.start.data)
    if recipe.init != "picture":
        return None
    problems: list[Problem] = []
    if kept and kept.start:
        found = _read_guide(kept.start, problems)
        if found:
            return found
    raise InvalidInput(*problems or [Problem("start", "is missing; choose one, or begin otherwise")])


def _read_kept_masks(form: FlaskForm, kept: Job, problems: list[Problem]) -> Iterator[bytes]:
    """Read the masks of an earlier job, each for the painting that it was for."""
    if not kept.masks:
        return
    by_pick = {f"{KEPT}-{mask.position}": mask for mask in kept.masks}
    picks = form.style_pick.data or []
    if not by_pick.keys() >= set(picks) or any(_is_chosen(file) for file in form.style.data or []):
        message = "of that picture goes with its own painting; leave them out, or send others"
        problems.append(Problem("mask", message))
        return
    for pick in picks:
        if (data := _read_guide(by_pick[pick], problems)) is not None:
            yield data


def _read_guide(guide: JobPicture, problems: list[Problem]) -> bytes | None:
    field = START.get(guide.role.value, guide.role.value)
    found = next(_read_stored(guide.upload, None, field, problems), None)
    return found.data if found else None


def _find_recent(pick: str) -> JobPicture | None:
    with sessions.read_session() as session:
        return recent.find_painting(session, pick, get_visitor())


def _read_file(file: FileStorage) -> Picture:
    return Picture(read_from_start(file), file.filename)


def _is_chosen(file: object) -> bool:
    """Check for a file: browsers send a nameless part for an empty file input."""
    return isinstance(file, FileStorage) and bool(file.filename)


def _read_stored(
    upload: Upload, file_name: str | None, field: str, problems: list[Problem]
) -> Iterator[Picture]:
    try:
        yield Picture(storage().get_whole(upload.key, upload.sha256), file_name)
    except NotFound:
        problems.append(Problem(field, "is no longer whole in storage; choose the file again"))


def _read_sample(
    name: str, offered: tuple[samples.Sample, ...], field: str, problems: list[Problem]
) -> Iterator[Picture]:
    found = next((sample for sample in samples.list_offered(offered) if sample.name == name), None)
    if found is None:
        problems.append(Problem(field, "is not one of the pictures offered here"))
    else:
        yield Picture(found.path.read_bytes(), f"{found.title}{found.path.suffix}")
