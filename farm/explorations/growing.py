"""Pictures that grow out of a finished one: its pictures, its settings, and its pixels to go on from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from farm.database import sessions
from farm.database.models import Job, State, Upload
from farm.errors import InvalidInput, NotFound, Problem
from farm.explorations import grids
from farm.jobs import states
from farm.jobs.guides import NO_GUIDES, GuideFiles
from farm.looks.look import Look
from farm.people.visitors import ANYBODY, Visitor, check_job
from farm.recipe import Recipe
from farm.storage import storage

FROM_JOB = "from_job"  # the field of a request
FROM_JOB_MEANS = (
    "Id of a finished job to grow: the new picture goes on from its pixels at larger sizes. It has that"
    " job's pictures and masks, and its settings where none are sent; `size` must be larger. No file is"
    " needed then, but the body is multipart/form-data as ever."
)
GONE = "has files that are no longer whole in storage"
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Parts:
    """Pictures and settings that a job is submitted with."""

    content: bytes
    styles: list[bytes]
    recipe: Recipe
    guides: GuideFiles
    # Of photograph and paintings, as far as they are known.
    file_names: list[str | None]
    # Where the request has none.
    name: str = ""


def find_draft(job_id: str, visitor: Visitor = ANYBODY) -> Job:
    """Return a finished job to grow.

    Raises:
        InvalidInput: there is none of this id, or it has no picture yet.
    """
    try:
        if not _ID.fullmatch(job_id):
            raise NotFound
        check_job(visitor, job_id)
        with sessions.read_session() as session:
            job = states.get(session, job_id)
    except NotFound:
        message = "is no job that is here; perhaps it was deleted"
        raise InvalidInput(Problem(FROM_JOB, message)) from None
    if job.state is not State.SUCCEEDED:
        message = f"is {job.state}; a job grows once it has succeeded"
        raise InvalidInput(Problem(FROM_JOB, message))
    return job


def make_recipe(draft: Job, given: Recipe) -> Recipe:
    """Return the recipe of a larger picture that goes on from a draft's pixels.

    Args:
        given: the settings that were given; the draft's are taken for those that were not, and of an
            exploration's cell those that it stands for.

    Raises:
        InvalidInput: it would not be larger, or a setting does not go with the draft's.
    """
    if draft.exploration_id:
        whole = grids.enlarge_cell(grids.get(draft.exploration_id), draft)
    else:
        whole = Recipe.model_validate(draft.recipe)
    values = whole.model_dump() | given.list_given()
    _check_larger(draft, values["size"])
    if "iterations" not in given.model_fields_set and len(whole.iterations or ()) > 1:
        values["iterations"] = None  # for levels that there are no more
    if values["features"] == "auto" and draft.features:  # the network that painted it
        values["features"] = draft.features
    return Recipe.parse(values | {"init": "picture", "grown_from": measure_draft(draft)})


def take_look(look: Look, given: Recipe) -> Recipe:
    """Return the settings of a larger picture with a look: all of its manner, which goes before the
    finished job's, but for its start, which is the finished picture.

    Args:
        given: other settings, which go before those of the look.

    Raises:
        InvalidInput: they make no recipe.
    """
    manner = {name: value for name, value in look.manner.items() if name != "init"}
    return Recipe.parse(manner | given.list_given())


def _check_larger(draft: Job, size: int) -> None:
    """Check that a picture is larger than the one it grows out of; size: its longest side, px.

    Raises:
        InvalidInput: it is not.
    """
    longest = measure_draft(draft)
    if size <= longest:
        message = f"is {size} px, and the picture that grows has {longest} already; ask for more"
        raise InvalidInput(Problem("size", message))


def measure_draft(draft: Job) -> int:
    """Return its longest side, px."""
    return max(draft.width, draft.height)


def prepare(
    job_id: str,
    given: Recipe,
    content: bytes | None = None,
    styles: Sequence[bytes] = (),
    guides: GuideFiles = NO_GUIDES,
    visitor: Visitor = ANYBODY,
) -> Parts:
    """Gather what a larger picture of a finished job's is submitted with, which is its start.

    Args:
        given: settings that differ from the job's; `size` is one of them.
        content, styles: pictures that came with the request; none, or the job's own.
        guides: files that came with it; none, as the job's are taken.

    Raises:
        InvalidInput: the job cannot grow, or not so.
    """
    draft = find_draft(job_id, visitor)
    _check_start(draft, given)
    check_guides(guides)
    if content is not None or styles:
        _check_pictures(draft, _list_all(content, styles))
    recipe = make_recipe(draft, given)
    try:
        photograph, *paintings = [_read(u) for u in _list_uploads(draft)]
        masks = tuple(_read(mask.upload) for mask in draft.masks)
        keep = _read(draft.keep.upload) if draft.keep else None
    except NotFound:
        raise InvalidInput(Problem(FROM_JOB, GONE)) from None
    names = [draft.content_name, *(style.file_name for style in draft.styles)]
    return Parts(
        photograph, paintings, recipe, GuideFiles(masks, keep, _read_start(draft)), names, draft.name
    )


def _list_uploads(job: Job) -> list[Upload]:
    return [job.content, *(style.upload for style in job.styles)]


def _check_start(draft: Job, given: Recipe) -> None:
    """Check that no other start is asked for than the picture that grows.

    Raises:
        InvalidInput: there is.
    """
    if "init" in given.model_fields_set and given.init != "picture":
        message = f"is {given.init}, and the finished picture is the start; leave it out"
        raise InvalidInput(Problem("init", message))
    if given.grown_from not in (None, size := measure_draft(draft)):
        message = f"is {given.grown_from}, and the picture that grows has {size} px; leave it out"
        raise InvalidInput(Problem("grown_from", message))


def check_guides(guides: GuideFiles) -> None:
    """Check that no files came to steer a picture that grows, which has those of the finished job.

    Raises:
        InvalidInput: some did; names each.
    """
    own = "came, and a picture that grows has the finished job's own; leave it out"
    start = "came, and the finished picture is the start; leave it out"
    given = (("mask", guides.masks, own), ("keep", guides.keep, own), ("init", guides.init, start))
    problems = [Problem(field, message) for field, file, message in given if file]
    if problems:
        raise InvalidInput(*problems)


def _list_all(content: bytes | None, styles: Sequence[bytes]) -> list[bytes]:
    """Return photograph and paintings.

    Raises:
        InvalidInput: only some of them came.
    """
    for field, missing in (("content", content is None), ("style", not styles)):
        if missing:
            message = f"is missing beside the others; with {FROM_JOB} send all of its pictures, or none"
            raise InvalidInput(Problem(field, message))
    assert content is not None
    return [content, *styles]


def _check_pictures(draft: Job, pictures: Sequence[bytes]) -> None:
    """Check that these are a finished job's photograph and paintings, in their order.

    Raises:
        InvalidInput: they are not.
    """
    digests = [hashlib.sha256(picture).hexdigest() for picture in pictures]
    if digests != [upload.sha256 for upload in _list_uploads(draft)]:
        message = "was made from other pictures than were sent; leave them out, or send the same"
        raise InvalidInput(Problem(FROM_JOB, message))


def _read_start(draft: Job) -> bytes:
    """Return the finished picture's file, which the larger one begins from.

    Raises:
        InvalidInput: it is gone.
    """
    try:
        return storage().get(draft.result_key)
    except NotFound:
        raise InvalidInput(Problem(FROM_JOB, GONE)) from None


def _read(upload: Upload) -> bytes:
    return storage().get_whole(upload.key, upload.sha256)
