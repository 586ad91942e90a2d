"""Ratings of pictures: 1 to 5 stars, and the mean opinion score over the recipe's look."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, Rating, State
from farm.errors import InvalidInput, Problem, WrongState
from farm.jobs import states

STARS = range(1, 6)
RATER_LENGTH = 64


@dataclass(frozen=True)
class Opinion:
    """The ratings of a picture, and of all pictures whose recipes have the same look."""

    # Mean opinion score, 1..5; None without ratings.
    mean: float | None
    # Number of ratings.
    count: int
    # The same over the look.
    look_mean: float | None
    look_count: int


def rate(session: Session, job_id: str, rater: str, stars: int) -> None:
    """Store one rater's stars for a finished picture; again replaces them.

    Raises:
        NotFound: no such job. WrongState: it has not succeeded. InvalidInput: no such stars.
    """
    if stars not in STARS:
        raise InvalidInput(Problem("stars", f"must be {STARS[0]} to {STARS[-1]} (got {stars})"))
    _check_rater(rater)
    job = states.get(session, job_id)
    if job.state is not State.SUCCEEDED:
        raise WrongState(f"This job is {job.state.value}; there is no picture to rate.")
    mine = session.scalar(_select_rating(job_id, rater))
    if mine is None:
        try:
            with session.begin_nested():
                session.add(Rating(job_id=job_id, rater=rater, stars=stars))
            return
        except IntegrityError:  # the same rater, twice at this moment
            mine = session.scalars(_select_rating(job_id, rater)).one()
    mine.stars = stars


def withdraw(session: Session, job_id: str, rater: str) -> None:
    """Delete a rater's stars, if there are any.

    Raises:
        InvalidInput: nobody can be called so.
    """
    _check_rater(rater)
    sessions.execute_count(session, delete(Rating).where(Rating.job_id == job_id, Rating.rater == rater))


def _check_rater(rater: str) -> None:
    if not (1 <= len(rater) <= RATER_LENGTH and rater.isprintable()):
        raise InvalidInput(Problem("rater", f"must have 1 to {RATER_LENGTH} printable characters"))


def find_stars(session: Session, job_id: str, rater: str) -> int | None:
    """Return a rater's stars for a picture; None: there are none."""
    mine = session.scalar(_select_rating(job_id, rater))
    return mine.stars if mine else None


def opinion(session: Session, job: Job) -> Opinion:
    """Return the mean opinion of a job's picture and of its look."""
    means = select(func.avg(Rating.stars), func.count(Rating.id))
    mean, count = session.execute(means.where(Rating.job_id == job.id)).one()
    look_mean, look_count = mean, count
    if job.look_sha256:
        alike = means.join(Job, Job.id == Rating.job_id).where(Job.look_sha256 == job.look_sha256)
        look_mean, look_count = session.execute(alike).one()
    return Opinion(_round(mean), count, _round(look_mean), look_count)


def _round(mean: object) -> float | None:
    return None if mean is None else round(float(str(mean)), 2)


def _select_rating(job_id: str, rater: str) -> Select[Rating]:
    return select(Rating).where(Rating.job_id == job_id, Rating.rater == rater)
