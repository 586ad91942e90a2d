"""Results of the jobs that were selected, as one zip."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from flask import Response, flash, redirect
from flask.typing import ResponseReturnValue

from farm.database.models import Job, State
from farm.errors import NotFound
from farm.files import build_file_name
from farm.jobs import bulk
from farm.storage import storage
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.pages.bulk import read_ids, read_origin

BLOCK_BYTES = 1 << 20


class _Pipe(io.RawIOBase):
    """File that is written here and read there, piece by piece; it has no place to go back to."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._written = bytes(self._written), bytearray()
        return taken


@blueprint.post("/jobs/download")
def download_results() -> ResponseReturnValue:
    """Send the finished ones of the selected jobs as a zip, each in the format of its recipe."""
    ids = read_ids()
    outcomes = bulk.plan(bulk.Action.DELETE, ids, get_visitor()) if ids else []
    found = [outcome.job for outcome in outcomes]
    finished = [job for job in found if job and job.state is State.SUCCEEDED]
    if not finished:
        flash("None of these jobs has finished, so there is no picture to download.")
        return redirect(read_origin(), 303)
    response = Response(_write_zip(finished), mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename="pictures.zip")
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _write_zip(jobs: Sequence[Job]) -> Iterator[bytes]:
    """Yield a zip of the jobs' results, which are compressed already; one that is gone is left out."""
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_STORED) as archive:
        for job in jobs:
            try:
                file = storage().open(job.result_key)
            except NotFound:
                continue
            name = build_file_name(job.name, f"-{job.id[:8]}{job.format.suffix}")
            entry = ZipInfo(name, job.created_at.timetuple()[:6])
            with file, archive.open(entry, "w", force_zip64=True) as place:
                while block := file.read(BLOCK_BYTES):
                    place.write(block)
                    yield pipe.take()
    yield pipe.take()
