"""Mean opinion scores: intervals with known answers, and raters who are strict or mild."""

from __future__ import annotations

import pytest

from farm.database import sessions
from farm.jobs import ratings, states
from farm.jobs.ratings import Rater
from farm.jobs.scores import Score, compute_t_quantile
from farm.people.visitors import ANYBODY
from tests.jobs.test_comparisons import finish


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (5, 2.571),
        (10, 2.228),
        (120, 1.980),
    ],
)
def test_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert compute_t_quantile(freedom) == pytest.approx(quantile, abs=0.001)


def test_an_interval_is_students() -> None:
    # mean 3, standard deviation sqrt(2.5), so 3 +- 2.776 * sqrt(2.5 / 5)
    assert Score.compute([1, 2, 3, 4, 5]) == Score(3.0, 5, 1.04, 4.96)


def test_one_opinion_has_no_interval_and_equal_ones_are_no_certainty() -> None:
    assert Score.compute([]) == Score(None, 0)
    assert Score.compute([4]) == Score(4.0, 1)
    assert Score.compute([4, 4]) == Score(4.0, 2, 1.41, 5.0)  # within the scale
    assert Score.compute([4] * 30) == Score(4.0, 30, 3.89, 4.11)


def test_a_strict_raters_bias_is_taken_out(database: str) -> None:
    # Given ann, who gives two stars less than bob, on three pictures that both rated
    with sessions.write_session() as session:
        jobs = [finish(session) for _ in range(5)]
        for job in jobs[:3]:
            ratings.rate(session, job.id, Rater.from_name("ann"), 2)
            ratings.rate(session, job.id, Rater.from_name("bob"), 4)
        # and cat, who shares too few pictures with others to have a bias
        for job in (jobs[0], jobs[4]):
            ratings.rate(session, job.id, Rater.from_name("cat"), 1)
        ratings.rate(session, jobs[3].id, Rater.from_name("ann"), 3)

        def score(number: int) -> Score:
            return ratings.compute_opinion(
                session, states.get(session, jobs[number].id), ANYBODY
            ).picture

        # Then where she rates alone, her strictness is taken out; where both do, they agree
        first_mean = 7 / 3  # of the first picture, where cat is one of three
        ann = (2 - first_mean + 2 - 3 + 2 - 3) / 3
        assert score(3).count == 1
        assert score(3).mean == pytest.approx(3 - ann, abs=0.005)
        both = score(1)
        assert (both.count, both.high) == (2, 5.0)
        assert both.low is not None
        assert both.low < 2
        assert both.mean == pytest.approx((2 - ann + 4 - ((4 - first_mean) + 2) / 3) / 2, abs=0.005)
        assert score(4) == Score(1.0, 1)
