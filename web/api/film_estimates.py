"""Needs of a film, before it is submitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, Field

from farm.database import sessions
from farm.errors import InvalidInput, Problem
from farm.films.estimates import FilmEstimate, estimate_film, list_painters
from farm.films.settings import FilmSettings
from farm.recipe import Recipe
from farm.recipe.film import plan_parts
from farm.recipe.film_formats import FRAME_BYTES_PER_PIXEL
from farm.recipe.picture_sizes import Size
from farm.settings import settings
from web.api import answers, blueprint
from web.api.estimates import EstimateQuery
from web.api.schemas import Fits, ResultSide
from web.words import describe_film_need, describe_unknown_film


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
    pictures = replace(json_data.sizes_of_pictures, holds=chosen.spacing)
    with sessions.read_session() as session:
        found = estimate_film(recipe, pictures, parts, list_painters(session))
    if found is None:
        size = recipe.compute_result_size(*pictures.photograph)
        return FilmNeed.from_size(len(numbers), len(parts), size)
    return FilmNeed.from_estimate(found, len(parts))
