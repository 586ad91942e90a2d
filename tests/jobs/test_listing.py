"""Lists on both databases: what is in them, in what order, and pages that follow each other."""

from __future__ import annotations

import base64
import json
from itertools import pairwise, product

import pytest
from sqlalchemy import event, select, update

from farm.database import sessions
from farm.database.base import now
from farm.database.models import Exploration, Job, State
from farm.errors import InvalidInput
from farm.jobs import lists
from farm.jobs.lists import ListQuery, Sort
from tests.jobs.test_jobs import make_job, to_state

pytestmark = pytest.mark.usefixtures("database")


def page(asked: ListQuery | None = None, cursor: str | None = None, limit: int = 3) -> lists.Page:
    with sessions.read_session() as session:
        return lists.page(session, asked or ListQuery(), cursor=cursor, limit=limit)


def names(found: lists.Page) -> list[str]:
    return [job.name for job in found.jobs]


def found(q: str) -> list[str]:
    return sorted(names(page(ListQuery(q=q), limit=100)))


def into_an_exploration(job_id: str) -> None:
    with sessions.write_session() as session:
        grid = Exploration(name="grid", recipe={}, across={}, down={})
        session.add(grid)
        session.flush()
        session.execute(update(Job).where(Job.id == job_id).values(exploration_id=grid.id))


def test_pages_follow_each_other_both_ways_without_gap_or_overlap() -> None:
    # Given eight jobs, some made at one moment and some of one name
    ids = [make_job(name) for name in ("b", "a", "c", "a", "B", "d", "e", "a")]
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.id.in_(ids[:4])).values(created_at=now()))
    for state, sort in product((None, State.QUEUED), Sort):
        asked = ListQuery(state=state, sort=sort)
        every = [job.id for job in page(asked, limit=100).jobs]
        assert sorted(every) == sorted(ids)
        # When its pages are followed to the end
        pages = [page(asked)]
        while pages[-1].next_cursor:
            pages.append(page(asked, pages[-1].next_cursor))
        # Then all are there in order
        assert [job.id for each in pages for job in each.jobs] == every
        assert [len(each.jobs) for each in pages] == [3, 3, 2]
        # And the way back shows the same pages
        assert pages[0].previous_cursor is None
        for earlier, later in pairwise(pages):
            back = page(asked, later.previous_cursor)
            assert [job.id for job in back.jobs] == [job.id for job in earlier.jobs]
            assert back.next_cursor
            assert (back.previous_cursor is None) is (earlier is pages[0])


def test_what_comes_first_is_the_newest_the_oldest_or_the_first_by_name() -> None:
    for name in ("bridge", "Über allem", "Apple", "upper", "zebra"):
        make_job(name)
    assert names(page(limit=2)) == ["zebra", "upper"]
    assert names(page(ListQuery(sort=Sort.OLDEST), limit=2)) == ["bridge", "Über allem"]
    by_name = names(page(ListQuery(sort=Sort.NAME), limit=9))
    assert by_name == ["Apple", "bridge", "Über allem", "upper", "zebra"]


def test_a_job_that_comes_or_goes_between_two_pages_shifts_nothing() -> None:
    ids = [make_job(str(number)) for number in range(6)]
    first = page()
    make_job("new")
    with sessions.write_session() as session:
        session.delete(session.get_one(Job, ids[3]))  # the last of the first page, whose place is told
    assert names(page(cursor=first.next_cursor)) == ["2", "1", "0"]


def test_a_page_whose_jobs_are_all_gone_is_empty() -> None:
    for number in range(4):
        make_job(str(number))
    cursor = page().next_cursor
    with sessions.write_session() as session:
        for job in session.scalars(select(Job)).unique():
            session.delete(job)
    assert page(cursor=cursor) == lists.Page([], None, None)


def test_a_list_and_its_counts_can_be_of_one_state_and_leave_out_explorations() -> None:
    failed, queued, cell = to_state(State.FAILED), make_job(), make_job()
    into_an_exploration(cell)
    assert [job.id for job in page(ListQuery(State.QUEUED)).jobs] == [queued]
    assert [job.id for job in page(ListQuery(State.QUEUED, "pict")).jobs] == [queued]
    assert [job.id for job in page(ListQuery(State.FAILED)).jobs] == [failed]
    assert {job.id for job in page().jobs} == {failed, queued}
    with sessions.read_session() as session:
        counts = lists.count_by_state(session)
    assert list(counts) == list(State)
    assert {state: count for state, count in counts.items() if count} == {
        State.FAILED: 1,
        State.QUEUED: 1,
    }


def test_a_search_finds_part_of_a_name_without_regard_to_capitals_and_accents() -> None:
    for name in ("Lake at dusk", "LAKES", "bridge", "Über den Dächern", "Straße"):
        make_job(name)
    assert found("lake") == found(" LaKe ") == ["LAKES", "Lake at dusk"]
    assert found("dach") == found("DÄCH") == found("über den") == ["Über den Dächern"]
    assert found("STRASSE") == ["Straße"]
    assert found("lakes at") == []
    with sessions.read_session() as session:
        assert lists.count_by_state(session, "LAKE")[State.QUEUED] == 2
        assert sum(lists.count_by_state(session, "none such").values()) == 0


def test_a_wildcard_in_a_search_means_itself() -> None:
    make_job("plain")
    for q in ("%", "_", "/", "\\", "[a-z]", "*", "?", "'", '"'):
        make_job(f"with {q} in it")
        assert found(q) == [f"with {q} in it"]


def test_the_longest_names_are_searched_sorted_and_paged() -> None:
    for letter in "ab":
        make_job(letter + "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 119)
    first = page(ListQuery(sort=Sort.NAME), limit=1)
    assert first.next_cursor
    assert len(first.next_cursor) <= lists.CURSOR_LENGTH
    assert names(page(ListQuery(sort=Sort.NAME), first.next_cursor))[0].startswith("b")


def forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


ID = "a" * 32


MADE_UP = (
    "x",
    "%%%",
    "eA",
    "AAAA",
    "\u00e9",
    "A" * 100_000,
    base64.urlsafe_b64encode(b"[" * 1500).decode(),
    forged(),
    forged(False, ListQuery().mark, "2026-01-01", "no id"),
    forged(False, ListQuery().mark, "yesterday", ID),
    forged(False, ListQuery().mark, "0001-01-01T00:00:00+14:00", ID),
    forged(False, ListQuery().mark, 7, ID),
    forged("no", ListQuery().mark, "2026-01-01", ID),
)


def test_a_made_up_cursor_or_a_search_that_is_none_is_refused() -> None:
    for cursor in MADE_UP:
        with pytest.raises(InvalidInput, match="cursor: is not one"):
            page(cursor=cursor)
    for q in ("x" * 121, "a\0b", "a\ud800"):
        with pytest.raises(InvalidInput, match="q: has"):
            ListQuery(q=q)
    by_name = ListQuery(sort=Sort.NAME)
    for value in ("a\0b", "\ud800", "x" * 1000):
        with pytest.raises(InvalidInput, match="cursor: is not one"):
            page(by_name, forged(False, by_name.mark, value, ID))


def test_a_cursor_of_another_list_is_refused() -> None:
    for name in "abcd":
        make_job(name)
    cursor = page().next_cursor
    for other in (
        ListQuery(sort=Sort.OLDEST),
        ListQuery(sort=Sort.NAME),
        ListQuery(q="a"),
        ListQuery(State.QUEUED),
    ):
        with pytest.raises(InvalidInput, match="belongs to a list of another sort, search or state"):
            page(other, cursor)


def test_a_page_is_one_query_found_in_an_index_and_loads_no_pictures() -> None:
    for _ in range(3):
        make_job()
    asked_for: list[str] = []

    def listen(connection, cursor, statement, *rest) -> None:
        asked_for.append(statement)

    event.listen(sessions.engine(), "before_cursor_execute", listen)
    for sort, q, state in product(Sort, ("", "ict"), (None, State.QUEUED)):
        assert len(page(ListQuery(state, q, sort)).jobs) == 3
    event.remove(sessions.engine(), "before_cursor_execute", listen)
    asked_for = [statement for statement in asked_for if statement.startswith("SELECT")]
    assert len(asked_for) == 12
    assert "uploads" not in " ".join(asked_for)


def test_every_list_can_be_read_in_order_from_a_covering_index(database: str) -> None:
    plans = []
    with sessions.read_session() as session:
        connection = session.connection()
        if database == "postgres":  # which else would not look at an index of an empty table
            for other in ("seqscan", "bitmapscan", "sort"):
                connection.exec_driver_sql(f"SET LOCAL enable_{other} = off")
        for sort, q, state, owner in product(Sort, ("", "ict"), (None, State.QUEUED), (None, 7)):
            start = lists.Place(False, "a" if sort is Sort.NAME else now(), ID)
            query = lists._select_ids(ListQuery(state, q, sort, owner), start)
            text = str(query.compile(sessions.engine(), compile_kwargs={"literal_binds": True}))
            explain = "EXPLAIN QUERY PLAN " if database == "sqlite" else "EXPLAIN "
            rows = connection.exec_driver_sql(explain + text).all()
            plans.append("\n".join(str(row[-1]) for row in rows))
    for plan in plans:
        assert "USING COVERING INDEX" in plan or "Index Only Scan" in plan
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan
