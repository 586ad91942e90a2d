"""Ratings of pictures: 1 to 5 stars, and the mean opinion score over the recipe's look."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, Rating, State
from farm.errors import InvalidInput, Problem, WrongState
from farm.jobs import states
from farm.people.visitors import ANYBODY, Visitor

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


@dataclass(frozen=True)
class Rater:
    """Whoever rates: a person, a name that a person or a program gives, or a browser.

    Raises:
        InvalidInput: nobody can be called so.
    """

    # Under which the stars are kept, then those under which earlier versions kept them.
    marks: tuple[str, ...]

    @classmethod
    def from_name(cls, name: str, visitor: Visitor = ANYBODY) -> Rater:
        """Return the rater that a client names, its person's own where it has one."""
        if not (1 <= len(name) <= RATER_LENGTH and name.isprintable()):
            message = f"must have 1 to {RATER_LENGTH} printable characters"
            raise InvalidInput(Problem("rater", message))
        return cls((name,) if visitor.person_id is None else (_mark(visitor, name), name))

    @classmethod
    def from_browser(cls, mark: str | None, visitor: Visitor = ANYBODY) -> Rater:
        """Return the person, the same in each browser; without one, the browser's opaque mark."""
        known = () if mark is None else (mark,)
        return cls(known if visitor.person_id is None else (_mark(visitor, ""), *known))


def _mark(visitor: Visitor, name: str) -> str:
    """Return what stands for a name given by a person: nobody else's, and RATER_LENGTH characters."""
    return hashlib.sha256(repr((visitor.name, name)).encode()).hexdigest()


def rate(session: Session, job_id: str, rater: Rater, stars: int) -> None:
    """Store one rater's stars for a finished picture; again replaces them.

    Raises:
        NotFound: no such job. WrongState: it has not succeeded. InvalidInput: no such stars.
    """
    if stars not in STARS:
        raise InvalidInput(Problem("stars", f"must be {STARS[0]} to {STARS[-1]} (got {stars})"))
    job = states.get(session, job_id)
    if job.state is not State.SUCCEEDED:
        raise WrongState(f"This job is {job.state.value}; there is no picture to rate.")
    mine = _find_rating(session, job_id, rater)
    if mine is None:
        try:
            with session.begin_nested():
                session.add(Rating(job_id=job_id, rater=rater.marks[0], stars=stars))
            return
        except IntegrityError:  # the same rater, twice at this moment
            mine = _find_rating(session, job_id, rater)
    assert mine is not None
    mine.rater, mine.stars = rater.marks[0], stars


def withdraw(session: Session, job_id: str, rater: Rater) -> None:
    """Delete a rater's stars, if there are any."""
    mine = delete(Rating).where(Rating.job_id == job_id, Rating.rater.in_(rater.marks))
    sessions.execute_count(session, mine)


def find_stars(session: Session, job_id: str, rater: Rater) -> int | None:
    """Return a rater's stars for a picture; None: there are none."""
    mine = _find_rating(session, job_id, rater)
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


def _find_rating(session: Session, job_id: str, rater: Rater) -> Rating | None:
    """Return the rater's rating, kept as today or else as earlier; None: there is none."""
    query = select(Rating).where(Rating.job_id == job_id, Rating.rater.in_(rater.marks))
    found = {each.rater: each for each in session.scalars(query)}
    return next((found[mark] for mark in rater.marks if mark in found), None)
