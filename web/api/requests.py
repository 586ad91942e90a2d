"""Requests as they come in, forms with files, and answers as they go out, JSON with an ETag."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, request
from pydantic import BaseModel
from werkzeug.exceptions import UnsupportedMediaType

from farm.database import sessions
from farm.errors import InvalidInput, NotFound, Problem
from farm.jobs.guides import GuideFiles
from farm.jobs.idempotency import Key
from farm.looks import saved
from farm.looks.built_in import find_built_in
from farm.looks.look import Look
from farm.recipe import Recipe
from web.middleware.authentication import get_visitor
from web.middleware.conditions import make_conditional

NAMED = ("content", "style")  # files whose names are kept
CLIP_NAMED = ("clip", "style")  # of a film
GUIDES = ("mask", "keep", "init")
FILES = (*NAMED, *GUIDES)
CLIP_FILES = (*CLIP_NAMED, *GUIDES)
REPEATED = ("style", "mask")


def read_submission(texts: Sequence[str]) -> tuple[bytes, list[bytes], Recipe]:
    """Read photograph, paintings and recipe of a multipart request whose text fields are these.

    Raises:
        InvalidInput: a field that would be ignored, a wrong recipe, or no photograph.
    """
    content, styles, recipe = read_parts(texts)
    if content is None:
        raise InvalidInput(Problem("content", "is missing; send one photograph"))
    return content, styles, recipe


def read_parts(texts: Sequence[str]) -> tuple[bytes | None, list[bytes], Recipe]:
    """Read the same of a request that may come without a photograph, which is None then.

    Raises:
        InvalidInput: a field that would be ignored, or a wrong recipe.
    """
    _refuse_misplaced_fields(texts)
    recipe = _read_recipe()
    return next(iter(_read_files("content")), None), _read_files("style"), recipe


def read_clip_submission(texts: Sequence[str]) -> tuple[bytes, list[bytes], Recipe]:
    """Read clip, paintings and recipe of a multipart request whose text fields are these.

    Raises:
        InvalidInput: a field that would be ignored, a wrong recipe, or no clip.
    """
    _refuse_misplaced_fields(texts, CLIP_FILES)
    recipe = _read_recipe()
    clip = next(iter(_read_files("clip")), None)
    if clip is None:
        raise InvalidInput(Problem("clip", "is missing; send one clip"))
    return clip, _read_files("style"), recipe


def read_guides() -> GuideFiles:
    """Read what else steers the picture of this request."""
    keep, init = (next(iter(_read_files(name)), None) for name in ("keep", "init"))
    return GuideFiles(tuple(_read_files("mask")), keep, init)


def _read_files(name: str) -> list[bytes]:
    return [file.read() for file in request.files.getlist(name)]


def _read_recipe() -> Recipe:
    """Read the recipe; where a look is named, on top of it.

    Raises:
        InvalidInput: the recipe is wrong, or there is no such look.
    """
    recipe = Recipe.parse(request.form["recipe"]) if request.form.get("recipe") else Recipe()
    if not (look_id := request.form.get("look")):
        return recipe
    try:
        look = find_look(look_id)
    except NotFound as error:
        raise InvalidInput(Problem("look", f"is none that is here: {error}")) from None
    return look.resolve(recipe.model_dump(mode="json", exclude_unset=True))


def find_look(look_id: str) -> Look:
    """Return the look of this id, the farm's or a person's, that whoever asks may use.

    Raises:
        NotFound: there is none.
    """
    if known := find_built_in(look_id):
        return known.look
    with sessions.read_session() as session:
        return saved.read_look(saved.get(session, get_visitor(), look_id))


def read_file_names(fields: Sequence[str] = NAMED) -> list[str | None]:
    """Return the names of the files of these fields as they were sent: of the photograph or the clip,
    and of the paintings."""
    return [file.filename for name in fields for file in request.files.getlist(name)]


def _refuse_misplaced_fields(texts: Sequence[str], files: Sequence[str] = FILES) -> None:
    """Refuse what would be ignored: the picture would not be the one that was meant.

    Raises:
        UnsupportedMediaType: not a form with files. InvalidInput: each misplaced field.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("Send multipart/form-data with the pictures as files.")
    wrong = []
    for sent, right, hint in (
        (request.form, texts, "is not a text field"),
        (request.files, files, "is not a file field"),
    ):
        for name in sorted(sent):
            if name not in right:
                message = f"{hint}; files are {', '.join(files)}, texts are {', '.join(texts)}"
                wrong.append(Problem(name[:80], message))
            elif name not in REPEATED and len(sent.getlist(name)) > 1:
                wrong.append(Problem(name, "was sent more than once"))
    if wrong:
        raise InvalidInput(*wrong)


def read_whole_number(field: str, usual: int = 0) -> int:
    """Read a text field that holds a whole number.

    Raises:
        InvalidInput: it does not.
    """
    try:
        return int(request.form.get(field) or usual)
    except ValueError:
        raise InvalidInput(Problem(field, "must be a whole number")) from None


def read_idempotency_key() -> Key | None:
    """Return the client's key for its request; None: it sent none.

    Raises:
        InvalidInput: it cannot be a key.
    """
    text = request.headers.get("Idempotency-Key")
    return None if text is None else Key.from_client(text, get_visitor())


def respond_conditionally(found: BaseModel) -> Response:
    """Answer with JSON and an ETag, a digest of it; to whoever has it already, 304."""
    return respond_with_json(found.model_dump_json(), None)


def respond_with_json(text: str, tag: str | None) -> Response:
    """Answer in the same way with JSON that is there already.

    Args:
        tag: what changes with the text; None: its digest.
    """
    response = Response(text, mimetype="application/json")
    response.cache_control.private = True
    response.cache_control.no_cache = True
    if tag:
        response.set_etag(tag)
    else:
        response.add_etag()
    if request.method == "GET":
        make_conditional(response)
    return response
