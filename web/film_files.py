"""Films as files: frames, the clip's and painted ones, the finished film, and all frames as a zip."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from farm.database import sessions
from farm.database.films import Film, FilmFrame
from farm.database.models import State
from farm.errors import NotFound, WrongState
from farm.files import build_file_name
from farm.films import films, small_frames
from farm.films.lists import ListedFilm
from farm.films.parts import read_plan, read_settings
from farm.recipe.film_formats import FILM_FORMATS, name_frame
from web.files import A_YEAR, name_download, respond_with_jpeg, send_stored
from web.middleware.authentication import identify_client
from web.zips import write_zip

blueprint = Blueprint("film_files", __name__)


@blueprint.get("/films/<job_id:film_id>/clip/<int:number>/small")
def get_clip_frame(film_id: str, number: int) -> Response:
    """Send a frame of the clip, small."""
    film = films.get(film_id)
    tag = f"{build_film_version(film)}-clip-{number}"
    if request.if_none_match.contains_weak(tag):
        return respond_with_jpeg(b"", tag, _find_lifetime(film))
    clip, strip = film.parts[0].content, small_frames.select_strip(read_plan(film)[-1].frames)
    data = small_frames.provide_clip_frame(clip, number, identify_client(), strip, film.owner_id)
    return respond_with_jpeg(data, tag, _find_lifetime(film))


@blueprint.get("/films/<job_id:film_id>/frames/<int:number>/small")
def get_small_frame(film_id: str, number: int) -> Response:
    """Send a painted frame, small."""
    film, frame = _find_frame(film_id, number)
    tag = _build_tag(film, frame, "small")
    if request.if_none_match.contains_weak(tag):
        return respond_with_jpeg(b"", tag, _find_lifetime(film))
    return respond_with_jpeg(small_frames.provide_painted(frame), tag, _find_lifetime(film))


@blueprint.get("/films/<job_id:film_id>/frames/<int:number>")
def get_frame(film_id: str, number: int) -> Response:
    """Send a painted frame, whole."""
    return send_frame(film_id, number)


def send_frame(film_id: str, number: int) -> Response:
    """Send a painted frame, by its number in the clip.

    Raises:
        NotFound: no such film, or the frame is not painted.
    """
    film, frame = _find_frame(film_id, number)
    response = send_stored(frame.key, "image/png", _build_tag(film, frame, "png"), _find_lifetime(film))
    name = build_file_name(film.name, f"-{name_frame(number)}")
    response.headers.set("Content-Disposition", "inline", filename=name)
    return response


@blueprint.get("/films/<job_id:film_id>/film")
def get_film(film_id: str) -> Response:
    """Send the finished film, as a download."""
    return send_film(film_id)


def send_film(film_id: str) -> Response:
    """Send a finished film, as a download.

    Raises:
        WrongState: it is not finished. NotFound: no such film, or its file is gone.
    """
    film = films.get(film_id)
    joined = films.find_join(film)
    if joined is None or films.compute_state(film) is not State.SUCCEEDED:
        raise WrongState("This film is not finished; its frames can be had one by one.")
    known = FILM_FORMATS[read_settings(film).format]
    tag = f"{build_film_version(film)}-{joined.attempt}-film"
    response = send_stored(joined.result_key, known.mime, tag, _find_lifetime(film))
    response.headers["Content-Disposition"] = name_download(film.name, f"-{film.id[:8]}{known.suffix}")
    return response


@blueprint.get("/films/<job_id:film_id>/frames.zip")
def get_frames(film_id: str) -> Response:
    """Send all frames that are painted, whole, as a zip."""
    film = films.get(film_id)
    with sessions.read_session() as session:
        found = films.list_frames(session, film_id)
    if not found:
        raise NotFound("No frame of this film is painted yet.")
    files = [(name_frame(frame.number), frame.key, film.created_at) for frame in found]
    response = Response(write_zip(files), mimetype="application/zip")
    response.headers["Content-Disposition"] = name_download(film.name, f"-{film.id[:8]}.zip")
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _find_frame(film_id: str, number: int) -> tuple[Film, FilmFrame]:
    film = films.get(film_id)
    with sessions.read_session() as session:
        return film, films.get_frame(session, film_id, number)


def build_film_version(film: Film) -> str:
    """Return what tells a film from another of the same id; an address that holds it never serves
    another's."""
    return f"{round(film.created_at.timestamp() * 1_000_000):x}"


def build_film_url(film: Film, endpoint: str, **values: Any) -> str:
    """Return the address of a file of a film that may be kept."""
    return url_for(f"film_files.{endpoint}", film_id=film.id, v=build_film_version(film), **values)


def build_poster_url(listed: ListedFilm) -> str:
    """Return the address of what stands for a film in a list: its first painted frame, or until there
    is one the clip's."""
    if listed.first_painted is None:
        return build_film_url(listed.film, "get_clip_frame", number=listed.numbers[0])
    return build_film_url(listed.film, "get_small_frame", number=listed.first_painted)


def _build_tag(film: Film, frame: FilmFrame, kind: str) -> str:
    return f"{build_film_version(film)}-{frame.job_id[:8]}-{frame.attempt}-{frame.number}-{kind}"


def _find_lifetime(film: Film) -> int:
    return A_YEAR if request.args.get("v") == build_film_version(film) else 0
