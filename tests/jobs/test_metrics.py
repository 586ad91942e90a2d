"""Metrics from rows: what is counted when, once, and by whom; and what an autoscaler is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import event, select

from farm.database import sessions, tallies
from farm.database.fleet import Tally
from farm.database.models import State, WorkClass
from farm.database.tallies import RENDER, STALLS
from farm.errors import AttemptLost
from farm.fleet import queue
from farm.jobs import losses, metrics, states
from farm.jobs.metrics import FarmCollector, Load, count_wanted
from farm.jobs.states import AttemptRef
from tests.jobs.test_jobs import claim, make_job

pytestmark = pytest.mark.usefixtures("database")


def read(name: str, **labels: str) -> float | None:
    """The value of a sample, as Prometheus would have it."""
    registry = CollectorRegistry()
    registry.register(FarmCollector())
    labels = {"class": labels.pop("work_class")} | labels if "work_class" in labels else labels
    return registry.get_sample_value(name, labels)


def end(move: Callable[..., None], *args: object) -> None:
    """Claim a job, and end the attempt."""
    taken = claim()
    assert taken is not None
    with sessions.write_session() as session:
        move(session, taken.attempt, *args)


def test_jobs_are_counted_where_they_are_now_and_each_time_that_they_end() -> None:
    # Given three jobs: one fails, one is done, one waits
    for _ in range(3):
        make_job()
    end(states.fail, "it broke")
    end(states.succeed, {})
    # Then what waits is a gauge, and what ended is a count
    assert read("farm_jobs", state="queued", work_class="preview") == 1
    assert read("farm_jobs", state="running", work_class="preview") == 0
    assert read("farm_jobs_ended_total", state="failed", work_class="preview") == 1
    assert read("farm_jobs_ended_total", state="succeeded", work_class="preview") == 1
    assert read("farm_jobs_ended_total", state="succeeded", work_class="large") == 0
    assert read("farm_attempts_ended_total", outcome="succeeded") == 1
    assert read("farm_queue_wait_seconds_count", work_class="preview") == 2
    assert read("farm_render_seconds_count", work_class="preview") == 2


def test_a_retry_counts_and_so_does_what_ends_again_but_no_second_wait() -> None:
    job_id = make_job()
    end(states.fail, "it broke")
    with sessions.write_session() as session:
        states.retry(session, job_id)
    end(states.fail, "it broke")
    assert read("farm_retries_total") == 1
    assert read("farm_jobs_ended_total", state="failed", work_class="preview") == 2
    assert read("farm_queue_wait_seconds_count", work_class="preview") == 1


@pytest.mark.parametrize("outcome", [losses.LOST, losses.OUT_OF_MEMORY, losses.DEVICE_FAILED])
def test_attempts_that_broke_off_are_counted_by_their_outcome(outcome: str) -> None:
    make_job()
    end(losses.release_interrupted, outcome, "it broke off")
    assert read("farm_attempts_ended_total", outcome=outcome.replace(" ", "_")) == 1
    assert read("farm_jobs", state="queued", work_class="preview") == 1


def test_steps_aside_and_every_other_outcome_have_a_label() -> None:
    make_job()
    end(states.step_aside)
    assert read("farm_attempts_ended_total", outcome="stepped_aside") == 1
    outcomes = [losses.LOST, losses.OUT_OF_MEMORY, losses.DEVICE_FAILED, states.ASIDE, states.BROKE]
    assert {each.replace(" ", "_") for each in outcomes} <= set(tallies.OUTCOMES)
    assert {each.value for each in State if each.ended} <= set(tallies.OUTCOMES)


def _succeed_stale(attempt: AttemptRef) -> None:
    with sessions.write_session() as session:
        STALLS.add(session)
        states.succeed(session, attempt, {})


def test_a_move_that_another_won_counts_nothing() -> None:
    make_job()
    taken = claim()
    assert taken is not None
    with pytest.raises(AttemptLost):
        _succeed_stale(AttemptRef(taken.job.id, 7))
    assert read("farm_jobs_ended_total", state="succeeded", work_class="preview") == 0
    assert read("farm_stalls_total") == 0


def test_durations_lie_in_their_bucket_and_in_all_larger_ones() -> None:
    with sessions.write_session() as session:
        for seconds in (1.0, 2.0, 2.1, 1e6):
            RENDER.observe(session, seconds, WorkClass.LARGE)
    bucket = "farm_render_seconds_bucket"
    assert read(bucket, work_class="large", le="2.0") == 2
    assert read(bucket, work_class="large", le="5.0") == 3
    assert read(bucket, work_class="large", le="14400.0") == 3
    assert read(bucket, work_class="large", le="+Inf") == 4
    assert read("farm_render_seconds_sum", work_class="large") == pytest.approx(1_000_005.1)


def test_writers_at_one_moment_lose_no_count() -> None:
    def count() -> None:
        for _ in range(10):
            with sessions.write_session() as session:
                STALLS.add(session)
                tallies.RETRIES.add(session)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read("farm_stalls_total") == read("farm_retries_total") == 40


def test_processes_have_shards_of_their_own_and_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for process in range(1000, 1200):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        with sessions.write_session() as session:
            STALLS.add(session)
    with sessions.read_session() as session:
        rows = session.scalars(select(Tally).where(Tally.name == STALLS.name)).all()
    assert 16 < len(rows) <= tallies.SHARDS
    assert sum(row.value for row in rows) == 200


def test_all_tallies_of_a_transaction_are_one_statement_and_the_last() -> None:
    make_job()
    taken = claim()
    assert taken is not None
    statements: list[str] = []
    event.listen(sessions.engine(), "before_cursor_execute", lambda *call: statements.append(call[2]))
    with sessions.write_session() as session:
        states.succeed(session, taken.attempt, {})
    written = [number for number, text in enumerate(statements) if "tallies" in text]
    assert written == [len(statements) - 1]


@pytest.mark.parametrize(
    ("waiting", "running", "mean", "wanted"),
    [
        (0, 0, None, 0),
        (0, 3, 8.0, 3),  # never fewer than are at work
        (1, 0, 8.0, 1),
        (30, 2, 8.0, 6),  # a worker makes 7.5 such drafts in a minute
        (3, 1, 1200.0, 4),  # long ones: one each
        (3, 0, None, 3),  # not known: one each
    ],
)
def test_wanted_workers_are_those_at_work_and_those_that_begin_the_rest_within_a_minute(
    waiting: int, running: int, mean: float | None, wanted: int
) -> None:
    load = Load({State.QUEUED: waiting, State.RUNNING: running})
    assert count_wanted(load, mean) == wanted
    assert count_wanted(load, mean, paused=True) == running


def test_a_job_being_cancelled_still_has_its_worker_and_a_paused_queue_wants_no_more() -> None:
    first, _ = make_job(), make_job()
    assert claim() is not None
    with sessions.write_session() as session:
        states.cancel(session, first)
    assert read("farm_wanted_workers", work_class="preview") == 2
    with sessions.write_session() as session:
        queue.pause(session, "Olga")
    assert read("farm_wanted_workers", work_class="preview") == 1
    assert read("farm_queue_paused") == 1


def test_no_metric_has_two_definitions() -> None:
    names = [name for name, *_ in metrics.list_all()]
    assert len(names) == len(set(names))
