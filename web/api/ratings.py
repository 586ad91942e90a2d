"""Stars that people give to finished pictures."""

from __future__ import annotations

from dataclasses import asdict

from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field

from farm.database import sessions
from farm.jobs import ratings, states
from farm.jobs.scores import STARS
from farm.recipe.problems import Untrusted
from web.api import answers, blueprint
from web.middleware.authentication import get_visitor

INTERVAL = "95 % interval, by Student's t"


class RatingIn(Untrusted):
    """One person's opinion."""

    model_config = ConfigDict(extra="forbid")

    stars: int = Field(ge=STARS[0], le=STARS[-1], strict=True)


class OpinionOut(BaseModel):
    """Mean opinion scores, 1..5, of a picture and of its look. By how much a rater's stars lie above
    those of others is taken out of them, from three pictures on that both rated."""

    mean: float | None = Field(description="Of this picture; null while nobody has rated it.")
    count: int
    low: float | None = Field(description=f"Ends of its {INTERVAL}; null below two ratings.")
    high: float | None
    look_mean: float | None = Field(description="Of all pictures whose recipes have the same look.")
    look_count: int
    look_low: float | None
    look_high: float | None

    @classmethod
    def from_opinion(cls, found: ratings.Opinion) -> OpinionOut:
        """Describe an opinion."""
        return cls(
            **asdict(found.picture),
            **{f"look_{name}": value for name, value in asdict(found.look).items()},
        )


@blueprint.get("/jobs/<job_id:job_id>/ratings")
@blueprint.output(OpinionOut)
@blueprint.doc(tags=["Ratings"], responses=answers.NO_JOB)
def get_opinion(job_id: str) -> OpinionOut:
    """Return what people think of a picture."""
    return _load_opinion(job_id)


@blueprint.put("/jobs/<job_id:job_id>/ratings/<rater>")
@blueprint.input(RatingIn, location="json")
@blueprint.output(OpinionOut)
@blueprint.doc(
    tags=["Ratings"],
    responses=answers.NO_JOB | answers.BAD_JSON | {409: "It has not succeeded."},
)
def rate(job_id: str, rater: str, json_data: RatingIn) -> OpinionOut:
    """Store what a rater, named as you like, thinks of a finished picture; again replaces it."""
    with sessions.write_session() as session:
        ratings.rate(session, job_id, _read_rater(rater), json_data.stars)
    return _load_opinion(job_id)


@blueprint.delete("/jobs/<job_id:job_id>/ratings/<rater>")
@blueprint.output({}, 204, description="Nothing is said any more.")
@blueprint.doc(tags=["Ratings"], responses=answers.OTHER_SITE | {422: "Not valid."})
def withdraw(job_id: str, rater: str) -> ResponseReturnValue:
    """Delete a rater's stars."""
    with sessions.write_session() as session:
        ratings.withdraw(session, job_id, _read_rater(rater))
    return "", 204


def _read_rater(name: str) -> ratings.Rater:
    return ratings.Rater.from_name(name, get_visitor())


def _load_opinion(job_id: str) -> OpinionOut:
    with sessions.read_session() as session:
        job = states.get(session, job_id)
        return OpinionOut.from_opinion(ratings.compute_opinion(session, job, get_visitor()))
