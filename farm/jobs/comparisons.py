"""Blind comparisons: which of two finished pictures is nearer to the painting, and the ranks of looks.

Two pictures are compared if they have the photograph, the paintings, the masks, what is kept, the arrows
for strokes, the size and the preset in common, and not the look. A rater answers a pair once, and may
change the answer. Ranks are of looks, which those who answered did not know.
"""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from farm.database.models import Job, JobPicture, PictureRole, State
from farm.database.opinions import Answer, Comparison
from farm.database.upserts import insert
from farm.errors import InvalidInput, NotFound, Problem
from farm.jobs import bradley_terry, ratings, states
from farm.jobs.ratings import Rater
from farm.jobs.scores import Score
from farm.people.visitors import NO_JOB, Visitor
from farm.recipe import Recipe
from farm.recipe.recipe import NOT_LOOK
from farm.recipe.versions import NEWEST

MAX_TRIED = 50  # pictures for which a partner is looked for, from a random place on
MAX_PARTNERS = 100  # pictures of one photograph that are looked at
MAX_RANKED = 100  # looks, those with most answers
REACH = 1.96  # standard errors to either end of a 95 % interval

NO_PAIR = (
    "are no pair: it takes one photograph with the same regions, one painting, one size and preset,"
    " and two manners"
)


@dataclass(frozen=True)
class Pair:
    """Two pictures in the order in which they are shown."""

    left: Job
    right: Job


@dataclass(frozen=True)
class Ranked:
    """A look among others."""

    # Digest, see `Recipe.look`.
    look: str
    # Id of a finished job in this look.
    example: str
    # What makes the look: settings that are not their version's defaults.
    settings: dict[str, object]
    # How often it was chosen, of how many answers.
    chosen: int
    answers: int
    # Natural logarithm of its strength, 0 a middling one's, and its standard error.
    strength: float
    error: float
    # Of its stars.
    score: Score

    @property
    def share(self) -> float:
        """Chance to be chosen over a middling look, 0..1."""
        return _compute_chance(self.strength)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the share's 95 % interval."""
        reach = REACH * self.error
        return _compute_chance(self.strength - reach), _compute_chance(self.strength + reach)


def _compute_chance(strength: float) -> float:
    return 1 / (1 + math.exp(-strength))


@dataclass(frozen=True)
class Ranking:
    """Looks by strength, the strongest first."""

    looks: list[Ranked]
    # Numbers of answers that chose, and of those that skipped.
    answers: int
    skipped: int


def choose_pair(session: Session, rater: Rater, visitor: Visitor) -> Pair | None:
    """Choose a pair that a rater has not answered, the least answered of a random picture's, in random
    order; None: there is none, among some random pictures."""
    start = secrets.token_hex(16)
    finished = select(Job.id).where(*_match_finished(visitor)).order_by(Job.id).limit(MAX_TRIED)
    tried = [
        *session.scalars(finished.where(Job.id >= start)),
        *session.scalars(finished.where(Job.id < start)),
    ]
    random.shuffle(tried)
    for job_id in tried:
        job = session.get_one(Job, job_id)
        if partners := _list_partners(session, job, rater, visitor):
            pair = [job, random.choice(partners)]  # noqa: S311 - nothing secret
            random.shuffle(pair)
            return Pair(*pair)
    return None


def _match_finished(visitor: Visitor) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a finished job that a visitor sees, whose look is known."""
    seen = visitor.match_visible(Job.owner_id)
    return Job.state == State.SUCCEEDED, Job.look_sha256.is_not(None), seen


def _list_partners(session: Session, job: Job, rater: Rater, visitor: Visitor) -> list[Job]:
    """List the pictures that go with a job's and that were compared with it least often."""
    same_photograph = select(JobPicture.job_id).where(
        JobPicture.role == PictureRole.CONTENT, JobPicture.upload_sha256 == job.content.sha256
    )
    found = session.scalars(
        select(Job)
        .where(*_match_finished(visitor), Job.look_sha256 != job.look_sha256)
        .where(Job.id.in_(same_photograph))
        .order_by(Job.created_at.desc(), Job.id)
        .limit(MAX_PARTNERS)
    )
    partners = [each for each in found if _are_alike(job, each)]
    touching = or_(Comparison.first_job_id == job.id, Comparison.second_job_id == job.id)
    counts: dict[str, float] = {}
    for row in session.scalars(select(Comparison).where(touching)):
        other = row.second_job_id if row.first_job_id == job.id else row.first_job_id
        counts[other] = counts.get(other, 0) + (math.inf if row.rater in rater.marks else 1)
    fewest = min((counts.get(each.id, 0) for each in partners), default=math.inf)
    return [] if fewest == math.inf else [each for each in partners if counts.get(each.id, 0) == fewest]


def _are_alike(one: Job, other: Job) -> bool:
    """Check that two pictures differ in nothing that is to be seen but the look."""
    return _list_common(one) == _list_common(other)


def _list_common(job: Job) -> tuple[object, ...]:
    paintings = [style.upload_sha256 for style in job.styles]
    masks, keep = [mask.upload_sha256 for mask in job.masks], job.keep and job.keep.upload_sha256
    effort = (job.width, job.height), job.recipe.get("preset")
    return job.content.sha256, paintings, masks, keep, job.recipe.get("stroke_arrows"), effort


def record_answer(
    session: Session, shown: Sequence[str], nearer: str | None, rater: Rater, visitor: Visitor
) -> None:
    """Store a rater's answer on two pictures. Another replaces it, but to skip takes none back, as by a
    key that is pressed before the next two are there.

    Args:
        shown: ids of the two jobs. nearer: one of them; None: skipped.

    Raises:
        NotFound: no such job. InvalidInput: these two are not compared. WrongState: one is not finished.
    """
    if nearer is not None and nearer not in shown:
        raise InvalidInput(Problem("nearer", "must be one of the two pictures"))
    first_id, second_id = sorted(shown)
    first, second = (states.get(session, job_id) for job_id in (first_id, second_id))
    for job in (first, second):
        if not visitor.may_see(job.owner_id):
            raise NotFound(NO_JOB)
        states.check_has_picture(job, "compare")
    looks = {first.look_sha256, second.look_sha256}
    if None in looks or len(looks) == 1 or not _are_alike(first, second):
        raise InvalidInput(Problem("pictures", NO_PAIR))
    answers = {first_id: Answer.FIRST, second_id: Answer.SECOND, None: Answer.SKIPPED}
    key = {"first_job_id": first_id, "second_job_id": second_id, "rater": rater.marks[0]}
    values = {"answer": answers[nearer], "owner_id": visitor.person_id}
    added = insert(session, Comparison).values(**key, **values)
    if nearer is None:
        session.execute(added.on_conflict_do_nothing(index_elements=list(key)))
    else:
        session.execute(added.on_conflict_do_update(index_elements=list(key), set_=values))


def rank(session: Session, visitor: Visitor) -> Ranking:
    """Rank the looks of the jobs that a visitor sees, by all answers on these."""
    counts = _count_choices(session, visitor)
    looks = _list_compared(counts)
    numbers = {look: number for number, look in enumerate(looks)}
    wins = np.zeros((len(looks), len(looks)))
    for (winner, loser), count in counts.items():
        if winner in numbers and loser in numbers:
            wins[numbers[winner], numbers[loser]] = count
    fitted = bradley_terry.fit(wins)
    examples = _find_examples(session, looks, visitor)
    scores = ratings.compute_look_scores(session, looks, visitor)
    ranked = [
        Ranked(
            look=look,
            example=examples[look].id,
            settings=describe_look(Recipe.model_validate(examples[look].recipe)),
            chosen=int(wins[number].sum()),
            answers=int(wins[number].sum() + wins[:, number].sum()),
            strength=float(fitted.logarithms[number]),
            error=float(fitted.errors[number]),
            score=scores.get(look, Score()),
        )
        for look, number in numbers.items()
        if look in examples
    ]
    ranked.sort(key=lambda each: (-each.strength, each.look))
    skipped = session.scalar(_match_visible(select(func.count()), visitor).where(_SKIPPED)) or 0
    return Ranking(ranked, sum(counts.values()), skipped)


_first, _second = aliased(Job), aliased(Job)
_SKIPPED: ColumnElement[bool] = Comparison.answer == Answer.SKIPPED


def _match_visible(query: Any, visitor: Visitor) -> Any:
    """Limit a query to the answers on pictures that a visitor sees."""
    return (
        query.select_from(Comparison)
        .join(_first, _first.id == Comparison.first_job_id)
        .join(_second, _second.id == Comparison.second_job_id)
        .where(visitor.match_visible(_first.owner_id), visitor.match_visible(_second.owner_id))
    )


def _count_choices(session: Session, visitor: Visitor) -> dict[tuple[str, str], int]:
    """Count how often each look was chosen over each other, by (chosen, other). A picture without a
    look counts for none."""
    columns = (_first.look_sha256, _second.look_sha256, Comparison.answer)
    query = _match_visible(select(*columns, func.count()), visitor).where(
        ~_SKIPPED, _first.look_sha256.is_not(None), _second.look_sha256.is_not(None)
    )
    found: dict[tuple[str, str], int] = {}
    for first, second, answer, number in session.execute(query.group_by(*columns)):
        key = (first, second) if answer is Answer.FIRST else (second, first)
        found[key] = found.get(key, 0) + number
    return found


def _list_compared(counts: dict[tuple[str, str], int]) -> list[str]:
    """List the looks that were compared, those with most answers first."""
    totals: dict[str, int] = {}
    for pair, count in counts.items():
        for look in pair:
            totals[look] = totals.get(look, 0) + count
    return sorted(totals, key=lambda look: (-totals[look], look))[:MAX_RANKED]


def _find_examples(session: Session, looks: Iterable[str], visitor: Visitor) -> dict[str, Job]:
    """Find a finished job of each look."""
    finished = select(func.max(Job.id)).where(*_match_finished(visitor), Job.look_sha256.in_(looks))
    found = select(Job).where(Job.id.in_(finished.group_by(Job.look_sha256)))
    return {str(job.look_sha256): job for job in session.scalars(found)}


def describe_look(recipe: Recipe) -> dict[str, object]:
    """Return the settings of a look that are not their version's defaults, by name."""
    usual = Recipe.parse({"version": recipe.version}).model_dump(mode="json")
    given = recipe.model_dump(mode="json", exclude=NOT_LOOK)
    # Settings newer than the version are in neither dump where they have their defaults.
    changed = {name: value for name, value in given.items() if name not in usual or value != usual[name]}
    return changed if recipe.version == NEWEST else {"version": recipe.version, **changed}
