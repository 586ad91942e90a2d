"""Lists of jobs: their order, their pages, what is found; and many jobs done to at once."""

from __future__ import annotations

import hashlib

import pytest

from farm import board, bulk, db, jobs
from farm.errors import InvalidInput
from farm.models import Exploration, Job, State, Upload
from farm.recipe import Recipe

pytestmark = pytest.mark.usefixtures("database")

NAMES = ["Bridge", "Alley", "Canal", "Bridge", "Dune", "50 % off", "a_b"]


def make_job(name: str) -> str:
    """A queued job; returns its id."""
    with db.writing() as session:
        upload = session.get(Upload, "0" * 64) or Upload(
            sha256="0" * 64, width=120, height=90, size_bytes=1
        )
        return jobs.create(
            session, name=name, recipe=Recipe(size=96), content=upload, styles=[upload]
        ).id


def pages(**asked: object) -> list[list[str]]:
    """The names on each page, from the first to the last."""
    found, cursor = [], None
    while True:
        with db.reading() as session:
            page = board.listed(session, cursor=cursor, limit=3, **asked)
        found.append([job.name for job in page.jobs])
        if (cursor := page.next_cursor) is None:
            return found


@pytest.mark.parametrize(
    ("sort", "expected"),
    [("newest", NAMES[::-1]), ("oldest", NAMES), ("name", None)],
)
def test_pages_follow_each_other_without_gap_or_overlap(sort: str, expected: list[str] | None) -> None:
    for name in NAMES:
        make_job(name)

    found = [name for page in pages(sort=sort) for name in page]

    if expected is None:  # each database has letters in an order of its own
        assert sorted(found) == sorted(NAMES)
        assert found.index("Alley") < found.index("Bridge") < found.index("Canal") < found.index("Dune")
    else:
        assert found == expected


@pytest.mark.parametrize("sort", ["newest", "oldest", "name"])
def test_one_can_leaf_back_to_the_first_page(sort: board.Sort) -> None:
    for name in NAMES:
        make_job(name)
    forth, back = [], []
    with db.reading() as session:
        page = board.listed(session, limit=3, sort=sort)
        assert page.previous_cursor is None
        while page.next_cursor:
            forth.append([job.id for job in page.jobs])
            page = board.listed(session, limit=3, sort=sort, cursor=page.next_cursor)
        while page.previous_cursor:
            page = board.listed(session, limit=3, sort=sort, cursor=page.previous_cursor)
            back.append([job.id for job in page.jobs])
            assert page.next_cursor
    assert forth == back[::-1]


def test_a_list_can_show_one_state() -> None:
    make_job("waits")
    cancelled = make_job("cancelled")
    with db.writing() as session:
        jobs.cancel(session, cancelled)
    with db.reading() as session:
        assert [job.id for job in board.listed(session, state=State.CANCELLED).jobs] == [cancelled]
        assert board.counts(session) == dict.fromkeys(State, 0) | {State.QUEUED: 1, State.CANCELLED: 1}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("bridge", {"Bridge"}),
        ("AL", {"Alley", "Canal"}),
        ("%", {"50 % off"}),
        ("_", {"a_b"}),
        ("\\", set()),
        ("nowhere", set()),
        ("", set(NAMES)),
    ],
)
def test_a_search_takes_what_is_typed_by_the_letter(search: str, expected: set[str]) -> None:
    for name in NAMES:
        make_job(name)
    assert {name for page in pages(search=search) for name in page} == expected
    with db.reading() as session:
        count = sum(board.counts(session, search).values())
    assert count == sum(name in expected for name in NAMES)


def test_the_cells_of_an_exploration_are_not_listed() -> None:
    cell, job = make_job("cell"), make_job("job")
    with db.writing() as session:
        session.add(Exploration(id="e" * 32, name="all", recipe={}, across={}, down={}))
        session.flush()
        session.get_one(Job, cell).exploration_id = "e" * 32
    with db.reading() as session:
        assert [found.id for found in board.listed(session).jobs] == [job]
        assert sum(board.counts(session).values()) == 1


@pytest.mark.parametrize("cursor", ["x", "%%%", "eA", "AAAA", "W10", "bnVsbA", "WzEsMiwzLDRd"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with db.reading() as session, pytest.raises(InvalidInput, match="cursor"):
        board.listed(session, cursor=cursor)


def test_a_cursor_of_another_order_is_refused() -> None:
    for name in NAMES:
        make_job(name)
    with db.reading() as session:
        cursor = board.listed(session, limit=3).next_cursor
        with pytest.raises(InvalidInput, match="another order"):
            board.listed(session, limit=3, cursor=cursor, sort="name")


def test_much_is_planned_before_it_is_done() -> None:
    # Given one that waits, one that was cancelled, and one that never was
    waits, cancelled, never = make_job("waits"), make_job("cancelled"), hashlib.md5(b"").hexdigest()
    with db.writing() as session:
        jobs.cancel(session, cancelled)
    asked = [waits, cancelled, never, waits]

    # When it is planned, nothing changes
    plan = bulk.plan("delete", asked)
    assert [(each.job.id, each.refusal is None) for each in plan] == [(waits, False), (cancelled, True)]
    assert "cancel it first" in str(plan[0].refusal)

    # When it is done, what was planned happens
    assert [each.refusal for each in bulk.act("delete", asked)] == [each.refusal for each in plan]
    with db.reading() as session:
        assert [job.id for job in board.listed(session).jobs] == [waits]


@pytest.mark.parametrize(("action", "expected"), [("cancel", State.CANCELLED), ("retry", State.QUEUED)])
def test_much_is_cancelled_and_retried(action: bulk.Action, expected: State) -> None:
    ids = [make_job(name) for name in NAMES]
    if action == "retry":
        bulk.act("cancel", ids)

    assert [each.refusal for each in bulk.act(action, ids)] == [None] * len(ids)

    with db.reading() as session:
        assert {jobs.state_of(session, job_id) for job_id in ids} == {expected}


def test_too_much_at_once_is_refused() -> None:
    with pytest.raises(InvalidInput, match="201 jobs; the limit is 200"):
        bulk.plan("delete", [f"{number:032x}" for number in range(201)])
