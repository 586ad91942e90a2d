"""Estimates of what a picture needs, before it is submitted."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from farm.database import sessions
from farm.database.fleet import Worker
from farm.errors import InvalidInput
from farm.fleet import registry
from farm.fleet.estimates import estimate
from farm.recipe import Recipe
from farm.recipe.picture_sizes import PictureSizes, Size
from farm.recipe.problems import Untrusted
from farm.recipe.recipe import MAX_STYLES
from web.api import answers, blueprint
from web.api.schemas import EstimateOut
from web.words import describe_sized_need

LONGEST_PHOTOGRAPH = 1_000_000  # px a side; uploads have limits of their own
MAX_SIZES = 20  # estimated at once

PhotographSide = Annotated[int, Field(ge=1, le=LONGEST_PHOTOGRAPH, description="Of the photograph, px.")]


class PaintingSize(Untrusted):
    """Size of a painting, px."""

    width: int = Field(ge=1, le=LONGEST_PHOTOGRAPH)
    height: int = Field(ge=1, le=LONGEST_PHOTOGRAPH)


class EstimateQuery(Recipe):
    """Recipe, and the sizes of photograph and paintings in px."""

    width: PhotographSide
    height: PhotographSide
    paintings: list[PaintingSize] | None = Field(
        None,
        max_length=MAX_STYLES,
        description="Sizes of the paintings, whose memory is counted, too; when left out, one as large"
        " as the photograph.",
    )
    masks: int = Field(0, ge=0, le=MAX_STYLES, description="How many will be sent.")
    keeps: bool = Field(
        False,
        description="Whether a map of what stays will be sent, or the photograph has transparency.",
    )

    @property
    def sizes_of_pictures(self) -> PictureSizes:
        """Sizes of photograph and paintings."""
        photograph = self.height, self.width
        if self.paintings is None:
            paintings: tuple[Size, ...] = (photograph,)
        else:
            paintings = tuple((each.height, each.width) for each in self.paintings)
        return PictureSizes(photograph, paintings, self.masks, self.keeps)


class SizesQuery(EstimateQuery):
    """Recipe for several sizes at once; `size` is one more."""

    sizes: list[int] = Field(max_length=MAX_SIZES)


class Estimates(BaseModel):
    """Estimates in the order of the sizes; null where the recipe does not go with one."""

    items: list[EstimateOut | None]


@blueprint.post("/estimates")
@blueprint.input(SizesQuery, location="json")
@blueprint.output(Estimates)
@blueprint.doc(responses=answers.BAD_JSON)
def estimate_sizes(json_data: SizesQuery) -> Estimates:
    """Estimate what a picture would need at several sizes: those in `sizes`, then the recipe's own."""
    with sessions.read_session() as session:
        workers = registry.list_alive(session)
    sizes, pictures = [*json_data.sizes, json_data.size], json_data.sizes_of_pictures
    return Estimates(items=[estimate_resized(json_data, size, pictures, workers) for size in sizes])


def estimate_resized(
    recipe: Recipe, size: int, pictures: PictureSizes, workers: list[Worker]
) -> EstimateOut | None:
    """Return what a picture would need at another size; None: its recipe does not go with that.

    Args:
        size: of its longest side, px. pictures: sizes of photograph and paintings.
    """
    values = recipe.model_dump(include=set(Recipe.model_fields)) | {"size": size}
    try:
        return _estimate(Recipe.parse(values), pictures, workers)
    except InvalidInput:  # such as iterations for other levels
        return None


@blueprint.post("/estimate")
@blueprint.input(EstimateQuery, location="json")
@blueprint.output(EstimateOut)
@blueprint.doc(responses=answers.BAD_JSON)
def estimate_size(json_data: EstimateQuery) -> EstimateOut:
    """Estimate what a picture needs before it is submitted, by its recipe and its pictures' sizes."""
    with sessions.read_session() as session:
        workers = registry.list_alive(session)
    return _estimate(json_data, json_data.sizes_of_pictures, workers)


def _estimate(recipe: Recipe, pictures: PictureSizes, workers: list[Worker]) -> EstimateOut:
    found = estimate(
        recipe,
        *pictures.photograph,
        workers,
        paintings=pictures.paintings,
        masks=pictures.masks,
        keeps=pictures.keeps,
    )
    if found is None:
        height, width = recipe.compute_picture_size(*pictures.photograph)
        return EstimateOut.from_size(width, height)
    return EstimateOut.from_estimate(found, describe_sized_need(found))
