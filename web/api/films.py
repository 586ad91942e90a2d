"""Films: a clip that is painted frame by frame, as one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from apiflask import FileSchema
from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field

from farm.clips.clip import Clip
from farm.database import sessions
from farm.database.models import Film, State
from farm.errors import InvalidInput, Problem
from farm.films import films
from farm.films.estimates import (
    FilmEstimate,
    estimate_film,
    estimate_left,
    list_painters,
)
from farm.films.parts import describe_part, read_settings
from farm.films.settings import FilmSettings
from farm.films.submit import submit_film
from farm.recipe import Recipe
from farm.recipe.film import Part, Role, plan_parts
from farm.recipe.film_formats import FRAME_BYTES_PER_PIXEL
from farm.recipe.picture_sizes import Size
from farm.settings import settings
from web import film_files
from web.api import answers, blueprint
from web.api.estimates import EstimateQuery
from web.api.requests import (
    CLIP_NAMED,
    read_clip_submission,
    read_file_names,
    read_guides,
    read_idempotency_key,
    read_whole_number,
    respond_conditionally,
)
from web.api.schemas import Fits, Moment, ResultSide
from web.middleware.authentication import get_visitor
from web.words import describe_film_need, describe_unknown_film

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
        clip, parts, state = Clip.from_json(film.clip), films.plan(film), films.compute_state(film)
        height, width = Recipe.model_validate(film.recipe).compute_result_size(*clip.size)
        return cls(
            id=film.id,
            name=film.name,
            state=state,
            progress=films.compute_progress(film, len(painted)),
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


class FilmsQuery(BaseModel):
    """Number of films that are asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=MAX_LISTED)


class FilmQuery(EstimateQuery):
    """Recipe of a film's frames, the size of a frame in px, and what is known of the clip."""

    frames: int = Field(ge=1, description="Of the clip.")
    shots: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, description="Numbers of the frames that begin a shot; one shot when left out."
    )
    film: FilmSettings = FilmSettings()


class FilmNeed(BaseModel):
    """Needs of a film."""

    frames: int = Field(description="That are painted.")
    parts: int = Field(description="Jobs that it becomes.")
    width: ResultSide
    height: ResultSide
    stored_bytes: int = Field(description="Of its frames, at most.")
    seconds: float | None = Field(
        description="Until it is finished, if nothing else waits; null while no speed is known."
    )
    workers: int = Field(description="How many share its parts.")
    fits: Fits
    message: str = Field(description="For a person.")

    @classmethod
    def from_estimate(cls, found: FilmEstimate, parts: int) -> FilmNeed:
        """Describe an estimate of a film of so many parts."""
        return cls(
            frames=found.frames,
            parts=parts,
            width=found.width,
            height=found.height,
            stored_bytes=found.stored_bytes,
            seconds=found.seconds,
            workers=len(found.workers),
            fits=found.refusal is None,
            message=describe_film_need(found),
        )

    @classmethod
    def from_size(cls, frames: int, parts: int, size: Size) -> FilmNeed:
        """Describe a film of frames of this height and width, px, while no worker is alive."""
        height, width = size
        return cls(
            frames=frames,
            parts=parts,
            width=width,
            height=height,
            stored_bytes=frames * height * width * FRAME_BYTES_PER_PIXEL,
            seconds=None,
            workers=0,
            fits=None,
            message=describe_unknown_film(frames, height, width),
        )


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
    clip, styles, recipe = read_clip_submission(TEXTS)
    made = submit_film(
        clip,
        styles,
        recipe,
        FilmSettings.parse(request.form.get("film") or {}),
        name=request.form.get("name", ""),
        priority=read_whole_number("priority"),
        key=read_idempotency_key(),
        webhook_url=request.form.get("webhook_url", ""),
        tag=request.form.get("tag", ""),
        guides=read_guides(),
        file_names=read_file_names(CLIP_NAMED),
        visitor=get_visitor(),
    )
    response = _respond(made)
    response.status_code = 202
    response.headers["Location"] = url_for("api.get_film", film_id=made.id)
    return response


@blueprint.post("/films/estimate")
@blueprint.input(FilmQuery, location="json")
@blueprint.output(FilmNeed)
@blueprint.doc(tags=["Films"], responses=answers.BAD_JSON)
def estimate_film_need(json_data: FilmQuery) -> FilmNeed:
    """Estimate a film's minutes and storage before it is submitted."""
    limit = settings().max_clip_frames
    if json_data.frames > limit:
        raise InvalidInput(Problem("frames", f"must be {limit} at most; a clip has no more"))
    recipe = Recipe.parse(json_data.model_dump(include=set(Recipe.model_fields)))
    chosen = json_data.film
    numbers = chosen.select_frames(json_data.frames)
    shots = sorted({0, *(json_data.shots or ())})
    if shots[-1] >= json_data.frames:
        raise InvalidInput(Problem("shots", f"must be below {json_data.frames}, the number of frames"))
    parts = plan_parts(shots, numbers, chosen.spacing)
    pictures = replace(json_data.sizes_of_pictures, holds=True)
    with sessions.read_session() as session:
        found = estimate_film(recipe, pictures, parts, list_painters(session))
    if found is None:
        size = recipe.compute_result_size(*pictures.photograph)
        return FilmNeed.from_size(len(numbers), len(parts), size)
    return FilmNeed.from_estimate(found, len(parts))


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
