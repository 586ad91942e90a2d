"""Pictures as files: small JPEGs for pages, the finished picture to be looked at, and its file."""

from __future__ import annotations

import io
import mimetypes
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import wrap_file

from farm.counts import format_count
from farm.database import sessions
from farm.database.models import Job, JobPicture, PictureRole, State, Upload
from farm.errors import NotFound, WrongState
from farm.files import build_file_name
from farm.jobs import states
from farm.pictures import conversions, sources
from farm.recipe.formats import FileFormat
from farm.storage import storage
from web import samples
from web.middleware.conditions import make_conditional

A_YEAR = 365 * 24 * 3600  # s
A_DAY = 24 * 3600  # s
LONGEST_SLUG = 40
BLOCK_BYTES = 1 << 16  # of a file, at once

blueprint = Blueprint("pictures", __name__)


@blueprint.get("/jobs/<job_id:job_id>/preview")
def get_preview(job_id: str) -> Response:
    """Send the newest preview. Under its own version's address it never changes; else ask again."""
    return send_preview(_load_job(job_id))


@blueprint.get("/jobs/<job_id:job_id>/content")
def get_content(job_id: str) -> Response:
    """Send the photograph, small."""
    job = _load_job(job_id)
    return _send_thumbnail(job, job.content)


@blueprint.get("/jobs/<job_id:job_id>/styles/<int:number>")
def get_style(job_id: str, number: int) -> Response:
    """Send one of the paintings, from 0, small."""
    job = _load_job(job_id)
    return _send_thumbnail(job, _find_style(job, number).upload)


@blueprint.get("/jobs/<job_id:job_id>/content/whole")
def get_whole_content(job_id: str) -> Response:
    """Send the photograph, whole."""
    job = _load_job(job_id)
    return _send_upload(job, job.content, job.content_name or "photograph")


@blueprint.get("/jobs/<job_id:job_id>/styles/<int:number>/whole")
def get_whole_style(job_id: str, number: int) -> Response:
    """Send one of the paintings, from 0, whole."""
    job = _load_job(job_id)
    style = _find_style(job, number)
    return _send_upload(job, style.upload, style.file_name or f"painting-{number + 1}")


@blueprint.get("/jobs/<job_id:job_id>/<any(mask, keep, init):role>/<int:number>")
def get_guide(job_id: str, role: str, number: int) -> Response:
    """Send a mask, from 0, the map of what stays, or what the picture began from, small."""
    job = _load_job(job_id)
    return _send_thumbnail(job, _find_guide(job, role, number).upload)


@blueprint.get("/jobs/<job_id:job_id>/<any(mask, keep, init):role>/<int:number>/whole")
def get_whole_guide(job_id: str, role: str, number: int) -> Response:
    """Send the same, whole."""
    job = _load_job(job_id)
    return _send_upload(job, _find_guide(job, role, number).upload, f"{role}-{number + 1}")


@blueprint.get("/jobs/<job_id:job_id>/result")
def get_result(job_id: str) -> Response:
    """Send the finished picture's file, as a download."""
    return send_result(_load_job(job_id))


@blueprint.get("/jobs/<job_id:job_id>/full")
def get_full(job_id: str) -> Response:
    """Send the finished picture at full size, as a browser shows it."""
    job = _load_job(job_id)
    _require_finished(job)
    tag = f"{build_version(job)}-{job.attempt}-full"
    if job.format.light or not storage().exists(job.view_key):  # older pictures have no JPEG beside them
        return _send_file(job, job.result_key, job.format.mime, tag)
    return _send_file(job, job.view_key, "image/jpeg", tag)


@blueprint.get("/samples/<name>")
def get_sample(name: str) -> Response:
    """Send a sample, small."""
    found = samples.find(name)
    if found is None:
        raise NotFound("There is no sample of this name.")
    return respond_with_jpeg(found.read_thumbnail(), f"sample-{found.path.stat().st_mtime_ns}", A_DAY)


def send_preview(job: Job) -> Response:
    """Send the newest preview, revalidated by version.

    Raises:
        NotFound: there is none yet, or its file is gone.
    """
    if not job.preview_version:
        raise NotFound("There is no preview yet.")
    tag = build_preview_tag(job)
    return _send_jpeg(job.preview_key, tag, A_YEAR if request.args.get("v") == tag else 0)


def send_result(job: Job) -> Response:
    """Send the result's file under a name of its own, as a download; `?format=` in another format.

    Raises:
        WrongState: the job has not finished. InvalidInput: it cannot be had in this format.
        farm.errors.NotFound: its file is gone.
    """
    _require_finished(job)
    key, known = conversions.convert_result(job, request.args.get("format", job.format.name))
    response = _send_file(job, key, known.mime, f"{build_version(job)}-{job.attempt}-{known.name}")
    response.headers["Content-Disposition"] = _name_download(job, known)
    return response


def _require_finished(job: Job) -> None:
    if job.film_id is not None:
        raise WrongState("This is a part of a film; its frames and the film are asked for there.")
    if job.state is not State.SUCCEEDED:
        raise WrongState(f"This job is {job.state.value}; there is no result.")


def _send_file(job: Job, key: str, mime: str, tag: str) -> Response:
    """Send a file of a job piece by piece, so that 8K takes no memory here; ranges are served.

    Raises:
        farm.errors.NotFound: the file is gone.
    """
    return send_stored(key, mime, tag, _find_lifetime(job))


def send_stored(key: str, mime: str, tag: str, seconds: int) -> Response:
    """Send any file of storage in the same way.

    Args:
        seconds: for which browsers may keep it without asking again; 0: they ask each time.

    Raises:
        farm.errors.NotFound: the file is gone.
    """
    file = storage().open(key)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    response = Response(
        wrap_file(request.environ, file, BLOCK_BYTES), mimetype=mime, direct_passthrough=True
    )
    response.call_on_close(file.close)
    response.content_length = size
    _set_cache_headers(response, tag, seconds)
    try:
        return make_conditional(response, size)
    except HTTPException:
        response.close()
        raise


def _name_download(job: Job, format: FileFormat) -> str:
    """Name a download for its job."""
    return name_download(job.name, f"-{job.id[:8]}{format.suffix}")


def name_download(name: str, ending: str) -> str:
    """Return the header that names a download: in ASCII, and in the name's own script as RFC 8187 has
    it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST_SLUG].strip("-")
    header = f'attachment; filename="{slug or "picture"}{ending}"'
    if name.isascii():
        return header
    return f"{header}; filename*=UTF-8''{quote(build_file_name(name, ending), safe='')}"


def _load_job(job_id: str) -> Job:
    with sessions.read_session() as session:
        return states.get(session, job_id)


def _find_style(job: Job, number: int) -> JobPicture:
    if number >= len(job.styles):
        raise NotFound(f"This job has {format_count(len(job.styles), 'painting')}, counted from 0.")
    return job.styles[number]


def _find_guide(job: Job, role: str, number: int) -> JobPicture:
    found = next((each for each in job.guides if (each.role, each.position) == (role, number)), None)
    if found is None:
        raise NotFound(f"This job has no {role} of this number; they are counted from 0.")
    return found


def _send_thumbnail(job: Job, upload: Upload) -> Response:
    return _send_jpeg(upload.thumbnail_key, f"{build_version(job)}-{upload.sha256}", _find_lifetime(job))


def _send_upload(job: Job, upload: Upload, name: str) -> Response:
    """Send a picture in its own pixels, without what else its file holds; `?download=1` as a download.

    Args:
        name: of its file; its ending is that of what is sent.

    Raises:
        farm.errors.NotFound: the file is gone.
    """
    key, mime = sources.provide_clean(upload)
    response = _send_file(job, key, mime, f"{build_version(job)}-{upload.sha256}-clean")
    if mimetypes.guess_type(name)[0] != mime:
        name = f"{PurePosixPath(name).stem}{mimetypes.guess_extension(mime) or ''}"
    way = "attachment" if request.args.get("download") else "inline"
    response.headers.set("Content-Disposition", way, filename=name)
    return response


def _send_jpeg(key: str, tag: str, seconds: int) -> Response:
    """Send a JPEG of storage, unless the browser has it already."""
    if request.if_none_match.contains_weak(tag):
        return respond_with_jpeg(b"", tag, seconds)
    return respond_with_jpeg(storage().get(key), tag, seconds)


def respond_with_jpeg(data: bytes, tag: str, seconds: int) -> Response:
    """Answer with a JPEG that browsers may keep for so many seconds."""
    response = Response(data, mimetype="image/jpeg")
    _set_cache_headers(response, tag, seconds)
    return make_conditional(response)


def _set_cache_headers(response: Response, tag: str, seconds: int) -> None:
    """Let browsers alone keep the answer, for `seconds` without asking again; 0: ask each time."""
    response.set_etag(tag)
    response.cache_control.private = True
    if seconds:
        response.cache_control.max_age = seconds
        response.cache_control.immutable = seconds == A_YEAR
    else:
        response.cache_control.no_cache = True


def build_version(job: Job) -> str:
    """Return what tells a job from another of the same id, which a client may use again: the moment of
    its making. All tags of its files begin so, and an address that holds it never serves another's."""
    return f"{round(job.created_at.timestamp() * 1_000_000):x}"


def _find_lifetime(job: Job) -> int:
    """Return how long a file of this job is good without asking again, s: under the address that holds
    the job's version a year, else not at all."""
    return A_YEAR if request.args.get("v") == build_version(job) else 0


def build_preview_tag(job: Job) -> str:
    """Return a tag that changes with every new preview; versions begin anew with each attempt."""
    return f"{build_version(job)}-{job.attempt}-{job.preview_version}"


def build_preview_url(job: Job) -> str | None:
    """Return the newest preview's own address, None before the first."""
    if not job.preview_version:
        return None
    return url_for("pictures.get_preview", job_id=job.id, v=build_preview_tag(job))


def build_picture_url(job: Job) -> str:
    """Return the address of what stands for a job in a list: its preview, or until there is one the
    photograph."""
    return build_preview_url(job) or build_file_url(job, "content")


def build_file_url(job: Job, kind: str, **values: Any) -> str:
    """Return the address of a file of a job that may be kept.

    Args:
        kind: content, style, guide, whole_content, whole_style, whole_guide, full or result.
        values: of its address.
    """
    return url_for(f"pictures.get_{kind}", job_id=job.id, v=build_version(job), **values)


def build_source_url(job: Job, picture: JobPicture, *, whole: bool = False) -> str:
    """Return the address of one of the pictures that a job is made from, small or whole."""
    size = "whole_" if whole else ""
    if picture.role is PictureRole.CONTENT:
        return build_file_url(job, f"{size}content")
    if picture.role is PictureRole.STYLE:
        return build_file_url(job, f"{size}style", number=picture.position)
    return build_file_url(job, f"{size}guide", role=picture.role.value, number=picture.position)
