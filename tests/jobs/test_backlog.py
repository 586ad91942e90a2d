"""The backlog on both databases: counts, obstacles, the time until it is done, pages, and the audit."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from farm.database import sessions
from farm.database.fleet import Worker
from farm.database.models import WorkClass
from farm.database.people import Person
from farm.errors import InvalidInput
from farm.fleet import registry
from farm.jobs import backlog
from farm.jobs.backlog import Backlog
from farm.people import accounts, audit, quotas
from tests.jobs.test_claims import change, end, make, make_person, see, take

pytestmark = pytest.mark.usefixtures("database")


def read() -> Backlog:
    with sessions.read_session() as session:
        return backlog.read(session)


def measure_speed(name: str, seconds_per_megapixel: float) -> None:
    with sessions.write_session() as session:
        mine = update(Worker).where(Worker.name == name)
        session.execute(mine.values(seconds_per_megapixel=seconds_per_megapixel))


def test_it_is_counted_by_class_and_person() -> None:
    ada, bob = make_person("Ada"), make_person("Bob")
    for size in (256, 1024, 1024):
        make(ada, size=size)
    make(size=4096)
    make(bob)
    see("gpu0@a")
    taken = take()
    found = read()
    assert taken is not None
    assert found.everybody.running == 1
    assert found.everybody.total == 4
    assert set(found.everybody.waiting) == set(WorkClass)
    assert found.everybody.oldest is not None
    held = {ada: "Ada", bob: "Bob"}.get(taken.job.owner_id or 0)
    counts = {person.name: (person.total, person.running) for person in found.people}
    assert sum(total for total, _ in counts.values()) == 4
    assert counts[held][1] == 1
    # What a person used lately is said while they have something
    end(taken)
    assert read().everybody.running == 0


def test_the_time_until_it_is_done_follows_the_workers_speeds() -> None:
    assert read().seconds == 0
    for _ in range(4):
        make()
    see("gpu0@a")
    assert read().seconds is None
    measure_speed("gpu0@a", 2.0)
    alone = read().seconds
    assert alone
    see("gpu1@a")
    measure_speed("gpu1@a", 2.0)
    assert read().seconds == pytest.approx(alone / 2)
    with sessions.write_session() as session:
        registry.release_name(session, "gpu0@a")
    assert read().seconds == pytest.approx(alone)


def test_many_jobs_are_estimated_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    see("gpu0@a")
    measure_speed("gpu0@a", 2.0)
    for _ in range(6):
        make()
    exact = read().seconds
    monkeypatch.setattr(backlog, "SAMPLE", 3)
    assert read().seconds == pytest.approx(exact)


def test_obstacles_are_told_once_for_each_reason() -> None:
    see("gpu0@a", classes=["preview", "standard"], tags=["day"])
    see("gpu1@a", classes=["preview", "standard"], state="paused")
    for _ in range(2):
        make(tag="night")
    large = make(size=4096)
    make()
    assert [(each.count, each.reason.split(".")[0]) for each in read().obstacles] == [
        (2, "No worker has the tag night"),
        (1, "No worker takes large pictures"),
    ]
    assert read().obstacles[1].job_id == large


def test_pages_of_what_waits_are_in_the_order_of_priority_then_age() -> None:
    jobs = [make(priority=priority) for priority in (0, 0, 5, 0, -3)]
    found: list[str] = []
    cursor = None
    for _ in range(3):
        with sessions.read_session() as session:
            page = backlog.list_waiting(session, cursor, limit=2)
        found += [job.id for job in page.jobs]
        cursor = page.next_cursor
    assert found == [jobs[2], jobs[0], jobs[1], jobs[3], jobs[4]]
    assert cursor is None


@pytest.mark.parametrize("cursor", ["x", "1_2_3", "0_2026-01-01_" + "z" * 32, "\x00", "9" * 500])
def test_a_wrong_cursor_is_named(cursor: str) -> None:
    with sessions.read_session() as session, pytest.raises(InvalidInput, match="cursor"):
        backlog.list_waiting(session, cursor, 2)


def test_what_is_at_work_tells_its_worker() -> None:
    see("gpu0@a")
    taken = make()
    assert take() is not None
    with sessions.read_session() as session:
        assert [(job.id, worker) for job, worker in backlog.list_at_work(session)] == [(taken, "gpu0@a")]


def test_quotas_of_all_are_measured_together() -> None:
    ada, bob = make_person("Ada", max_running=2), make_person("Bob")
    change(make(ada), stored_bytes=7)
    change(make(ada), stored_bytes=5)
    see("gpu0@a")
    assert take() is not None
    with sessions.read_session() as session:
        people = accounts.list_all(session)
        found = quotas.measure_all(session, people)
        for person in people:
            assert found[person.id] == quotas.measure(session, session.get_one(Person, person.id))
    assert (found[ada].running.used, found[ada].running.limit) == (1, 2)
    assert (found[ada].waiting.used, found[ada].stored_bytes.used) == (1, 12)
    assert (found[bob].waiting.used, found[bob].stored_bytes.used) == (0, 0)


def test_the_audit_is_searched_and_paged() -> None:
    with sessions.write_session() as session:
        for number in range(5):
            audit.record(session, "Olga", "pause worker", f"gpu{number}@attic")
        audit.record(session, "Ada", "change role", "50%_Bob")
    with sessions.read_session() as session:
        first = audit.list_newest(session, 2, q="OLGA")
        after = audit.list_newest(session, 3, q="olga", before=first.before)
        assert [line.subject[:4] for line in (*first.lines, *after.lines)] == [
            f"gpu{number}" for number in (4, 3, 2, 1, 0)
        ]
        assert after.before is None
        assert len(audit.list_newest(session, q="0%_b").lines) == 1
        assert not audit.list_newest(session, q="%a%").lines
        with pytest.raises(InvalidInput):
            audit.list_newest(session, q="\x00")
