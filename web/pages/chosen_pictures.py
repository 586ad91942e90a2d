"""Pictures chosen on the form: files, samples, earlier ones, a clip; and what else steers a picture."""

from __future__ import annotations

from collections.abc import Iterator
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
from farm.jobs.guides import GuideFiles
from farm.recipe import Recipe
from farm.storage import storage
from web import samples
from web.api.requests import read_from_start
from web.middleware.authentication import get_visitor
from web.pages import clip, recent
from web.pages.form import KEPT
from web.pages.form_values import find_unknown_fields, read_recipe


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
    problems = list(find_unknown_fields(form, [*request.form, *request.files]))
    recipe = Recipe()
    try:
        recipe = read_recipe(form)
    except InvalidInput as error:
        problems += error.problems
    content = next(read_contents(form, kept, problems), None)
    styles = list(_read_styles(form, kept, problems))
    guides = _read_guides(form, kept, problems)
    try:
        start = _read_start(form, kept, recipe, [*([content] if content else []), *styles])
        guides = replace(guides, init=start)
    except InvalidInput as error:
        problems += error.problems
    if (number := len(request.files.getlist("content"))) > 1:
        message = f"is one for each picture; {number} were sent, which takes a script in this page"
        problems.append(Problem("content", message))
    if content is None and not any(p.field == "content" for p in problems):
        problems.append(Problem("content", "is missing; choose a photograph"))
    if not styles and not any(p.field == "style" for p in problems):
        problems.append(Problem("style", "is missing; choose at least one painting"))
    if problems:
        raise InvalidInput(*problems)
    assert content is not None
    _check_weight(content)
    return [content, *styles], guides, recipe


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


def _read_guides(form: FlaskForm, kept: Job | None, problems: list[Problem]) -> GuideFiles:
    """Read masks and what stays: files if there are any, else an earlier job's, if it was asked for."""
    masks = tuple(read_from_start(file) for file in form.mask.data or [] if _is_chosen(file))
    keep = read_from_start(form.keep.data) if _is_chosen(form.keep.data) else None
    if kept is None or not form.kept_guides.data:
        return GuideFiles(masks, keep)
    if not masks:
        masks = tuple(_read_kept_masks(form, kept, problems))
    if keep is None and kept.keep:
        keep = _read_guide(kept.keep, problems)
    return GuideFiles(masks, keep)


def _read_start(
    form: FlaskForm, kept: Job | None, recipe: Recipe, pictures: list[Picture]
) -> bytes | None:
    """Read what the picture begins from: a file, or an earlier job's picture that it grows out of, or
    what that one began from.

    Raises:
        InvalidInput: the settings ask for a start, and there is none, or it does not go with these
            pictures.
    """
    if _is_chosen(form.start.data):
        return read_from_start(form.start.data)
    if recipe.init != "picture":
        return None
    if kept and recipe.grown_from == growing.measure_draft(kept):
        draft = growing.find_draft(kept.id, get_visitor())
        growing.check_pictures(draft, [each.data for each in pictures])
        growing.check_larger(draft, recipe.size)
        return growing.read_start(draft)
    problems: list[Problem] = []
    if kept and kept.start and (found := _read_guide(kept.start, problems)):
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
    found = next(_read_stored(guide.upload, None, guide.role.value, problems), None)
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
