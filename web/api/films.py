"""Films: a clip that is painted frame by frame, as one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from apiflask import FileSchema
from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field

from farm.clips.clip import Clip
from farm.database import sessions
from farm.database.films import Film
from farm.database.models import State
from farm.films import films
from farm.films.estimates import estimate_left
from farm.films.parts import compute_frame_size, describe_part, read_plan, read_settings
from farm.films.settings import FilmSettings
from farm.films.submit import submit_film
from farm.jobs import actions
from farm.jobs.fields import PRIORITIES, PRIORITY_MEANS
from farm.jobs.idempotency import Key, Request
from farm.recipe.film import Part, Role
from farm.recipe.problems import Untrusted
from web import film_files
from web.api import answers, blueprint
from web.api.requests import (
    CLIP_NAMED,
    find_earlier,
    identify,
    read_clip_submission,
    read_file_names,
    read_guides,
    read_idempotency_key,
    read_whole_number,
    respond_conditionally,
)
from web.api.schemas import Moment
from web.middleware.authentication import get_visitor

TEXTS = ("recipe", "look", "name", "film", "priority", "webhook_url", "tag")
MAX_LISTED = 100
FILE = FileSchema(type="string", format="binary")
ASK_AGAIN_SECONDS = 1  # whoever polls


class FilmLinks(BaseModel):
    """Addresses of a film; null where there is nothing (yet)."""

    self: str
    page: str
    frames: str = Field(description="Of a painted frame; `NUMBER` stands for its number in the clip.")
    result: str | None
    cancel: str | None
    retry: str | None


class ClipOut(BaseModel):
    """Clip that a film is painted from."""

    width: int = Field(description="Of a frame as it is shown, px.")
    height: int
    frames: int
    seconds: float
    shots: list[int] = Field(description="Numbers of the frames that begin a shot.")
    sound: bool


class FilmPartOut(BaseModel):
    """Part of a film, which is a job of its own."""

    number: int
    role: Literal["anchor", "stretch", "join"] = Field(
        description="`anchor`: one frame, held to the anchor before it; `stretch`: the frames between"
        " two anchors, or after the last one of a shot; `join`: joins all frames, and the clip's sound."
    )
    frames: list[int] = Field(description="Numbers of the clip's frames; empty of the part that joins.")
    title: str = Field(description="For a person.")
    state: State | None = Field(description="Null while it waits for other parts.")
    progress: float
    job: str | None = Field(description="The address of its job.")
    error: str | None


class FilmOut(BaseModel):
    """Film as the API describes it."""

    id: str
    name: str
    state: State
    progress: float
    priority: int = Field(description="Of all its parts.")
    painted: int = Field(description="Frames that are finished.")
    frames: int = Field(description="Frames that are painted in all.")
    painted_frames: list[int] | None = Field(
        description="Numbers of the clip's frames that are finished. Null in lists."
    )
    eta_seconds: float | None = Field(description="Null in lists, once it has ended, and while unknown.")
    error: str | None = Field(description="Why it failed, with the frames that did.")
    width: int = Field(description="Of a painted frame, px.")
    height: int
    created_at: Moment
    finished_at: Moment | None
    webhook_url: str | None
    recipe: dict[str, Any] = Field(description="Of each frame.")
    film: FilmSettings
    clip: ClipOut
    parts: list[FilmPartOut] | None = Field(description="In their order. Null in lists.")
    links: FilmLinks

    @classmethod
    def from_row(cls, film: Film, painted: list[int], eta: float | None, *, whole: bool) -> FilmOut:
        """Describe a film, which has its parts with it.

        Args:
            painted: numbers of the clip's frames that are finished. whole: with parts and frames.
        """
        clip, parts, state = Clip.from_json(film.clip), read_plan(film), films.compute_state(film)
        height, width = compute_frame_size(film)
        return cls(
            id=film.id,
            name=film.name,
            state=state,
            progress=films.compute_progress(film, len(painted)),
            priority=max((job.priority for job in film.parts), default=0),
            painted=len(painted),
            frames=len(parts[-1].frames),
            painted_frames=painted if whole else None,
            eta_seconds=eta,
            error=film.error,
            width=width,
            height=height,
            created_at=film.created_at,
            finished_at=film.finished_at,
            webhook_url=film.webhook_url,
            recipe=film.recipe,
            film=read_settings(film),
            clip=_describe_clip(clip),
            parts=[_describe_part(film, part, parts) for part in parts] if whole else None,
            links=_build_links(film, state),
        )


class Films(BaseModel):
    """Latest films, newest first."""

    items: list[FilmOut]


class FilmChange(Untrusted):
    """Change of a film that has not ended."""

    model_config = ConfigDict(extra="forbid")

    priority: int = Field(ge=PRIORITIES[0], le=PRIORITIES[-1], description=PRIORITY_MEANS)


class FilmsQuery(Untrusted):
    """Number of films that are asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=MAX_LISTED)


def _describe_clip(clip: Clip) -> ClipOut:
    return ClipOut(
        width=clip.width,
        height=clip.height,
        frames=clip.frames,
        seconds=float(clip.duration),
        shots=list(clip.shots),
        sound=clip.sound,
    )


def _describe_part(film: Film, part: Part, parts: Sequence[Part]) -> FilmPartOut:
    job = next((job for job in film.parts if job.film_part == part.number), None)
    return FilmPartOut(
        number=part.number,
        role=part.role.value,
        frames=[] if part.role is Role.JOIN else list(part.frames),
        title=describe_part(part, parts),
        state=job.state if job else None,
        progress=job.progress if job else 0.0,
        job=url_for("api.get_job", job_id=job.id) if job else None,
        error=job.error if job else None,
    )


def _build_links(film: Film, state: State) -> FilmLinks:
    going = state in (State.QUEUED, State.RUNNING)
    broken = state in (State.FAILED, State.CANCELLED)
    return FilmLinks(
        self=url_for("api.get_film", film_id=film.id),
        page=url_for("pages.show_film", film_id=film.id),
        frames=url_for("api.get_film", film_id=film.id) + "/frames/NUMBER",
        result=url_for("api.get_film_result", film_id=film.id) if state is State.SUCCEEDED else None,
        cancel=url_for("api.cancel_film", film_id=film.id) if going else None,
        retry=url_for("api.retry_film", film_id=film.id) if broken else None,
    )


@blueprint.post("/films")
@blueprint.output(FilmOut, 202, description="Accepted; its first parts wait for a worker.")
@blueprint.doc(tags=["Films"], responses=answers.BAD_SUBMISSION | answers.KEY_TAKEN)
def create_film() -> ResponseReturnValue:
    """Submit a film: a clip, paintings, the recipe of its frames, and what belongs to it as a whole.

    With a header `Idempotency-Key` of your own making, the same request sent again is the same film.
    """
    key = identify(read_idempotency_key())
    earlier = find_earlier(key)
    made = films.get(str(earlier.film_id)) if earlier else _submit(key)
    response = _respond(made)
    response.status_code = 202
    response.headers["Location"] = url_for("api.get_film", film_id=made.id)
    return response


def _submit(key: Key | Request | None) -> Film:
    clip, styles, recipe = read_clip_submission(TEXTS)
    return submit_film(
        clip,
        styles,
        recipe,
        FilmSettings.parse(request.form.get("film") or {}),
        name=request.form.get("name", ""),
        priority=read_whole_number("priority"),
        key=key,
        webhook_url=request.form.get("webhook_url", ""),
        tag=request.form.get("tag", ""),
        guides=read_guides(),
        file_names=read_file_names(CLIP_NAMED),
        visitor=get_visitor(),
    )


@blueprint.get("/films")
@blueprint.input(FilmsQuery, location="query")
@blueprint.output(Films)
@blueprint.doc(tags=["Films"])
def list_films(query_data: FilmsQuery) -> Films:
    """List the latest films, newest first."""
    with sessions.read_session() as session:
        found = films.list_newest(session, query_data.limit, get_visitor())
        painted = films.list_painted(session, [film.id for film in found])
    return Films(items=[FilmOut.from_row(film, painted[film.id], None, whole=False) for film in found])


@blueprint.get("/films/<job_id:film_id>")
@blueprint.output(FilmOut)
@blueprint.doc(tags=["Films"], responses=answers.NO_FILM | answers.UNCHANGED)
def get_film(film_id: str) -> Response:
    """Return one film with its parts. Its ETag in If-None-Match asks only for a change."""
    return _respond(films.get(film_id))


@blueprint.get("/films/<job_id:film_id>/frames/<int:number>")
@blueprint.output(FILE, content_type="image/png")
@blueprint.doc(
    tags=["Films"],
    responses=answers.UNCHANGED | answers.PARTS | {404: "No such film, or this frame is not painted."},
)
def get_film_frame(film_id: str, number: int) -> Response:
    """Return a painted frame by its number in the clip, PNG. Ranges are served."""
    return film_files.send_frame(film_id, number)


@blueprint.get("/films/<job_id:film_id>/result")
@blueprint.output(FILE, content_type="video/mp4")
@blueprint.doc(
    tags=["Films"],
    responses=answers.NO_FILM | answers.UNCHANGED | answers.PARTS | {409: "It has not finished."},
)
def get_film_result(film_id: str) -> Response:
    """Return the finished film in its format. Ranges are served."""
    return film_files.send_film(film_id)


@blueprint.post("/films/<job_id:film_id>/cancel")
@blueprint.output(FilmOut)
@blueprint.doc(tags=["Films"], responses=answers.NO_FILM | {409: "It has already ended."})
def cancel_film(film_id: str) -> Response:
    """Stop a film: parts that wait at once, those at work soon. Again is harmless."""
    return _respond(films.cancel(film_id))


@blueprint.post("/films/<job_id:film_id>/retry")
@blueprint.output(FilmOut)
@blueprint.doc(
    tags=["Films"],
    responses=answers.NO_FILM
    | answers.NO_ROOM
    | {409: "It has neither failed nor been cancelled, or some part still stops."},
)
def retry_film(film_id: str) -> Response:
    """Let a failed or cancelled film go on with the frames that are not painted."""
    return _respond(films.retry(film_id))


@blueprint.patch("/films/<job_id:film_id>")
@blueprint.input(FilmChange, location="json")
@blueprint.output(FilmOut)
@blueprint.doc(
    tags=["Films"],
    responses=answers.NO_FILM
    | answers.BAD_JSON
    | answers.OPERATORS
    | {409: "It has ended: it has no priority."},
)
def change_film(film_id: str, json_data: FilmChange) -> Response:
    """Give a film another priority while it has not ended."""
    visitor = get_visitor()
    actions.set_priority_of_film(film_id, json_data.priority, visitor, visitor.name)
    return _respond(films.get(film_id))


@blueprint.delete("/films/<job_id:film_id>")
@blueprint.output({}, 204, description="It is gone, with its frames.")
@blueprint.doc(tags=["Films"], responses=answers.NO_FILM | {409: "It has not ended."})
def delete_film(film_id: str) -> ResponseReturnValue:
    """Delete a film that has ended, with its frames and its file."""
    films.delete(film_id)
    return "", 204


def _respond(film: Film) -> Response:
    with sessions.read_session() as session:
        painted = films.list_painted(session, [film.id])[film.id]
        eta = estimate_left(session, film, painted)
    response = respond_conditionally(FilmOut.from_row(film, painted, eta, whole=True))
    if film.outcome is None:
        response.headers["Retry-After"] = str(ASK_AGAIN_SECONDS)
    return response
