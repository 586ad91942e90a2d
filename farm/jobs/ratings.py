"""Ratings of pictures: 1 to 5 stars, and mean opinion scores of a picture and of its recipe's look."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job
from farm.database.opinions import Rating
from farm.errors import InvalidInput, Problem
from farm.jobs import states
from farm.jobs.scores import RATED_FOR_BIAS, STARS, Score
from farm.people.visitors import ANYBODY, Visitor

RATER_LENGTH = 64
_Centred = tuple[str, str | None, float]  # a job's id, its look, stars less the rater's bias


@dataclass(frozen=True)
class Opinion:
    """Scores of a picture, and of all pictures whose recipes have the same look."""

    picture: Score = field(default_factory=Score)
    look: Score = field(default_factory=Score)


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
    states.check_has_picture(job, "rate")
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


def compute_opinion(session: Session, job: Job, visitor: Visitor) -> Opinion:
    """Return the opinion of a job's picture, and of its look by the pictures that a visitor sees."""
    mine = Rating.job_id == job.id
    if not job.look_sha256:
        score = Score.compute([stars for _, _, stars in _list_centred(session, mine)])
        return Opinion(score, score)
    seen = visitor.match_visible(Job.owner_id)
    rated = _list_centred(session, and_(Job.look_sha256 == job.look_sha256, seen))
    return Opinion(
        Score.compute([stars for job_id, _, stars in rated if job_id == job.id]),
        Score.compute([stars for _, _, stars in rated]),
    )


def compute_look_scores(session: Session, looks: Collection[str], visitor: Visitor) -> dict[str, Score]:
    """Return the scores of looks, by what anybody thinks of the pictures that a visitor sees."""
    values: dict[str, list[float]] = {}
    seen = visitor.match_visible(Job.owner_id)
    for _, look, stars in _list_centred(session, and_(Job.look_sha256.in_(looks), seen)):
        values.setdefault(str(look), []).append(stars)
    return {look: Score.compute(stars) for look, stars in values.items()}


def _list_centred(session: Session, condition: ColumnElement[bool]) -> list[_Centred]:
    """List the ratings of some jobs, less their raters' biases."""
    query = select(Rating.job_id, Job.look_sha256, Rating.rater, Rating.stars)
    rows = session.execute(query.join(Job, Job.id == Rating.job_id).where(condition)).all()
    biases = _compute_biases(session, condition) if rows else {}
    return [(job_id, look, stars - biases.get(rater, 0.0)) for job_id, look, rater, stars in rows]


def _compute_biases(session: Session, condition: ColumnElement[bool]) -> dict[str, float]:
    """Compute the biases of all who rated some jobs, as far as they rated enough; see `scores`."""
    raters = select(Rating.rater).join(Job, Job.id == Rating.job_id).where(condition)
    known = select(Rating.job_id).where(Rating.rater.in_(raters))
    means = (
        select(Rating.job_id, func.avg(Rating.stars).label("mean"))
        .where(Rating.job_id.in_(known))
        .group_by(Rating.job_id)
        .having(func.count() > 1)
        .subquery()
    )
    query = (
        select(Rating.rater, func.avg(Rating.stars - means.c.mean))
        .join(means, means.c.job_id == Rating.job_id)
        .where(Rating.rater.in_(raters))
        .group_by(Rating.rater)
        .having(func.count() >= RATED_FOR_BIAS)
    )
    return {rater: float(bias) for rater, bias in session.execute(query)}


def _find_rating(session: Session, job_id: str, rater: Rater) -> Rating | None:
    """Return the rater's rating, kept as today or else as earlier; None: there is none."""
    query = select(Rating).where(Rating.job_id == job_id, Rating.rater.in_(rater.marks))
    found = {each.rater: each for each in session.scalars(query)}
    return next((found[mark] for mark in rater.marks if mark in found), None)
