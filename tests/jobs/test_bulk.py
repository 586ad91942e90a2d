"""One act on many jobs, on both databases: told beforehand, then done to all that it can be done to."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from farm.database import sessions
from farm.database.models import State
from farm.errors import InvalidInput, NotFound
from farm.jobs import bulk, job_rows, states, tickets
from farm.jobs.bulk import Action
from farm.people.visitors import Visitor
from farm.settings import settings
from farm.storage import storage
from tests.conftest import use_broker_in_memory
from tests.jobs.test_jobs import claim, make_job, state, to_state

pytestmark = pytest.mark.usefixtures("database")

NO_JOB = "0" * 32
WHAT_IS_DONE = {  # to a job in each state; None: done
    Action.CANCEL: {
        State.QUEUED: None,
        State.RUNNING: None,
        State.CANCELLING: bulk.STOPPING,
        State.SUCCEEDED: bulk.ENDED,
        State.FAILED: bulk.ENDED,
        State.CANCELLED: bulk.ENDED,
    },
    Action.RETRY: {
        State.QUEUED: bulk.NOT_ENDED,
        State.RUNNING: bulk.NOT_ENDED,
        State.CANCELLING: bulk.NOT_ENDED,
        State.SUCCEEDED: bulk.FINISHED,
        State.FAILED: None,
        State.CANCELLED: None,
    },
    Action.DELETE: {
        State.QUEUED: bulk.CANCEL_FIRST,
        State.RUNNING: bulk.CANCEL_FIRST,
        State.CANCELLING: bulk.CANCEL_FIRST,
        State.SUCCEEDED: None,
        State.FAILED: None,
        State.CANCELLED: None,
    },
}
AFTERWARDS = {
    (Action.CANCEL, State.QUEUED): State.CANCELLED,
    (Action.CANCEL, State.RUNNING): State.CANCELLING,
    (Action.RETRY, State.FAILED): State.QUEUED,
    (Action.RETRY, State.CANCELLED): State.QUEUED,
}


@pytest.fixture(autouse=True)
def a_broker_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    use_broker_in_memory(monkeypatch)
    for cached in (settings, tickets.celery):
        cached.cache_clear()


def now_in(job_id: str) -> State | None:
    try:
        return state(job_id)
    except NotFound:
        return None


@pytest.mark.parametrize("action", Action)
def test_what_is_planned_is_what_is_done_in_every_state(action: Action) -> None:
    # Given a job in each state, and one that is none
    ids = {wanted: to_state(wanted) for wanted in reversed(State)}
    order = [*ids.values(), NO_JOB]
    # When it is planned, then the plan tells of each and changes nothing
    planned = bulk.plan(action, order)
    assert [outcome.job_id for outcome in planned] == order
    assert [outcome.refusal for outcome in planned] == [
        *(WHAT_IS_DONE[action][was] for was in ids),
        bulk.GONE,
    ]
    assert [state(job_id) for job_id in ids.values()] == list(ids)
    # When it is done, then just that has happened
    done = bulk.carry_out(action, order)
    assert [outcome.refusal for outcome in done] == [outcome.refusal for outcome in planned]
    for was, job_id in ids.items():
        gone = action is Action.DELETE and was.ended
        assert now_in(job_id) is (None if gone else AFTERWARDS.get((action, was), was))


def test_each_job_is_taken_once_and_what_is_no_id_is_no_job() -> None:
    job_id = make_job()
    odd = ["\0", "", "\ud800", "' OR 1=1", job_id.upper()]
    outcomes = bulk.carry_out(Action.CANCEL, [job_id, job_id, *odd])
    assert [outcome.refusal for outcome in outcomes] == [None] + [bulk.GONE] * len(odd)


def test_none_or_too_many_are_refused_by_name_and_number() -> None:
    ids = [f"{number:032x}" for number in range(bulk.MAX_JOBS + 1)]
    for do, wrong in product((bulk.plan, bulk.carry_out), ([], ids)):
        with pytest.raises(InvalidInput, match=f"ids: names {len(wrong)} jobs; 1 to 1000"):
            do(Action.CANCEL, wrong)
    assert len(bulk.carry_out(Action.CANCEL, ids[1:])) == bulk.MAX_JOBS


def test_what_changes_after_the_look_is_told_and_hinders_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given three failed jobs, and two people who press delete
    ids = [to_state(State.FAILED) for _ in range(3)]
    look = bulk.plan

    def look_then_others_act(action: Action, asked: list[str], *visitor: Visitor) -> list[bulk.Outcome]:
        seen = look(action, asked)
        monkeypatch.setattr(bulk, "plan", look)
        with sessions.write_session() as session:
            job_rows.delete_ended(session, ids[0])
            states.retry(session, ids[1])
        return seen

    monkeypatch.setattr(bulk, "plan", look_then_others_act)
    # When one is gone and one was tried again after the look
    outcomes = bulk.carry_out(Action.DELETE, ids)
    # Then the others' deeds are told, and the third is deleted
    assert [outcome.refusal for outcome in outcomes] == [bulk.GONE, bulk.CANCEL_FIRST, None]
    assert [now_in(job_id) for job_id in ids] == [None, State.QUEUED, None]


def test_deleted_jobs_leave_no_files_and_cancelled_ones_no_checkpoint() -> None:
    deleted, cancelled = to_state(State.FAILED), make_job()
    for job_id in (deleted, cancelled):
        storage().put(f"jobs/{job_id}/1/checkpoint.safetensors", b"1")
        storage().put(f"jobs/{job_id}/1/preview.jpg", b"1")
    bulk.carry_out(Action.DELETE, [deleted])
    bulk.carry_out(Action.CANCEL, [cancelled])
    assert storage().list_keys(f"jobs/{deleted}") == []
    assert "checkpoint" not in " ".join(storage().list_keys(f"jobs/{cancelled}"))


def test_jobs_that_wait_again_get_a_ticket_each_and_are_claimed() -> None:
    ids = [to_state(State.CANCELLED), to_state(State.FAILED)]
    bulk.carry_out(Action.RETRY, ids)
    with sessions.read_session() as session:
        assert all(states.get(session, job_id).ticket_at for job_id in ids)
    taken = [claim(), claim()]
    assert {each.job.id for each in taken if each} == set(ids)


def test_a_broker_that_is_away_is_asked_once_and_the_jobs_wait_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [to_state(State.CANCELLED) for _ in range(3)]
    monkeypatch.setenv("REDIS_URL", "redis+socket:///nonexistent/redis.sock")
    for cached in (settings, tickets.celery):
        cached.cache_clear()
    asked = []
    send = tickets.celery().send_task

    def ask(*given: Any, **named: Any) -> Any:
        asked.append(given)
        return send(*given, **named)

    monkeypatch.setattr(tickets.celery(), "send_task", ask)
    assert all(outcome.refusal is None for outcome in bulk.carry_out(Action.RETRY, ids))
    assert [state(job_id) for job_id in ids] == [State.QUEUED] * 3
    assert len(asked) == 1
