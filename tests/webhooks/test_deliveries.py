"""The rows of webhooks on both databases: owed with the job's end, claimed once, tried until settled."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from farm.database import sessions
from farm.database.deliveries import Delivery, DeliveryStatus
from farm.database.models import Job, State, WorkClass
from farm.errors import NotFound, WrongState
from farm.jobs import claims, job_rows, states
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from farm.recipe import Recipe
from farm.webhooks import deliveries
from farm.webhooks.deliveries import Answer, Claim
from tests.jobs.test_jobs import make_job, state

pytestmark = pytest.mark.usefixtures("database")

DONE = Answer("204 No Content", delivered=True)
BROKEN = Answer("500 Internal Server Error")


def told_job(url: str | None = "https://hook.example/told") -> str:
    """A queued job whose end somebody wants to be told of; its id."""
    job_id = make_job()
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.id == job_id).values(webhook_url=url))
    return job_id


def cancel(job_id: str) -> str:
    with sessions.write_session() as session:
        states.cancel(session, job_id)
    return job_id


def claim() -> Claim | None:
    with sessions.write_session() as session:
        return deliveries.claim(session)


def claimed() -> Claim:
    found = claim()
    assert found
    return found


def answer(found: Claim, how: Answer) -> bool:
    with sessions.write_session() as session:
        return deliveries.record_answer(session, found, how)


def again(job_id: str, delivery_id: int) -> Delivery:
    with sessions.write_session() as session:
        return deliveries.send_again(session, job_id, delivery_id)


def rows(job_id: str) -> list[Delivery]:
    """Oldest first."""
    with sessions.read_session() as session:
        return deliveries.list_for_job(session, job_id)[::-1]


def make_due(job_id: str) -> None:
    """As if the time until the next try had passed."""
    with sessions.write_session() as session:
        past = sessions.read_clock(session) - timedelta(seconds=1)
        session.execute(
            update(Delivery)
            .where(Delivery.job_id == job_id, Delivery.due_at.is_not(None))
            .values(due_at=past)
        )


@pytest.mark.parametrize("end", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_each_end_of_a_job_with_a_webhook_is_owed(end: State) -> None:
    job_id, silent = told_job(), make_job("silent")
    cancel(silent)
    with sessions.write_session() as session:
        taken = claims.claim(session, Taker("worker@test", frozenset({WorkClass.PREVIEW})))
        assert taken
        assert rows(job_id) == []
        if end is State.SUCCEEDED:
            states.succeed(session, AttemptRef(job_id, 1), {"ssim": 0.5})
        elif end is State.FAILED:
            states.fail(session, AttemptRef(job_id, 1), "it broke")
        else:
            states.cancel(session, job_id)
            states.confirm_cancelled(session, AttemptRef(job_id, 1))
    (row,) = rows(job_id)
    assert (row.state, row.attempt, row.tries, row.answer) == (end, 1, 0, None)
    assert row.status is DeliveryStatus.WAITING
    assert rows(silent) == []


def test_what_is_owed_and_the_end_are_one_transaction() -> None:
    job_id = told_job()
    with sessions.write_session() as session:
        states.cancel(session, job_id)
        assert session.scalar(select(func.count()).select_from(Delivery)) == 1
        session.rollback()
    assert rows(job_id) == []
    assert state(job_id) is State.QUEUED


def test_a_job_that_is_retried_and_ends_again_is_told_again() -> None:
    job_id = cancel(told_job())
    with sessions.write_session() as session:
        states.retry(session, job_id)
    cancel(job_id)
    first, second = rows(job_id)
    assert first.id != second.id


def test_why_it_failed_is_told_although_it_was_tried_again_since() -> None:
    job_id = told_job()
    with sessions.write_session() as session:
        claims.claim(session, Taker("worker@test", frozenset({WorkClass.PREVIEW})))
        states.fail(session, AttemptRef(job_id, 1), "it broke")
        states.retry(session, job_id)
    assert claimed().message == "it broke"


def test_a_job_takes_its_deliveries_with_it() -> None:
    job_id = cancel(told_job())
    found = claimed()
    with sessions.write_session() as session:
        job_rows.delete_ended(session, job_id)
    assert answer(found, DONE) is False
    assert claim() is None
    with sessions.read_session() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0


def test_two_senders_claim_a_delivery_once() -> None:
    """Many at once, over and over: each delivery is one sender's."""
    for _ in range(12):
        cancel(told_job())
    start = threading.Barrier(6)
    taken: list[int] = []

    def sender() -> None:
        start.wait()
        while (found := claim()) is not None:
            taken.append(found.delivery.id)

    threads = [threading.Thread(target=sender) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 12
    assert set(Counter(taken).values()) == {1}


def test_a_delivered_one_is_settled() -> None:
    job_id = cancel(told_job())
    found = claimed()
    assert rows(job_id)[0].status is DeliveryStatus.SENDING
    assert answer(found, DONE)
    (row,) = rows(job_id)
    assert row.status is DeliveryStatus.DELIVERED
    assert (row.answer, row.tries, row.due_at) == ("204 No Content", 1, None)
    assert claim() is None


def test_waits_double_up_to_an_hour_and_end_after_about_a_day() -> None:
    waits = [deliveries.compute_wait(tries).total_seconds() for tries in range(1, deliveries.MAX_TRIES)]
    for tries, seconds in enumerate(waits, 1):
        assert seconds == pytest.approx(min(10 * 2 ** (tries - 1), 3600), rel=deliveries.JITTER + 1e-9)
    assert 20 * 3600 < sum(waits) < 26 * 3600
    assert len({deliveries.compute_wait(3) for _ in range(20)}) > 1  # else all come back at once


def test_a_failed_try_comes_again_after_its_wait_and_is_given_up_at_last() -> None:
    job_id = cancel(told_job())
    for tries in range(1, deliveries.MAX_TRIES + 1):
        found = claimed()
        assert found.delivery.tries == tries
        assert answer(found, BROKEN)
        assert claim() is None
        (row,) = rows(job_id)
        if tries == 1:
            with sessions.read_session() as session:
                ahead = (
                    (row.due_at - sessions.read_clock(session)).total_seconds() if row.due_at else None
                )
            assert ahead == pytest.approx(10, abs=5)
        make_due(job_id)
    assert row.status is DeliveryStatus.GIVEN_UP
    assert row.answer == BROKEN.words


def test_a_final_answer_is_the_last_try() -> None:
    job_id = cancel(told_job())
    answer(claimed(), Answer("410 Gone", final=True))
    assert rows(job_id)[0].status is DeliveryStatus.GIVEN_UP


def test_what_a_lost_sender_had_is_sent_by_another_and_its_own_answer_comes_too_late() -> None:
    # Given a sender that fell silent with a delivery
    job_id = cancel(told_job())
    lost = claimed()
    assert claim() is None
    # When its time is over and another has taken it
    make_due(job_id)
    other = claimed()
    assert other.delivery.tries == 2
    # Then the silent one's answer changes nothing, whenever it comes
    assert answer(lost, DONE) is False
    assert answer(other, BROKEN) is True
    assert answer(lost, DONE) is False
    assert rows(job_id)[0].status is DeliveryStatus.WAITING


def test_what_was_never_tried_goes_before_what_failed() -> None:
    old = cancel(told_job())
    answer(claimed(), BROKEN)
    make_due(old)
    new = cancel(told_job())
    assert [claimed().job.id, claimed().job.id] == [new, old]


def test_a_person_can_have_it_sent_again_at_once() -> None:
    for how in (DONE, BROKEN, Answer("410 Gone", final=True)):
        job_id = cancel(told_job())
        answer(claimed(), how)
        row = again(job_id, rows(job_id)[0].id)
        assert (row.tries, row.answer, row.delivered_at) == (0, None, None)
        assert claimed().delivery.id == row.id


def test_nobody_sends_again_what_is_being_sent_or_is_not_there() -> None:
    job_id, other = cancel(told_job()), cancel(told_job())
    (row,) = rows(job_id)
    with pytest.raises(NotFound):
        again(other, row.id)
    with pytest.raises(NotFound):
        again(job_id, row.id + 1000)
    while claim():
        pass
    with pytest.raises(WrongState):
        again(job_id, row.id)
    make_due(job_id)  # its sender is lost
    assert again(job_id, row.id).tries == 0


def test_the_url_is_kept_with_the_job() -> None:
    with sessions.write_session() as session:
        picture = states.get(session, make_job()).content
        job = job_rows.create(
            session,
            name="told",
            recipe=Recipe(size=96),
            content=picture,
            styles=[picture],
            webhook_url="https://hook.example/",
        )
    with sessions.read_session() as session:
        assert states.get(session, job.id).webhook_url == "https://hook.example/"
