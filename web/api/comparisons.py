"""Answers to which of two pictures is nearer to the painting, and the ranks that come of them."""

from __future__ import annotations

from typing import Annotated, Any

from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field

from farm.database import sessions
from farm.jobs import comparisons
from farm.jobs.bradley_terry import PRIOR
from farm.jobs.ratings import RATER_LENGTH, Rater
from farm.recipe.problems import Untrusted
from web.api import answers, blueprint
from web.middleware.authentication import get_visitor

METHOD = (
    f"Bradley and Terry's model, each look with {2 * PRIOR:g} answer more against a middling one,"
    " half of it won; errors from the curvature of the likelihood."
)
JobId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", strict=True)]


class ComparisonIn(Untrusted):
    """One rater's answer on two finished pictures of one photograph, painting, size and preset."""

    model_config = ConfigDict(extra="forbid")

    pictures: list[JobId] = Field(min_length=2, max_length=2, description="Ids of their jobs.")
    nearer: JobId | None = Field(description="The one that is nearer to the painting; null: skipped.")
    rater: str = Field(
        min_length=1, max_length=RATER_LENGTH, strict=True, description="Named as you like."
    )


class RankedOut(BaseModel):
    """Look among others: settings that make a picture's manner."""

    place: int = Field(description="From 1.")
    look: str = Field(description="Digest of the settings.")
    settings: dict[str, Any] = Field(description="Those that are not the defaults of their version.")
    example: str = Field(description="Id of a finished job in this look.")
    chosen: int = Field(description="How often it was chosen, of `answers`.")
    answers: int
    strength: float = Field(description="Natural logarithm of its strength; 0 is a middling look's.")
    strength_error: float = Field(description="Standard error of `strength`.")
    share: float = Field(description="Chance to be chosen over a middling look.")
    share_low: float = Field(description="Ends of the 95 % interval of `share`.")
    share_high: float
    stars: float | None = Field(description="Mean opinion score, 1..5.")
    stars_count: int
    stars_low: float | None
    stars_high: float | None

    @classmethod
    def from_ranked(cls, place: int, found: comparisons.Ranked) -> RankedOut:
        """Describe a look at its place."""
        low, high = found.interval
        return cls(
            place=place,
            look=found.look,
            settings=found.settings,
            example=found.example,
            chosen=found.chosen,
            answers=found.answers,
            strength=round(found.strength, 4),
            strength_error=round(found.error, 4),
            share=round(found.share, 4),
            share_low=round(low, 4),
            share_high=round(high, 4),
            stars=found.score.mean,
            stars_count=found.score.count,
            stars_low=found.score.low,
            stars_high=found.score.high,
        )


class RankingOut(BaseModel):
    """Looks by strength, the strongest first."""

    method: str
    answers: int = Field(description="That chose.")
    skipped: int
    looks: list[RankedOut]


@blueprint.post("/comparisons")
@blueprint.input(ComparisonIn, location="json")
@blueprint.output(
    {},
    204,
    description="Stored. Again with the same rater and pictures replaces it; null replaces no answer.",
)
@blueprint.doc(
    tags=["Ratings"],
    responses=answers.NO_JOB
    | answers.BAD_JSON
    | {409: "One has not succeeded.", 422: "Not valid, or these two are not compared."},
)
def compare(json_data: ComparisonIn) -> ResponseReturnValue:
    """Store which of two pictures a rater takes for nearer to the painting."""
    visitor = get_visitor()
    rater = Rater.from_name(json_data.rater, visitor)
    with sessions.write_session() as session:
        comparisons.record_answer(session, json_data.pictures, json_data.nearer, rater, visitor)
    return "", 204


@blueprint.get("/ranking")
@blueprint.output(RankingOut)
@blueprint.doc(tags=["Ratings"])
def get_ranking() -> RankingOut:
    """Return the looks of your pictures by how often they were chosen over others, with stars."""
    with sessions.read_session() as session:
        found = comparisons.rank(session, get_visitor())
    return RankingOut(
        method=METHOD,
        answers=found.answers,
        skipped=found.skipped,
        looks=[RankedOut.from_ranked(place, each) for place, each in enumerate(found.looks, 1)],
    )
