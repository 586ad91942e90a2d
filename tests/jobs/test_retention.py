"""Ended jobs are deleted by age and by size: the oldest first, those with stars last, and never more
than was said beforehand."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from farm.database import sessions
from farm.database.base import now
from farm.database.models import Exploration, Job, State
from farm.jobs import actions, holdings, ratings, retention, states
from farm.jobs.holdings import Part
from farm.jobs.retention import Rules
from farm.jobs.states import AttemptRef
from farm.storage import storage
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import claim, make_job, state

pytestmark = pytest.mark.usefixtures("database")

DAYS = Rules(days=30)
EXPLORATION = "e" * 32


def ended(name: str, days: float, size: int = 10, exploration_id: str | None = None) -> str:
    """A finished job that was submitted, and ended, so long ago, with a result of so many bytes."""
    job_id = make_job(name)
    assert claim() is not None
    storage().put(f"jobs/{job_id}/1/result.png", b"1" * size)
    moment = now() - timedelta(days=days)
    with sessions.write_session() as session:
        states.succeed(session, AttemptRef(job_id, 1), {}, size)
        values = {"created_at": moment, "finished_at": moment, "exploration_id": exploration_id}
        session.execute(update(Job).where(Job.id == job_id).values(values))
    return job_id


def grid(days: float, *cells: float) -> list[str]:
    """An exploration that was submitted so long ago, whose cells ended later."""
    made = Exploration(id=EXPLORATION, name="grid", recipe={}, across={}, down={})
    with sessions.write_session() as session:
        session.add(made)
        session.flush()
        made.created_at = now() - timedelta(days=days)
    return [ended("cell", each, exploration_id=EXPLORATION) for each in cells]


def rate(job_id: str) -> None:
    with sessions.write_session() as session:
        ratings.rate(session, job_id, ratings.Rater.from_name("me"), 5)


def due(rules: Rules, limit: int = 100) -> list[str]:
    """What is deleted now, which is also what is said beforehand."""
    with sessions.read_session() as session:
        found = retention.list_due(session, rules, limit)
        assert found == retention.list_due(session, rules, limit, holdings.measure(session))
    return [item.name for item in found]


def left() -> set[str]:
    with sessions.read_session() as session:
        return {job.name for job in session.scalars(select(Job))}


def test_by_age_the_oldest_go_first_and_those_with_stars_last() -> None:
    # Given jobs old and new, and one that is old but ended yesterday
    for name, days in (("b", 50), ("a", 60), ("new", 29), ("late", 40)):
        ended(name, days)
    rate(ended("starred", 99))
    waited = make_job("waits")
    with sessions.write_session() as session:
        old = now() - timedelta(days=200)
        session.execute(update(Job).where(Job.id == waited).values(created_at=old))
        session.execute(update(Job).where(Job.name == "late").values(finished_at=now()))
    # Then this is what would be deleted, and it is shown first
    assert due(DAYS) == ["a", "b", "starred"]
    assert due(DAYS, limit=2) == ["a", "b"]
    with sessions.read_session() as session:
        plan = retention.plan(session, DAYS, holdings.measure(session))
    assert (plan.pictures, plan.starred, plan.size_bytes, plan.has_more) == (3, 1, 30, False)
    assert plan.oldest is not None
    assert plan.newest is not None
    assert plan.oldest < plan.newest
    # When some are deleted at a time, it is as was said, with their files
    assert [item.name for item in retention.forget_some(DAYS, 2)] == ["a", "b"]
    assert left() == {"new", "late", "starred", "waits"}
    assert [item.name for item in retention.forget_some(DAYS, 2)] == ["starred"]
    assert retention.forget_some(DAYS) == []
    assert left() == {"new", "late", "waits"}
    assert len(storage().list_keys()) == 2


def test_by_size_only_as_many_go_as_have_to() -> None:
    for name, days in (("a", 3), ("b", 2), ("c", 1)):
        ended(name, days)
    rate(ended("starred", 9))
    assert due(Rules(size_bytes=40)) == []
    assert due(Rules(size_bytes=39)) == ["a"]
    assert due(Rules(size_bytes=20)) == ["a", "b"]
    assert due(Rules(size_bytes=1)) == ["a", "b", "c", "starred"]
    # What goes by age is taken into account, and goes once
    assert due(Rules(days=2.5, size_bytes=20)) == ["a", "starred"]
    assert due(Rules(days=2.5, size_bytes=10)) == ["a", "starred", "b"]
    retention.forget_some(Rules(size_bytes=25))
    assert left() == {"c", "starred"}
    assert retention.forget_some(Rules(size_bytes=25)) == []


def test_an_exploration_goes_as_a_whole_when_its_last_cell_is_old_enough() -> None:
    ended("older", 45)
    ended("younger", 35)
    cells = grid(40, 39, 25)
    assert due(DAYS) == ["older", "younger"]
    assert due(Rules(days=20)) == ["older", "grid", "younger"]
    assert due(Rules(size_bytes=10)) == ["older", "grid"]
    # Stars on one cell keep all of it longest
    rate(cells[0])
    assert due(Rules(days=20)) == ["older", "younger", "grid"]
    # It is one thing to delete, of two pictures
    items = retention.forget_some(Rules(days=20))
    assert [(item.name, item.pictures, item.size_bytes) for item in items][2] == ("grid", 2, 20)
    assert left() == set()
    assert storage().list_keys() == []
    with sessions.read_session() as session:
        assert session.scalar(select(func.count()).select_from(Exploration)) == 0


def test_an_exploration_at_work_stays() -> None:
    grid(40, 39)
    make_job("cell at work")
    with sessions.write_session() as session:
        session.execute(update(Job).values(exploration_id=EXPLORATION))
    assert due(Rules(days=1, size_bytes=1)) == []


def test_while_sizes_are_not_known_nothing_goes_by_size() -> None:
    ended("a", 3)
    ended("b", 40)
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.name == "a").values(stored_bytes=None))
    assert due(Rules(days=30, size_bytes=1)) == ["b"]
    with sessions.read_session() as session:
        held = holdings.measure(session)
        assert retention.plan(session, Rules(size_bytes=1), held).unknown == 1
        assert retention.plan(session, DAYS, held).unknown == 0


def test_two_janitors_delete_no_more_than_one_would(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given twenty pictures, of which ten are too many, and two janitors that begin at once
    for number in range(20):
        ended(f"{number:02}", 100 - number)
    rules, together = Rules(size_bytes=100), threading.Barrier(2, timeout=60)
    delete = actions.delete

    def delete_together(job_id: str) -> Job:
        if job_id not in begun:
            together.wait()
        begun.add(job_id)
        return delete(job_id)

    begun: set[str] = set()
    with sessions.read_session() as session:
        first = retention.list_due(session, rules, 100)[0].id
    monkeypatch.setattr(
        actions, "delete", lambda job_id: delete_together(job_id) if job_id == first else delete(job_id)
    )
    deleted: list[str] = []
    janitors = [
        threading.Thread(target=lambda: deleted.extend(i.name for i in retention.forget_some(rules)))
        for _ in range(2)
    ]
    for janitor in janitors:
        janitor.start()
    for janitor in janitors:
        janitor.join()
    # Then each picture is deleted once, and the ten newest stay
    assert sorted(deleted) == [f"{number:02}" for number in range(10)]
    assert left() == {f"{number:02}" for number in range(10, 20)}


def test_a_job_that_is_retried_meanwhile_stays() -> None:
    job_id = make_job("again")
    with sessions.write_session() as session:
        states.cancel(session, job_id)
        old = now() - timedelta(days=99)
        session.execute(update(Job).values(created_at=old, finished_at=old))
    with sessions.read_session() as session:
        (item,) = retention.list_due(session, DAYS, 5)
    actions.retry(job_id, send=lambda _: True)
    assert not retention._forget(item)
    assert state(job_id) is State.QUEUED


def test_by_default_nothing_is_ever_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    ended("old", 9999)
    assert Rules.from_settings().keep_all
    assert retention.forget_by_settings() == []
    # And the operator's rules are kept to
    monkeypatch.setenv("FARM_KEEP_GB", "0.000001")
    fresh_settings()
    assert retention.forget_by_settings() == []
    monkeypatch.setenv("FARM_KEEP_DAYS", "10000")
    fresh_settings()
    assert retention.forget_by_settings() == []
    monkeypatch.setenv("FARM_KEEP_DAYS", "100")
    fresh_settings()
    assert [item.name for item in retention.forget_by_settings()] == ["old"]


def test_the_sums_say_what_is_held_and_by_what() -> None:
    ended("finished", 1, 500)
    failed = make_job("failed")
    with sessions.write_session() as session:
        states.cancel(session, failed)
        session.execute(update(Job).where(Job.id == failed).values(stored_bytes=30))
    make_job("waits")
    with sessions.read_session() as session:
        found = holdings.read(session)
    assert (found.finished, found.unfinished, found.at_work) == (Part(1, 500), Part(1, 30), Part(1, 0))
    assert (found.uploads, found.unused_uploads, found.unknown) == (Part(1, 1), Part(0, 0), 0)
    assert (found.job_bytes, found.total_bytes) == (530, 531)
    # Whoever asks after the janitor added up gets its sums, and none adds up again at once
    kept = holdings.refresh()
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.name == "finished").values(stored_bytes=1000))
    with sessions.read_session() as session:
        assert holdings.read(session) == kept == holdings.refresh()
        assert holdings.measure(session).finished == Part(1, 1000)


def test_sums_that_nobody_renewed_for_long_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    holdings.refresh()
    ended("since then", 1, 500)
    read = sessions.read_clock
    later = timedelta(seconds=holdings.OVERDUE + holdings.LEAST_PAUSE + 1)
    monkeypatch.setattr(sessions, "read_clock", lambda session: read(session) + later)
    with sessions.read_session() as session:
        assert holdings.read(session).finished == Part(1, 500)
    assert holdings.refresh().finished == Part(1, 500)
