"""A finished picture in another file format than its own: made when it is first asked for, then kept
beside the result."""

from __future__ import annotations

import threading

from farm.database.models import Job
from farm.errors import InvalidInput, Problem
from farm.pictures import encode
from farm.recipe.formats import FORMATS, FileFormat
from farm.storage import storage

_converting = threading.BoundedSemaphore(1)  # 8K is 100 MB while it is at hand


def others(job: Job) -> list[FileFormat]:
    """The formats that a job's result can be had in besides its own: 16 bits cannot be made of 8."""
    return [known for known in FORMATS.values() if known.bits == 8 and known.name != job.format.name]


def result_as(job: Job, name: str) -> tuple[str, FileFormat]:
    """Where a finished picture lies in storage in a format, and that format.

    Raises:
        InvalidInput: it cannot be had in this format. NotFound: its file is gone.
    """
    if name == job.format.name:
        return job.result_key, job.format
    known = next((other for other in others(job) if other.name == name), None)
    if known is None:
        there = ", ".join([job.format.name, *(other.name for other in others(job))])
        raise InvalidInput(Problem("format", f"must be one of {there} for this picture"))
    key = f"{job.folder}/{job.attempt}/as-{known.name}{known.suffix}"
    with _converting:
        if not storage().exists(key):
            _convert(job, known, key)
    return key, known


def _convert(job: Job, to: FileFormat, key: str) -> None:
    with storage().open(job.result_key) as file:
        image, recipe = encode.result(file)
    with storage().writing(key) as file:
        encode.write_eight(image, to.name, file, recipe)
