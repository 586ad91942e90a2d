"""Jobs on both databases: every move of a state, and who wins when two want the same."""

from __future__ import annotations

import threading
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event, insert

from farm.database import sessions
from farm.database.models import Event, Job, LossPoint, State, Upload, WorkClass
from farm.errors import AttemptLost, NotFound, WrongState
from farm.fleet import registry
from farm.jobs import attempts, claims, details, job_rows, losses, states, tickets
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from farm.recipe import Recipe

pytestmark = pytest.mark.usefixtures("database")


def make_job(name: str = "picture", size: int = 256, priority: int = 0) -> str:
    """A queued job; returns its id."""
    with sessions.write_session() as session:
        picture = session.merge(Upload(sha256="c" * 64, width=400, height=300, size_bytes=1))
        job = job_rows.create(
            session,
            name=name,
            recipe=Recipe(size=size),
            content=picture,
            styles=[picture],
            priority=priority,
        )
        return job.id


def machine(device: str) -> registry.Machine:
    return registry.Machine(device, 10**10, "cpu", 4, True, 10**10)


def claim(work_class: WorkClass = WorkClass.PREVIEW) -> states.Claim | None:
    with sessions.write_session() as session:
        return claims.claim(session, Taker("worker@test", frozenset({work_class})))


def state(job_id: str) -> State:
    with sessions.read_session() as session:
        return states.get(session, job_id).state


def progress(share: float = 0.5) -> attempts.Progress:
    return attempts.Progress(share, 2, 3, 40, 100, 12.5, 0.5, 0.1, 0.01)


def to_state(wanted: State) -> str:
    """A job brought to a state by the farm's own moves."""
    job_id = make_job()
    if wanted is State.QUEUED:
        return job_id
    assert claim() is not None
    attempt = AttemptRef(job_id, 1)
    with sessions.write_session() as session:
        match wanted:
            case State.SUCCEEDED:
                states.succeed(session, attempt, {"ssim": 0.5})
            case State.FAILED:
                states.fail(session, attempt, "it broke")
            case State.CANCELLING | State.CANCELLED:
                states.cancel(session, job_id)
    if wanted is State.CANCELLED:
        with sessions.write_session() as session:
            states.confirm_cancelled(session, attempt)
    assert state(job_id) is wanted
    return job_id


def test_a_job_walks_from_the_queue_to_its_result() -> None:
    # Given a queued job
    job_id = make_job()
    # When a worker takes it, reports, and finishes
    taken = claim()
    assert taken is not None
    assert (taken.job.id, taken.attempt) == (job_id, AttemptRef(job_id, 1))
    with sessions.write_session() as session:
        assert attempts.report(session, taken.attempt, progress()) is State.RUNNING
        attempts.record_preview(session, taken.attempt)
        attempts.set_features(session, taken.attempt, "vgg16")
        states.succeed(session, taken.attempt, {"ssim": 0.5})
    # Then the row tells the whole story
    with sessions.read_session() as session:
        job = details.get_with_history(session, job_id)
        points = details.list_losses(session, job)
    assert (job.state, job.progress, job.features, job.metrics) == (
        State.SUCCEEDED,
        1.0,
        "vgg16",
        {"ssim": 0.5},
    )
    assert [event.state.value for event in job.events] == ["queued", "running", "succeeded"]
    assert [(a.number, a.worker, a.outcome) for a in job.attempts] == [(1, "worker@test", "succeeded")]
    assert [(p.iteration, p.style) for p in points] == [(40, 0.1)]
    assert job.finished_at is not None
    assert job.finished_at.tzinfo is not None


@pytest.mark.slow
def test_only_the_moves_of_the_table_are_made() -> None:
    for start, to in product(State, State):
        job_id = to_state(start)
        allowed = to in states.MOVES[start]
        with sessions.write_session() as session:
            if allowed:
                assert states.move(session, job_id, start, to, "by a test")
            else:
                with pytest.raises(WrongState):
                    states.move(session, job_id, start, to, "by a test")
            session.get_one(Job, job_id).work_class = WorkClass.LARGE  # out of the next one's way
        assert state(job_id) is (to if allowed else start)


def test_higher_priority_goes_first_and_then_the_older() -> None:
    old, new, urgent = make_job("old"), make_job("new"), make_job("urgent", priority=5)
    taken = [claim() for _ in range(4)]
    assert [c.job.id if c else None for c in taken] == [urgent, old, new, None]


def test_a_ticket_of_one_class_takes_no_job_of_another() -> None:
    make_job(size=1024)
    assert claim(WorkClass.PREVIEW) is None
    assert claim(WorkClass.LARGE) is None
    assert claim(WorkClass.STANDARD) is not None


def test_twenty_claims_at_once_take_each_job_once() -> None:
    ids = {make_job(f"{i}") for i in range(8)}
    taken: list[states.Claim | None] = []
    threads = [threading.Thread(target=lambda: taken.append(claim())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [c.job.id for c in taken if c]
    assert len(taken) == 20
    assert sorted(won) == sorted(ids)


def test_a_waiting_job_is_cancelled_at_once_and_stays_so() -> None:
    job_id = make_job()
    with sessions.write_session() as session:
        assert states.cancel(session, job_id).state is State.CANCELLED
    assert claim() is None
    with sessions.write_session() as session:
        assert states.cancel(session, job_id).state is State.CANCELLED  # again is harmless


def test_a_running_job_learns_of_its_cancellation_at_the_next_report() -> None:
    job_id = to_state(State.CANCELLING)
    attempt = AttemptRef(job_id, 1)
    with sessions.write_session() as session:
        assert attempts.report(session, attempt, progress()) is State.CANCELLING
        assert attempts.renew_lease(session, attempt) is State.CANCELLING
        states.confirm_cancelled(session, attempt)
    assert state(job_id) is State.CANCELLED


@pytest.mark.parametrize("ended", [State.SUCCEEDED, State.FAILED])
def test_what_has_ended_is_not_cancelled(ended: State) -> None:
    job_id = to_state(ended)
    with sessions.write_session() as session, pytest.raises(WrongState, match=ended.value):
        states.cancel(session, job_id)


def test_a_result_that_comes_after_a_cancellation_is_refused() -> None:
    job_id = to_state(State.CANCELLING)
    with pytest.raises(AttemptLost), sessions.write_session() as session:
        states.succeed(session, AttemptRef(job_id, 1), {})
    assert state(job_id) is State.CANCELLING


def test_a_failed_job_is_retried_as_a_new_attempt_without_the_old_ones_traces() -> None:
    job_id = to_state(State.FAILED)
    with sessions.write_session() as session:
        assert states.retry(session, job_id).error is None
    taken = claim()
    assert taken is not None
    assert taken.attempt == AttemptRef(job_id, 2)
    with sessions.read_session() as session:
        job = details.get_with_history(session, job_id)
    assert [a.outcome for a in job.attempts] == ["failed", None]


@pytest.mark.parametrize("wrong", [State.QUEUED, State.RUNNING, State.CANCELLING, State.SUCCEEDED])
def test_only_failed_and_cancelled_jobs_are_retried(wrong: State) -> None:
    job_id = to_state(wrong)
    with sessions.write_session() as session, pytest.raises(WrongState, match=wrong.value):
        states.retry(session, job_id)


def test_every_write_of_a_stale_attempt_is_refused() -> None:
    # Given a job that a second attempt has taken over
    job_id = to_state(State.RUNNING)
    stale = AttemptRef(job_id, 1)
    with sessions.write_session() as session:
        states.requeue(session, stale, "stopped")
    assert claim() is not None
    # Then nothing the first one writes is taken
    for write in (
        lambda s: attempts.report(s, stale, progress()),
        lambda s: attempts.renew_lease(s, stale),
        lambda s: attempts.record_preview(s, stale),
        lambda s: attempts.set_features(s, stale, "x"),
        lambda s: attempts.record_checkpoint(s, stale),
        lambda s: attempts.note(s, stale, "x"),
        lambda s: losses.release_interrupted(s, stale, losses.LOST, "x"),
        lambda s: states.succeed(s, stale, {}),
        lambda s: states.fail(s, stale, "no"),
        lambda s: states.requeue(s, stale, "no"),
    ):
        with pytest.raises(AttemptLost), sessions.write_session() as session:
            write(session)
    with sessions.read_session() as session:
        job = states.get(session, job_id)
    assert (job.state, job.attempt, job.progress) == (State.RUNNING, 2, 0.0)


def requeue_lost(job_id: str) -> list[str]:
    """The worker of this job is lost; returns the ids of the jobs that were released."""
    with sessions.write_session() as session:
        return losses.requeue_lost(
            session, [each for each in losses.list_leases(session) if each.job_id == job_id]
        )


def test_a_job_whose_worker_was_lost_waits_again() -> None:
    job_id = to_state(State.RUNNING)
    assert requeue_lost(job_id) == [job_id]
    assert state(job_id) is State.QUEUED
    assert requeue_lost(job_id) == []


def test_a_lease_differs_after_each_renewal() -> None:
    job_id = to_state(State.RUNNING)
    seen = set()
    for _ in range(3):
        with sessions.write_session() as session:
            ((attempt, lease),) = losses.list_leases(session).items()
            attempts.renew_lease(session, attempt)
        seen.add(lease)
    assert attempt == AttemptRef(job_id, 1)
    assert len(seen) == 3


def test_a_cancelled_job_whose_worker_was_lost_is_cancelled() -> None:
    job_id = to_state(State.CANCELLING)
    requeue_lost(job_id)
    assert state(job_id) is State.CANCELLED


def test_a_job_that_loses_every_worker_fails_with_a_message() -> None:
    job_id = make_job()
    for _ in range(losses.MAX_FAILURES[losses.LOST]):
        assert claim() is not None
        requeue_lost(job_id)
    with sessions.read_session() as session:
        job = states.get(session, job_id)
    assert job.state is State.FAILED
    assert "5 workers were lost" in (job.error or "")


def wake(attempt: AttemptRef) -> bool:
    """The worker of an attempt that was taken for lost goes on; returns whether it still has the job."""
    try:
        with sessions.write_session() as session:
            attempts.report(session, attempt, progress(0.6))
    except AttemptLost:
        with sessions.write_session() as session:
            losses.mark_asleep(session, attempt)
        return False
    return True


def test_a_worker_that_only_slept_has_its_job_back_if_nobody_took_it() -> None:
    # Given a worker that slept past its lease more often than workers may be lost
    job_id = to_state(State.RUNNING)
    attempt = AttemptRef(job_id, 1)
    for _ in range(losses.MAX_FAILURES[losses.LOST] + 1):
        assert requeue_lost(job_id) == [job_id]
        # When it wakes, and nobody has taken its job
        assert wake(attempt)
    # Then it goes on with it, and nobody else gets it
    assert claim() is None
    with sessions.write_session() as session:
        job = details.get_with_history(session, job_id)
        assert (job.state, job.attempt, job.progress) == (State.RUNNING, 1, 0.6)
        assert job.lease_until is not None
        assert [each.outcome for each in job.attempts] == [None]
        assert "its worker is back and goes on" in [event.message for event in job.events]
        states.succeed(session, attempt, {})


def test_a_worker_that_slept_while_others_took_its_job_counts_as_no_failure() -> None:
    # Given a job that each of six workers takes, sleeps with, and finds to be another's when it wakes
    job_id = make_job()
    for number in range(1, losses.MAX_FAILURES[losses.LOST] + 2):
        assert claim() is not None
        if number > 1:
            assert not wake(AttemptRef(job_id, number - 1))
        requeue_lost(job_id)
    # Then it waits still, and its history says so
    with sessions.read_session() as session:
        job = details.get_with_history(session, job_id)
    assert job.state is State.QUEUED
    assert [each.outcome for each in job.attempts] == [losses.ASLEEP] * 5 + [losses.LOST]


@pytest.mark.parametrize("since", ["given back", "ended", "asked for anew"])
def test_a_worker_that_wakes_too_late_has_no_job(since: str) -> None:
    job_id = to_state(State.CANCELLING if since == "asked for anew" else State.RUNNING)
    attempt = AttemptRef(job_id, 1)
    with sessions.write_session() as session:
        if since == "given back":
            states.requeue(session, attempt, "stopped")
        else:
            losses.release_interrupted(session, attempt, losses.LOST, "lost")
            if since == "ended":
                states.cancel(session, job_id)
            else:
                states.retry(session, job_id)
    before = state(job_id)
    assert not wake(attempt)
    assert state(job_id) is before


def lose(job_id: str, attempt: int, outcome: str = losses.LOST) -> State:
    with sessions.write_session() as session:
        losses.release_interrupted(session, AttemptRef(job_id, attempt), outcome, "broke off")
    return state(job_id)


def test_causes_are_counted_apart_and_anew_after_a_retry() -> None:
    job_id = make_job()
    causes = [losses.LOST, losses.OUT_OF_MEMORY, losses.LOST, losses.OUT_OF_MEMORY]
    ends = []
    for number, cause in enumerate(causes, start=1):
        assert claim() is not None
        ends.append(lose(job_id, number, cause))
    assert ends == [State.QUEUED, State.QUEUED, State.QUEUED, State.FAILED]
    with sessions.write_session() as session:
        assert "ran out of memory" in (states.get(session, job_id).error or "")
        states.retry(session, job_id)
    assert claim() is not None
    assert lose(job_id, 5, losses.OUT_OF_MEMORY) is State.QUEUED


def test_who_knows_that_a_worker_is_dead_need_not_wait_for_the_lease() -> None:
    job_id = to_state(State.RUNNING)
    with sessions.write_session() as session:
        assert losses.requeue_by_workers(session, ["another@test"]) == []
        assert losses.requeue_by_workers(session, ["worker@test"]) == [job_id]
    assert state(job_id) is State.QUEUED


def test_progress_stands_while_there_is_a_checkpoint_to_go_on_from() -> None:
    # Given a job at half, with a checkpoint, whose worker is lost
    job_id = to_state(State.RUNNING)
    first = AttemptRef(job_id, 1)
    with sessions.write_session() as session:
        attempts.report(session, first, progress(0.5))
        attempts.record_checkpoint(session, first)
    lose(job_id, 1)
    # When another takes it
    taken = claim()
    # Then it is at half still, and says where to go on from
    assert taken is not None
    assert (taken.job.progress, taken.job.checkpoint_attempt) == (0.5, 1)
    # And when it has ended and is retried, it begins anew
    with sessions.write_session() as session:
        attempts.note(session, taken.attempt, "resumed at level 2, iteration 3")
        states.fail(session, taken.attempt, "it broke")
        states.retry(session, job_id)
    taken = claim()
    assert taken is not None
    assert (taken.job.progress, taken.job.checkpoint_attempt) == (0.0, None)
    with sessions.read_session() as session:
        told = [event.message for event in details.get_with_history(session, job_id).events]
    assert "resumed at level 2, iteration 3" in told


def test_the_loss_curve_goes_on_where_an_attempt_was_resumed() -> None:
    job_id = make_job()
    for number, iterations in enumerate([(1, 2, 3, 4), (3, 4, 5)], start=1):
        assert claim() is not None
        for i in iterations:
            with sessions.write_session() as session:
                values = attempts.Progress(0.1, 1, 1, i, 9, 1.0, 1, number, 1)
                attempts.report(session, AttemptRef(job_id, number), values)
        lose(job_id, number)
    with sessions.read_session() as session:
        points = details.list_losses(session, states.get(session, job_id))
    assert [(p.iteration, p.style) for p in points] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]


def test_only_what_has_ended_is_deleted_and_then_with_all_its_rows() -> None:
    for start in State:
        job_id = to_state(start)
        if start.ended:
            with sessions.write_session() as session:
                job_rows.delete_ended(session, job_id)
            with sessions.read_session() as session, pytest.raises(NotFound):
                states.get(session, job_id)
        else:
            with sessions.write_session() as session, pytest.raises(WrongState, match="cancel it first"):
                job_rows.delete_ended(session, job_id)
            with sessions.write_session() as session:
                session.get_one(Job, job_id).work_class = WorkClass.LARGE
    with sessions.read_session() as session:
        left = {row.job_id for row in session.query(Event)}
    assert len(left) == 3


def test_a_waiting_job_gets_one_ticket_and_later_another() -> None:
    make_job()
    make_job(size=7680)
    with sessions.write_session() as session:
        assert sorted(tickets.collect_due_tickets(session, 60)) == [WorkClass.LARGE, WorkClass.PREVIEW]
        assert tickets.collect_due_tickets(session, 60) == []
        assert len(tickets.collect_due_tickets(session, -1)) == 2


def test_a_long_queue_gets_as_many_tickets_as_there_are_workers() -> None:
    for _ in range(5):
        make_job()
    with sessions.write_session() as session:
        for name in ("gpu0@a", "gpu1@a"):
            registry.record_heartbeat(session, name, machine("CPU"))
        assert tickets.collect_due_tickets(session, 60) == [WorkClass.PREVIEW] * 2
        assert tickets.collect_due_tickets(session, 60) == []


def test_two_janitors_at_once_send_one_ticket(database: str) -> None:
    if database == "sqlite":
        pytest.skip("SQLite lets one write after the other")
    make_job()
    with sessions.write_session() as one, sessions.write_session() as other:
        assert tickets.collect_due_tickets(one, 60) == [WorkClass.PREVIEW]
        assert tickets.collect_due_tickets(other, 60) == []
        one.commit()
        assert tickets.collect_due_tickets(other, 60) == []


def test_an_unknown_job_is_not_found() -> None:
    for ask in (states.get, states.cancel, states.retry, details.get_with_history):
        with sessions.write_session() as session, pytest.raises(NotFound):
            ask(session, "no such id")


def test_a_waiting_job_says_why_it_waits() -> None:
    first, second = make_job(), make_job()
    with sessions.write_session() as session:
        assert "No worker is running" in str(details.explain_wait(session, states.get(session, second)))
        registry.record_heartbeat(session, "worker@test", machine("CPU"))
        assert (
            details.explain_wait(session, states.get(session, first))
            == "Next in line for a free worker."
        )
        assert details.explain_wait(session, states.get(session, second)) == "1 job is ahead of it."
    assert claim() is not None
    with sessions.read_session() as session:
        assert details.explain_wait(session, states.get(session, first)) is None


def test_a_long_loss_curve_is_thinned_and_keeps_its_end() -> None:
    job_id = to_state(State.RUNNING)
    with sessions.write_session() as session:
        point: dict[str, Any] = {"job_id": job_id, "attempt": 1, "level": 1}
        point |= {"content": 1.0, "style": 1.0, "tv": 1.0}
        session.execute(insert(LossPoint), [point | {"iteration": number} for number in range(1000)])
    with sessions.read_session() as session:
        points = details.list_losses(session, states.get(session, job_id))
    assert 300 < len(points) <= details.LOSS_POINTS_SHOWN
    assert points[-1].iteration == 999


def test_a_job_is_read_with_its_pictures_in_two_queries() -> None:
    job_id = make_job()
    asked: list[str] = []

    def listen(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    event.listen(sessions.engine(), "before_cursor_execute", listen)
    with sessions.read_session() as session:
        job = states.get(session, job_id)
    event.remove(sessions.engine(), "before_cursor_execute", listen)
    assert (job.content.sha256, job.styles[0].upload.sha256) == ("c" * 64, "c" * 64)
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 2
