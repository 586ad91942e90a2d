"""Who takes what: fit, classes, tags, priority, shares between people, drafts; and nobody twice."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import event, update

from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.models import Job, WorkClass
from farm.database.people import Person, Share
from farm.fleet import queue, registry
from farm.jobs import claims, overtaking, shares, states
from farm.jobs.claims import Taker
from farm.jobs.states import Claim
from tests.jobs.test_jobs import machine, make_job

pytestmark = pytest.mark.usefixtures("database")


def make_person(name: str, **limits: int) -> int:
    with sessions.write_session() as session:
        person = Person(name=name, **limits)
        session.add(person)
        session.flush()
        return person.id


def change(job_id: str, **values: object) -> str:
    with sessions.write_session() as session:
        sessions.execute_count(
            session, update(Job).where(Job.id == job_id).values({"id": job_id} | values)
        )
    return job_id


def make(owner: int | None = None, size: int = 512, priority: int = 0, tag: str | None = None) -> str:
    return change(make_job(size=size, priority=priority), owner_id=owner, tag=tag)


def take(taker: Taker = Taker("gpu0@a")) -> Claim | None:  # noqa: B008
    with sessions.write_session() as session:
        return claims.claim(session, taker)


def take_id(taker: Taker = Taker("gpu0@a")) -> str | None:  # noqa: B008
    taken = take(taker)
    return taken.job.id if taken else None


def end(taken: Claim) -> None:
    with sessions.write_session() as session:
        states.fail(session, taken.attempt, "broken")


def see(name: str, **values: object) -> None:
    """Have a worker seen now."""
    with sessions.write_session() as session:
        registry.record_heartbeat(session, name, machine("CPU"))
        session.flush()
        values |= {"budget_bytes": 10**11}
        sessions.execute_count(session, update(Worker).where(Worker.name == name).values(values))


def must_step_aside(taken: Claim, taker: Taker = Taker("gpu0@a")) -> bool:  # noqa: B008
    with sessions.read_session() as session:
        return overtaking.must_step_aside(session, taken.attempt, taker)


def let_time_pass(seconds: float) -> None:
    """All that waits is older than it was."""
    with sessions.write_session() as session:
        for job in session.query(Job):
            job.created_at -= timedelta(seconds=seconds)
            if job.aside_at:
                job.aside_at -= timedelta(seconds=seconds)


# Fit ----------------------------------------------------------------------------------------------


def test_a_worker_takes_its_classes_alone() -> None:
    large = make(size=2500)
    assert take(Taker("a", frozenset({WorkClass.PREVIEW, WorkClass.STANDARD}))) is None
    assert take_id(Taker("b", frozenset({WorkClass.LARGE}))) == large


def test_a_job_with_a_tag_is_taken_by_a_worker_that_has_it() -> None:
    tagged = make(tag="night")
    plain = make()
    assert take_id(Taker("a")) == plain
    assert take(Taker("a", tags=frozenset({"day"}))) is None
    assert take_id(Taker("b", tags=frozenset({"day", "night"}))) == tagged


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_worker_takes_only_what_it_can_hold(kind: str) -> None:
    job_id = make(size=4096)
    with sessions.read_session() as session:
        job = states.get(session, job_id)
    least = job.least_cpu_bytes if kind == "cpu" else job.least_cuda_bytes
    assert least is not None
    small, large = (Taker("a", device_kind=kind, budget_bytes=budget) for budget in (least - 1, least))
    assert (small.can_take(job), large.can_take(job)) == (False, True)
    assert take(small) is None
    assert take_id(large) == job_id


def test_a_job_from_before_needs_were_known_is_tried_by_any_worker() -> None:
    job_id = change(make(size=4096), least_cpu_bytes=None)
    assert take_id(Taker("a", budget_bytes=1)) == job_id


@pytest.mark.parametrize("state", [WorkerState.PAUSED, WorkerState.DRAINING, WorkerState.SICK])
def test_a_worker_that_takes_no_more_takes_nothing(state: WorkerState) -> None:
    make()
    see("gpu0@a", state=state)
    assert take() is None


def test_while_the_queue_is_paused_nobody_takes_anything() -> None:
    job_id = make()
    with sessions.write_session() as session:
        queue.pause(session, "anna")
    assert take() is None
    with sessions.write_session() as session:
        assert queue.find_pauser(session) == "anna"
        queue.resume(session, "anna")
    assert take_id() == job_id


def test_what_one_worker_cannot_take_wakes_a_free_one_that_can() -> None:
    make(tag="night")
    for name, tags in (("busy@b", ["night"]), ("day@c", ["day"]), ("night@d", ["night"])):
        see(name, tags=tags)
    taken = take(Taker("busy@b", tags=frozenset({"night"})))
    make(tag="night")
    with sessions.read_session() as session:
        assert claims.find_other_taker(session, Taker("day@c", tags=frozenset({"day"}))) == "night@d"
        assert claims.find_other_taker(session, Taker("night@d", tags=frozenset({"night"}))) is None
    assert taken is not None


# Order --------------------------------------------------------------------------------------------


def test_priority_goes_before_shares_and_age() -> None:
    anna, ben = make_person("anna"), make_person("ben")
    first, later = make(anna), make(ben)
    urgent = make(anna, priority=5)
    assert [take_id(), take_id(), take_id()] == [urgent, later, first]


def test_whoever_has_least_at_work_is_next_and_then_whoever_used_least() -> None:
    anna, ben = make_person("anna"), make_person("ben")
    for _ in range(3):
        make(anna)
    make(ben)
    make(ben)
    with sessions.write_session() as session:
        shares.add_use(session, anna, 10.0)
        shares.add_use(session, ben, 500.0)
    owners = [taken.job.owner_id for _ in range(5) if (taken := take())]
    assert owners == [anna, ben, anna, ben, anna]


@pytest.mark.parametrize("seed", range(4))
def test_the_short_way_to_whoever_is_next_is_the_long_one(seed: int) -> None:
    # Given people of whom some used the farm, with jobs of some priorities and tags
    chance = Random(seed)
    people = [None, *(make_person(f"person {number}") for number in range(6))]
    for person in people:
        if chance.random() < 0.8:
            with sessions.write_session() as session:
                shares.add_use(session, person, chance.uniform(1, 900))
        for _ in range(chance.randrange(3)):
            make(person, priority=chance.choice([0, 0, 0, -1]), tag=chance.choice([None, "night"]))
    # Then a worker takes what it would if it looked at all that waits
    for taker in (Taker("a"), Taker("b", tags=frozenset({"night"}))):
        for _ in range(4):
            with pytest.MonkeyPatch.context() as patch, sessions.write_session() as session:
                patch.setattr(claims, "TRIED_FIRST", 0)
                found = claims.claim(session, taker)
                expected = found.job.id if found else None
                session.rollback()
            assert take_id(taker) == expected


def test_a_claim_and_an_end_take_few_statements_however_much_waits() -> None:
    # Given one person's jobs and another's, with the same use of the farm: age decides
    people = [make_person(name) for name in ("anna", "ben")]
    for _ in range(3):
        for person in people:
            make(person)
    statements: list[str] = []

    def listen(*call: Any) -> None:
        if not call[2].startswith("BEGIN"):
            statements.append(call[2])

    event.listen(sessions.engine(), "before_cursor_execute", listen)
    taken = take()
    claimed, statements[:] = list(statements), []
    assert taken is not None
    with sessions.write_session() as session:
        states.succeed(session, taken.attempt, {})
    event.remove(sessions.engine(), "before_cursor_execute", listen)
    assert len(taken.job.pictures) == 2
    # Then: the worker's row, the situation, whose is the oldest, the job, its pictures; an event, an
    # attempt, tallies
    assert len(claimed) == 8, claimed
    # and: the job, an event, the attempt, the share (none yet, so it is made and read again), tallies
    assert len(statements) == 8, statements


def test_what_belongs_to_nobody_has_one_share() -> None:
    anna = make_person("anna")
    for _ in range(3):
        make(None)
    make(anna)
    assert [taken.job.owner_id for _ in range(4) if (taken := take())] == [None, anna, None, None]


def test_drafts_of_one_person_go_first() -> None:
    large, draft = make(size=1024), make(size=256)
    assert [take_id(), take_id()] == [draft, large]


def test_use_decays_by_half_in_an_hour() -> None:
    anna = make_person("anna")
    with sessions.write_session() as session:
        shares.add_use(session, anna, 800.0)
        session.get_one(Share, anna).used_at -= shares.HALF_LIFE
        assert shares.read_uses(session)[anna].seconds == pytest.approx(400, rel=1e-3)
        shares.add_use(session, anna, 100.0)
        assert shares.read_uses(session)[anna].seconds == pytest.approx(500, rel=1e-3)


def test_an_attempt_counts_for_its_owner_however_it_ends() -> None:
    anna = make_person("anna")
    job_id = make(anna)
    taken = take()
    assert taken is not None
    with sessions.write_session() as session:
        attempt = states.get(session, job_id)
        session.refresh(attempt, ["attempts"])
        attempt.attempts[0].started_at -= timedelta(seconds=60)
    end(taken)
    with sessions.read_session() as session:
        assert shares.read_uses(session)[anna].seconds == pytest.approx(60, abs=5)


def test_the_first_attempts_of_a_person_that_end_at_one_moment_both_count() -> None:
    anna = make_person("anna")
    failed: list[Exception] = []

    def use() -> None:
        try:
            with sessions.write_session() as session:
                shares.add_use(session, anna, 10.0)
        except Exception as error:
            failed.append(error)

    other = threading.Thread(target=use)
    with sessions.write_session() as session:
        shares.add_use(session, anna, 10.0)
        other.start()
        other.join(0.1)  # it finds no row, and waits for this one's
    other.join()
    assert failed == []
    with sessions.read_session() as session:
        assert shares.read_uses(session)[anna].seconds == pytest.approx(20, abs=0.5)


def test_a_person_never_has_more_at_work_than_permitted() -> None:
    anna = make_person("anna", max_running=2)
    for _ in range(6):
        make(anna)
    taken: list[Claim | None] = []
    threads = [
        threading.Thread(target=lambda n=n: taken.append(take(Taker(f"gpu{n}@a")))) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mine = [each for each in taken if each]
    assert len(mine) == 2
    end(mine[0])
    assert take() is not None
    assert take() is None


def test_many_workers_at_once_take_each_job_once() -> None:
    owners = [make_person(name) for name in ("anna", "ben", "cleo")]
    for number in range(12):
        make(owners[number % 3])
    taken: list[str | None] = []

    def work(name: str) -> None:
        while job_id := take_id(Taker(name)):
            taken.append(job_id)

    threads = [threading.Thread(target=work, args=(f"gpu{n}@a",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Counter(taken).values()) == {1}
    assert len(taken) == 12


# Drafts overtake ----------------------------------------------------------------------------------


def start_large(worker: str = "gpu0@a") -> Claim:
    """A larger job at work on a worker that is alive."""
    see(worker)
    make(size=1024)
    taken = take(Taker(worker))
    assert taken is not None
    return taken


def test_a_larger_job_makes_way_for_a_draft_that_waits() -> None:
    taken = start_large()
    assert not must_step_aside(taken)
    draft = make(size=256)
    assert not must_step_aside(taken)  # a free worker has a moment to take it
    let_time_pass(2)
    assert must_step_aside(taken)
    with sessions.write_session() as session:
        states.step_aside(session, taken.attempt)
    assert take_id() == draft
    again = take()
    assert again is not None
    assert again.job.id == taken.job.id
    with sessions.read_session() as session:
        events = states.get(session, taken.job.id)
        session.refresh(events, ["events", "attempts"])
    assert "stepped aside for drafts, and goes on after them" in [each.message for each in events.events]
    assert events.attempts[0].outcome == states.ASIDE


def test_it_makes_way_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = start_large()
    make(size=256)
    let_time_pass(2)
    with sessions.write_session() as session:
        states.step_aside(session, taken.attempt)
    again = take(Taker("gpu0@a", frozenset({WorkClass.STANDARD})))
    assert again is not None
    assert not must_step_aside(again)
    let_time_pass(301)
    assert must_step_aside(again)


def test_it_goes_on_while_another_worker_is_free_for_drafts() -> None:
    taken = start_large()
    make(size=256)
    let_time_pass(2)
    see("gpu1@a", classes=["large"])
    assert must_step_aside(taken)
    see("gpu2@a", state=WorkerState.PAUSED)
    assert must_step_aside(taken)
    see("gpu3@a")
    assert not must_step_aside(taken)


def test_one_makes_way_for_one_draft_whoever_has_longest_to_go() -> None:
    nearer, farther = start_large("gpu0@a"), start_large("gpu1@a")
    change(nearer.job.id, eta_seconds=100.0)
    change(farther.job.id, eta_seconds=900.0)
    make(size=256)
    let_time_pass(2)
    asked = [must_step_aside(nearer), must_step_aside(farther, Taker("gpu1@a"))]
    assert asked == [False, True]
    make(size=256)
    let_time_pass(2)
    assert must_step_aside(nearer)


@pytest.mark.parametrize(
    "values",
    [{"priority": 1}, {"eta_seconds": 10.0}, {"work_class": WorkClass.PREVIEW}],
    ids=["of higher priority", "nearly done", "a draft itself"],
)
def test_some_make_no_way(values: dict[str, object]) -> None:
    taken = start_large()
    change(taken.job.id, **values)
    make(size=256)
    let_time_pass(2)
    assert not must_step_aside(taken)
