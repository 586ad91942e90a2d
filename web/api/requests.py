"""Requests as they come in, forms with files, and answers as they go out, JSON with an ETag."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress

from flask import Response, request
from pydantic import BaseModel
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import UnsupportedMediaType

from farm.database import sessions
from farm.database.models import Job
from farm.errors import InvalidInput, NotFound, Problem
from farm.explorations.growing import FROM_JOB, take_look
from farm.jobs.guides import GuideFiles
from farm.jobs.idempotency import Key, Request, compute_digest
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
NAMING = ("look", FROM_JOB)  # texts that name what may be another thing later, or gone


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
    return [read_from_start(file) for file in request.files.getlist(name)]


def read_from_start(file: FileStorage) -> bytes:
    """Return the bytes of a file that came with the request, which may have been read before."""
    file.stream.seek(0)
    data: bytes = file.read()
    return data


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
    if request.form.get(FROM_JOB):
        return take_look(look, recipe)
    return look.resolve(recipe.list_given())


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
        growth = f" With {FROM_JOB} no file is needed." if FROM_JOB in texts else ""
        message = "Send multipart/form-data: pictures as files, all else as text fields."
        raise UnsupportedMediaType(message + growth)
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


def identify(key: Key | None) -> Key | Request | None:
    """Return the key of this request; with what was sent, if it names a look or a finished job, which
    may be another one or gone when it is sent again."""
    if key is None or not any(request.form.get(name) for name in NAMING):
        return key
    return Request(key, compute_digest(_list_sent()))


def _list_sent() -> Iterator[bytes]:
    """Yield all that was sent, in one order."""
    yield request.path.encode()
    for name, text in sorted(request.form.items(multi=True)):
        if text:
            yield from (name.encode(), _order_recipe(name, text).encode())
    for name in sorted(request.files):
        for data in _read_files(name):
            yield from (name.encode(), data)


def _order_recipe(name: str, text: str) -> str:
    """Return a text field; a recipe's settings in one order, however they were written."""
    with suppress(InvalidInput):  # whoever reads it says so
        return json.dumps(Recipe.parse(text).list_given()) if name == "recipe" else text
    return text


def find_earlier(key: Key | Request | None) -> Job | None:
    """Return the job that this request became before, of one that is known by what was sent; such are
    found before anything is looked up that they name.

    Raises:
        KeyReused: another request had its key.
    """
    return key.find_job() if isinstance(key, Request) else None


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
