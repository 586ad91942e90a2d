"""Explorations: a grid of small pictures in which two settings vary, as one request."""

from __future__ import annotations

import json
from typing import Annotated, Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, Field

from farm.database import sessions
from farm.database.models import Exploration, Job, State
from farm.errors import InvalidInput, Problem
from farm.explorations import axes, grids
from farm.jobs.idempotency import Key, Request
from farm.recipe import Recipe
from farm.recipe.json_limits import check_json
from farm.recipe.picture_sizes import PictureSizes
from farm.recipe.problems import Untrusted
from web import streams
from web.api import answers, blueprint
from web.api.estimates import EstimateQuery
from web.api.requests import (
    find_earlier,
    identify,
    read_file_names,
    read_guides,
    read_idempotency_key,
    read_submission,
    read_whole_number,
    respond_conditionally,
)
from web.api.schemas import Fits, Moment
from web.files import build_preview_url
from web.middleware.authentication import get_visitor
from web.words import describe_grid

TEXTS = ("recipe", "look", "name", "across", "across_values", "down", "down_values", "cell_size")
MAX_LISTED = 100

CellSide = Annotated[int, Field(description="Of a cell, px.")]


class ExplorationLinks(BaseModel):
    """Addresses of an exploration."""

    self: str
    page: str
    cancel: str | None = Field(description="Null once all of it has ended.")

    @classmethod
    def from_row(cls, found: Exploration) -> ExplorationLinks:
        """Address an exploration."""
        cancel = url_for("api.cancel_exploration", exploration_id=found.id)
        return cls(
            self=url_for("api.get_exploration", exploration_id=found.id),
            page=url_for("pages.show_exploration", exploration_id=found.id),
            cancel=cancel if is_going(found) else None,
        )


class AxisOut(BaseModel):
    """Setting that varies along one side of a grid."""

    name: str
    title: str
    labels: list[str] = Field(description="One for each step.")
    settings: list[dict[str, Any]] = Field(description="What each step sets in the recipe.")


class CellOut(BaseModel):
    """Small picture of a grid."""

    row: int
    column: int
    id: str
    state: State
    progress: float
    error: str | None
    preview: str | None
    job: str = Field(description="The address of its job.")
    form: str = Field(description="The address of the form, filled in with its settings.")


class ExplorationOut(BaseModel):
    """Exploration with its cells."""

    id: str
    name: str
    created_at: Moment
    progress: float
    eta_seconds: float | None = Field(
        description="Until the last cell is done; null in lists, when all has ended, and while unknown."
    )
    recipe: dict[str, Any] = Field(description="At the size that is wanted in the end.")
    across: AxisOut
    down: AxisOut
    cells: list[CellOut] = Field(description="Row by row.")
    links: ExplorationLinks

    @classmethod
    def from_row(cls, found: Exploration, eta_seconds: float | None = None) -> ExplorationOut:
        """Describe an exploration, which has its cells with it."""
        across, down = AxisOut(**found.across), AxisOut(**found.down)
        return cls(
            id=found.id,
            name=found.name,
            created_at=found.created_at,
            progress=compute_progress(found),
            eta_seconds=eta_seconds,
            recipe=found.recipe,
            across=across,
            down=down,
            cells=[_describe_cell(job, len(across.labels)) for job in found.cells],
            links=ExplorationLinks.from_row(found),
        )


class GridQuery(EstimateQuery):
    """Recipe of the picture that is wanted in the end, the photograph's size in px, and the grid."""

    across: str = axes.ACROSS
    across_values: list[Any] | None = Field(None, description=axes.VALUES_MEAN)
    down: str = axes.DOWN
    down_values: list[Any] | None = Field(None, description=axes.VALUES_MEAN)
    cell_size: int = Field(grids.SIZE, description=grids.SIZE_MEANS)


class GridEstimate(BaseModel):
    """Needs of a grid."""

    cells: int
    width: CellSide
    height: CellSide
    seconds: float | None = Field(
        description="Until the last is done, if nothing else waits; null while no speed is known."
    )
    workers: int = Field(description="How many share the cells.")
    fits: Fits
    message: str = Field(description="For a person.")


class Explorations(BaseModel):
    """Latest explorations, newest first."""

    items: list[ExplorationOut]


class ExplorationsQuery(Untrusted):
    """Number of explorations that are asked for."""

    limit: int = Field(20, ge=1, le=MAX_LISTED)


def is_going(found: Exploration) -> bool:
    """Check whether a cell has not ended."""
    return any(not job.state.ended for job in found.cells)


def compute_progress(found: Exploration) -> float:
    """Return the share of an exploration that is done, 0..1."""
    return sum(1.0 if job.state.ended else job.progress for job in found.cells) / len(found.cells or "1")


def _describe_cell(job: Job, columns: int) -> CellOut:
    row, column = divmod(job.cell or 0, columns)
    origin: dict[str, Any] = {"from": job.id}  # a keyword of Python
    if job.state is State.SUCCEEDED:
        origin["grow"] = 1
    return CellOut(
        row=row,
        column=column,
        id=job.id,
        state=job.state,
        progress=job.progress,
        error=job.error,
        preview=build_preview_url(job),
        job=url_for("api.get_job", job_id=job.id),
        form=url_for("pages.show_form", **origin),
    )


@blueprint.post("/explorations")
@blueprint.output(ExplorationOut, 202, description="Accepted; its cells wait for a worker.")
@blueprint.doc(
    tags=["Explorations"],
    responses=answers.BAD_SUBMISSION | answers.KEY_TAKEN,
)
def explore() -> ResponseReturnValue:
    """Try settings small: a grid of pictures that differ in one setting across and in another down.

    `recipe` is the one of the picture that is wanted in the end; the cells are drafts of it. With a
    header `Idempotency-Key` of your own making, the same request sent again is the same exploration.
    """
    key = identify(read_idempotency_key())
    earlier = find_earlier(key)
    made = grids.get(str(earlier.exploration_id)) if earlier else _submit(key)
    response = _respond(made)
    response.status_code = 202
    response.headers["Location"] = url_for("api.get_exploration", exploration_id=made.id)
    return response


def _submit(key: Key | Request | None) -> Exploration:
    content, styles, recipe = read_submission(TEXTS)
    return grids.explore(
        content,
        styles,
        recipe,
        _read_axis("across", axes.ACROSS, recipe),
        _read_axis("down", axes.DOWN, recipe),
        name=request.form.get("name", ""),
        size=read_whole_number("cell_size", grids.SIZE),
        key=key,
        guides=read_guides(),
        file_names=read_file_names(),
        visitor=get_visitor(),
    )


@blueprint.post("/explorations/estimate")
@blueprint.input(GridQuery, location="json")
@blueprint.output(GridEstimate)
@blueprint.doc(tags=["Explorations"], responses=answers.BAD_JSON)
def estimate_grid(json_data: GridQuery) -> GridEstimate:
    """Estimate the cells of a grid and how long they would take, before it is submitted."""
    recipe = Recipe.parse(json_data.model_dump(include=set(Recipe.model_fields)))
    across = axes.axis("across", json_data.across, recipe, json_data.across_values)
    down = axes.axis("down", json_data.down, recipe, json_data.down_values)
    return estimate_cells(recipe, across, down, json_data.cell_size, json_data.sizes_of_pictures)


def estimate_cells(
    recipe: Recipe, across: axes.Axis, down: axes.Axis, size: int, pictures: PictureSizes
) -> GridEstimate:
    """Return what a grid will need.

    Args:
        recipe: at the size that is wanted in the end. size: of a cell's longest side, px. pictures:
            sizes of photograph and paintings.

    Raises:
        InvalidInput: these make no grid.
    """
    with sessions.read_session() as session:
        cells, found = grids.estimate_grid(session, recipe, across, down, pictures, size)
    shape = recipe.model_copy(update={"size": size}).compute_picture_size(*pictures.photograph)
    return GridEstimate(
        cells=cells,
        width=shape[1],
        height=shape[0],
        seconds=found.seconds if found else None,
        workers=len(found.workers) if found else 0,
        fits=found.refusal is None if found else None,
        message=describe_grid(cells, shape, found),
    )


def _read_axis(field: str, usual: str, recipe: Recipe) -> axes.Axis:
    """Read `across=balance`, and if they are not to be the usual ones `across_values=[-1, 0, 1]`.

    Raises:
        InvalidInput: the values are no list, or there is no such axis.
    """
    values = None
    if text := request.form.get(f"{field}_values"):
        check_json(text, f"{field}_values")
        try:
            values = json.loads(text, parse_constant=_refuse_constant)
        except ValueError:
            values = None
        if not isinstance(values, list) or not values:
            raise InvalidInput(Problem(f"{field}_values", "must be a list in JSON, such as [-1, 0, 1]"))
    return axes.axis(field, request.form.get(field) or usual, recipe, values)


def _refuse_constant(text: str) -> None:
    """Refuse NaN and the like, which are no JSON."""
    raise ValueError(text)


@blueprint.get("/explorations")
@blueprint.input(ExplorationsQuery, location="query")
@blueprint.output(Explorations)
@blueprint.doc(tags=["Explorations"])
def list_explorations(query_data: ExplorationsQuery) -> Explorations:
    """List the latest explorations, newest first."""
    with sessions.read_session() as session:
        found = grids.list_newest(session, query_data.limit, get_visitor())
    return Explorations(items=[ExplorationOut.from_row(each) for each in found])


@blueprint.get("/explorations/<job_id:exploration_id>")
@blueprint.output(ExplorationOut)
@blueprint.doc(tags=["Explorations"], responses=answers.NO_EXPLORATION | answers.UNCHANGED)
def get_exploration(exploration_id: str) -> Response:
    """Return one exploration with its cells. Its ETag in If-None-Match asks only for a change."""
    return _respond(grids.get(exploration_id))


@blueprint.get("/explorations/<job_id:exploration_id>/stream")
@blueprint.output({}, content_type=answers.EVENT_STREAM, description=answers.EVENTS)
@blueprint.doc(tags=["Explorations"], responses=answers.NO_EXPLORATION | answers.STREAMS_FULL)
def stream_exploration(exploration_id: str) -> Response:
    """Stream one exploration as its cells change, by server-sent events, like those of a job."""
    cells = [job.id for job in grids.get(exploration_id).cells]
    return streams.send_states(cells, lambda: take_snapshot(exploration_id))


def take_snapshot(exploration_id: str) -> streams.Snapshot:
    """Return how an exploration stands, for a stream.

    Raises:
        NotFound: it was deleted.
    """
    found = grids.get(exploration_id)
    last = not is_going(found)
    return streams.Snapshot(_add_time_left(found).model_dump_json(), last)


@blueprint.post("/explorations/<job_id:exploration_id>/cancel")
@blueprint.output(ExplorationOut)
@blueprint.doc(tags=["Explorations"], responses=answers.NO_EXPLORATION)
def cancel_exploration(exploration_id: str) -> Response:
    """Stop all cells that have not ended. Again is harmless."""
    return _respond(grids.cancel(exploration_id))


@blueprint.delete("/explorations/<job_id:exploration_id>")
@blueprint.output({}, 204, description=answers.DELETED)
@blueprint.doc(tags=["Explorations"], responses=answers.NO_EXPLORATION | {409: "A cell has not ended."})
def delete_exploration(exploration_id: str) -> ResponseReturnValue:
    """Delete an exploration that has ended, and its pictures."""
    grids.forget(exploration_id)
    return "", 204


def _respond(found: Exploration) -> Response:
    return respond_conditionally(_add_time_left(found))


def _add_time_left(found: Exploration) -> ExplorationOut:
    with sessions.read_session() as session:
        return ExplorationOut.from_row(found, grids.estimate_left(session, found))
