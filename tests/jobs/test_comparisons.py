"""Blind comparisons on both databases: which pictures are a pair, who answers what, and the ranks."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, PictureRole, State, Upload
from farm.database.opinions import Answer, Comparison
from farm.database.people import Role
from farm.errors import InvalidInput, NotFound, WrongState
from farm.jobs import actions, bradley_terry, comparisons, job_rows, ratings
from farm.jobs.ratings import Rater
from farm.people import accounts
from farm.people.visitors import ANYBODY, Visitor
from farm.recipe import Recipe
from farm.recipe.recipe import NOT_LOOK
from farm.recipe.versions import NEWEST, SETTINGS_OF

# Settings that came after the newest version, each with a value that is not its default.
LATER = {
    "colour": "photograph",
    "colour_strength": 0.5,
    "content_target": "attention",
    "stroke_direction": "photograph",
}
ANN, BOB = Rater.from_name("ann"), Rater.from_name("bob")


def finish(
    session: Session,
    photograph: str = "c",
    owner: int | None = None,
    guides: dict[PictureRole, str] | None = None,
    **recipe: object,
) -> Job:
    """Add a finished picture; guides: the letter of one map for each role."""

    def add(letter: str) -> Upload:
        return session.merge(Upload(sha256=letter * 64, width=400, height=300, size_bytes=1))

    content, style = add(photograph), add("d")
    job = job_rows.create(
        session,
        owner_id=owner,
        name="secret name",
        recipe=Recipe.parse({"size": 256, **recipe}),
        content=content,
        styles=[style],
        guides={role: [add(letter)] for role, letter in (guides or {}).items()},
    )
    job.state = State.SUCCEEDED
    session.flush()
    return job


def answer(job: Job, other: Job, nearer: Job | None, rater: Rater = ANN) -> None:
    with sessions.write_session() as session:
        shown, chosen = [job.id, other.id], nearer.id if nearer else None
        comparisons.record_answer(session, shown, chosen, rater, ANYBODY)


def choose(rater: Rater = ANN, visitor: Visitor = ANYBODY) -> set[str]:
    with sessions.read_session() as session:
        pair = comparisons.choose_pair(session, rater, visitor)
    return {pair.left.id, pair.right.id} if pair else set()


@pytest.mark.usefixtures("database")
def test_a_pair_differs_in_its_look_alone_and_is_shown_to_a_rater_once() -> None:
    # Given one picture, and others that differ in more than the look, or not in the look
    with sessions.write_session() as session:
        one = finish(session)
        finish(session, seed=5)
        finish(session, photograph="e", style_scale=2)
        finish(session, size=128, style_scale=2)
        finish(session, preset="draft", style_scale=2)
        finish(session, guides={PictureRole.MASK: "a"}, style_scale=2)
        finish(session, guides={PictureRole.KEEP: "b"}, style_scale=3)
        finish(session, stroke_arrows=[(0, 0, 1, 1)], style_scale=2)
        other = finish(session, photograph="f", style_scale=2)
    assert choose() == set()

    # When there are two pairs
    with sessions.write_session() as session:
        partner = finish(session, photograph="f")
    answer(other, partner, other)

    # Then each rater sees only what they have not answered, skipped or not
    assert choose() == set()
    assert choose(BOB) == {other.id, partner.id}
    answer(partner, other, None, BOB)
    assert choose(BOB) == set()
    for job in (one, other):
        with pytest.raises(InvalidInput, match="no pair"):
            answer(one, job, one)


@pytest.mark.usefixtures("database")
def test_sides_are_by_lot_and_the_least_answered_pair_comes_first() -> None:
    with sessions.write_session() as session:
        one, other, third = (finish(session, style_scale=scale) for scale in (1, 2, 3))
    random.seed(1)
    for _ in range(3):
        answer(one, other, one, Rater.from_name(f"rater {random.random()}"))
    shown = [choose(BOB) for _ in range(20)]
    assert {one.id, other.id} not in shown
    with sessions.read_session() as session:
        pairs = [comparisons.choose_pair(session, BOB, ANYBODY) for _ in range(40)]
    lefts = {pair.left.id for pair in pairs if pair}
    assert lefts == {one.id, other.id, third.id}


@pytest.mark.usefixtures("database")
def test_an_answer_is_stored_once_and_may_be_changed() -> None:
    with sessions.write_session() as session:
        one, other = finish(session), finish(session, style_scale=2)
    first, second = sorted((one, other), key=lambda job: job.id)
    answer(second, first, second)
    answer(first, second, first)
    answer(second, first, None)  # too late to skip
    answer(second, first, None, BOB)
    with sessions.read_session() as session:
        rows = {row.rater: row.answer for row in session.scalars(select(Comparison))}
        assert rows == {"ann": Answer.FIRST, "bob": Answer.SKIPPED}
        found = comparisons.rank(session, ANYBODY)
    assert (found.answers, found.skipped) == (1, 1)
    assert [(each.example, each.chosen) for each in found.looks] == [(first.id, 1), (second.id, 0)]
    # And goes with its pictures
    actions.delete(first.id)
    with sessions.read_session() as session:
        assert list(session.scalars(select(Comparison))) == []


@pytest.mark.usefixtures("database")
def test_only_what_is_finished_and_seen_is_compared() -> None:
    with sessions.write_session() as session:
        person = accounts.add(session, "Ada", Role.USER, by="a test")
        ada = Visitor(person.id, "Ada", Role.USER)
        one, other = finish(session), finish(session, style_scale=2)
        mine = [finish(session, owner=person.id, tv_weight=weight) for weight in (1, 2)]
        waiting = finish(session, style_scale=3)
        waiting.state = State.QUEUED
    answer(one, other, one)
    assert choose(BOB, ada) == {job.id for job in mine}
    with pytest.raises(NotFound), sessions.write_session() as session:
        comparisons.record_answer(session, [one.id, mine[0].id], None, ANN, ada)
    with pytest.raises(WrongState):
        answer(one, waiting, one)
    with pytest.raises(InvalidInput, match="must be one of the two"):
        answer(one, other, waiting)
    # A person's answer is theirs, and their ranks are of what they see
    with sessions.write_session() as session:
        comparisons.record_answer(
            session, [job.id for job in mine], mine[0].id, Rater.from_browser(None, ada), ada
        )
        assert [row.owner_id for row in session.scalars(select(Comparison))] == [None, person.id]
        assert comparisons.rank(session, ada).answers == 1
        assert comparisons.rank(session, ANYBODY).answers == 2
        accounts.remove(session, "Ada", by="a test")
    with sessions.read_session() as session:
        assert [row.owner_id for row in session.scalars(select(Comparison))] == [None, None]


@pytest.mark.usefixtures("database")
def test_scores_of_looks_are_of_the_pictures_that_a_visitor_sees() -> None:
    # Given pictures of one look and of another, Ada's and somebody else's
    with sessions.write_session() as session:
        person = accounts.add(session, "Ada", Role.USER, by="a test")
        ada = Visitor(person.id, "Ada", Role.USER)
        mine, other = (finish(session, owner=person.id, tv_weight=weight) for weight in (1, 2))
        others = finish(session, photograph="e", tv_weight=1)
        ratings.rate(session, mine.id, ANN, 5)
        ratings.rate(session, others.id, BOB, 1)
        comparisons.record_answer(session, [mine.id, other.id], mine.id, ANN, ada)
        # Then others' pictures count for whoever sees them alone
        for visitor, mean, count in ((ada, 5, 1), (ANYBODY, 3, 2)):
            opinion = ratings.compute_opinion(session, mine, visitor)
            scores = [each.score for each in comparisons.rank(session, visitor).looks]
            assert (opinion.look.mean, opinion.look.count) == (mean, count)
            assert [(each.mean, each.count) for each in scores if each.count] == [(mean, count)]


@pytest.mark.parametrize("setting", LATER)
def test_settings_that_came_after_their_version_are_named_where_they_differ(setting: str) -> None:
    later = Recipe.model_fields.keys() - SETTINGS_OF[NEWEST] - NOT_LOOK
    assert LATER.keys() == later, "each has its line in LATER, above"
    for version in ("0.1", "0.2"):
        recipe = Recipe.parse({"version": version, setting: LATER[setting]})
        old = {} if version == "0.2" else {"version": version}
        assert comparisons.describe_look(recipe) == {setting: LATER[setting]} | old


@pytest.mark.usefixtures("database")
def test_ranks_are_of_looks_whatever_picture_was_shown() -> None:
    with sessions.write_session() as session:
        usual, broad = finish(session), finish(session, style_scale=2)
        lake = finish(session, photograph="f")
        lake_broad = finish(session, photograph="f", style_scale=2)
        ratings.rate(session, broad.id, ANN, 5)
    answer(usual, broad, broad)
    answer(lake, lake_broad, lake_broad, BOB)
    with sessions.read_session() as session:
        first, second = comparisons.rank(session, ANYBODY).looks
    assert (first.settings, first.chosen, first.answers) == ({"style_scale": 2.0}, 2, 2)
    assert (first.score.mean, first.score.count) == (5.0, 1)
    assert (second.settings, second.chosen, second.answers) == ({}, 0, 2)
    assert second.share == pytest.approx(1 - first.share)
    assert 0 < first.interval[0] < 0.5 < first.share < first.interval[1] < 1


def test_strengths_are_where_the_likelihood_with_the_prior_is_greatest() -> None:
    wins = np.array([[0, 4, 1, 0], [1, 0, 3, 0], [2, 0, 0, 0], [0, 0, 0, 0]], dtype=float)
    fitted = bradley_terry.fit(wins)
    assert fitted.logarithms.sum() == pytest.approx(0)
    # What was never compared is where the prior has it, of which nobody knows much
    p = np.exp(fitted.logarithms - fitted.logarithms[3])
    assert fitted.errors[3] == fitted.errors.max() > 1.5 * fitted.errors[0]
    chances = p[:, None] / (p[:, None] + p)
    slope = (wins * (1 - chances) - wins.T * chances).sum(axis=1)
    slope += bradley_terry.PRIOR * (1 - 2 * p / (1 + p))
    assert np.abs(slope).max() < 1e-6


def test_one_that_always_won_stays_finite_and_nothing_to_rank_is_no_error() -> None:
    fitted = bradley_terry.fit(np.array([[0.0, 1000.0], [0.0, 0.0]]))
    assert fitted.logarithms[0] == pytest.approx(-fitted.logarithms[1])
    assert 1 < fitted.logarithms[0] < 10
    assert len(bradley_terry.fit(np.zeros((0, 0))).errors) == 0


def test_the_truth_lies_in_the_intervals() -> None:
    """In nearly all of 240 intervals: of 12 items, each pair compared 20 times."""
    truth = np.linspace(-1.5, 1.5, 12)
    chances = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    generator, inside = np.random.default_rng(3), []
    for _ in range(20):
        above = np.triu(generator.binomial(20, chances), 1)
        wins = (above + np.tril(20 - above.T, -1)).astype(float)
        fitted = bradley_terry.fit(wins)
        inside.append(np.abs(fitted.logarithms - truth) < comparisons.REACH * fitted.errors)
    assert 0.9 < np.mean(inside) <= 1
