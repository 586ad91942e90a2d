"""The workers, and what a picture would need on them."""

from __future__ import annotations

from pydantic import Field

from farm import db, machines
from farm.estimate import estimate
from farm.recipe import Recipe
from web.api import blueprint
from web.present import EstimateOut, Workers, sized_need

LONGEST_PHOTOGRAPH = 1_000_000  # px a side; uploads have limits of their own


class EstimateQuery(Recipe):
    """A recipe, and the photograph's size in px."""

    width: int = Field(ge=1, le=LONGEST_PHOTOGRAPH, description="Of the photograph, px.")
    height: int = Field(ge=1, le=LONGEST_PHOTOGRAPH, description="Of the photograph, px.")


@blueprint.post("/estimate")
@blueprint.input(EstimateQuery, location="json")
@blueprint.output(EstimateOut)
@blueprint.doc(responses={400: "Not JSON.", 403: "Sent by another site's page."})
def ask(json_data: EstimateQuery) -> EstimateOut:
    """What a picture would need, before it is submitted: a recipe, and the photograph's size."""
    with db.reading() as session:
        workers = machines.alive(session)
    found = estimate(json_data, json_data.height, json_data.width, workers)
    if found is None:
        height, width = json_data.picture_size(json_data.height, json_data.width)
        return EstimateOut.unknown(width, height)
    return EstimateOut.of(found, sized_need(found))


@blueprint.get("/workers")
@blueprint.output(Workers)
@blueprint.doc(tags=["Workers"])
def workers() -> Workers:
    """The workers that are alive."""
    with db.reading() as session:
        return Workers.of(machines.alive(session))
