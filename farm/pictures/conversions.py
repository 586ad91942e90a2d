"""A finished picture in another file format than its own: made when it is first asked for, then kept
beside the result."""

from __future__ import annotations

import threading

from farm.database.models import Job
from farm.errors import InvalidInput, Problem
from farm.pictures import encode
from farm.recipe.formats import FORMATS, FileFormat
from farm.storage import storage

_converting = threading.BoundedSemaphore(1)  # 8K takes 100 MB meanwhile


def list_other_formats(job: Job) -> list[FileFormat]:
    """List the formats that a job's result can be converted to: 16 bits cannot be made of 8."""
    return [known for known in FORMATS.values() if known.bits == 8 and known.name != job.format.name]


def convert_result(job: Job, name: str) -> tuple[str, FileFormat]:
    """Convert a finished picture to a format, unless that was done before.

    Returns:
        The key of the file in storage, and the format.

    Raises:
        InvalidInput: it cannot be converted to this format. NotFound: its file is gone.
    """
    if name == job.format.name:
        return job.result_key, job.format
    known = next((other for other in list_other_formats(job) if other.name == name), None)
    if known is None:
        there = ", ".join([job.format.name, *(other.name for other in list_other_formats(job))])
        raise InvalidInput(Problem("format", f"must be one of {there} for this picture"))
    key = f"{job.folder}/{job.attempt}/as-{known.name}{known.suffix}"
    with _converting:
        if not storage().exists(key):
            _convert(job, known, key)
    return key, known


def _convert(job: Job, to: FileFormat, key: str) -> None:
    with storage().open(job.result_key) as file:
        image, recipe = encode.read_result(file)
    description = encode.compose_description(*job.source_names)
    with storage().open_writer(key) as file:
        encode.write_eight_bit(image, to.name, file, recipe, description)
