"""Cancel, retry and delete have the same effects whoever asks: page, API, bulk or exploration."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from farm.database import sessions
from farm.database.models import Exploration, Job, State
from farm.errors import NotFound
from farm.explorations import grids
from farm.jobs import attempts, bulk, states
from farm.jobs.bulk import Action
from farm.storage import storage
from tests.web.conftest import bring_to, job_made, paint, token

Ask = Callable[[FlaskClient, Job], object]


def ask_page(action: str) -> Ask:
    def press(client: FlaskClient, job: Job) -> object:
        return client.post(f"/jobs/{job.id}/{action}", data={"csrf_token": token(client)})

    return press


def ask_selection(action: Action) -> Ask:
    def press(client: FlaskClient, job: Job) -> object:
        data = {"csrf_token": token(client), "action": action, "ids": [job.id]}
        return client.post("/jobs/bulk/confirmed", data=data)

    return press


def ask_api(action: str) -> Ask:
    return lambda client, job: client.post(f"/api/v1/jobs/{job.id}/{action}")


def delete_by_api(client: FlaskClient, job: Job) -> object:
    return client.delete(f"/api/v1/jobs/{job.id}")


def ask_bulk(action: Action) -> Ask:
    return lambda client, job: bulk.carry_out(action, [job.id])


def cancel_exploration(client: FlaskClient, job: Job) -> object:
    return grids.cancel(explored(job))


def delete_exploration(client: FlaskClient, job: Job) -> None:
    grids.forget(explored(job))


def explored(job: Job) -> str:
    """Make a job the one cell of an exploration; returns the exploration's id."""
    with sessions.write_session() as session:
        made = Exploration(name="Bridge", recipe=job.recipe, across={}, down={})
        session.add(made)
        session.flush()
        cell = session.get_one(Job, job.id)
        cell.exploration_id, cell.cell = made.id, 0
        return made.id


CANCELLING = {
    "page": ask_page("cancel"),
    "selection": ask_selection(Action.CANCEL),
    "api": ask_api("cancel"),
    "bulk": ask_bulk(Action.CANCEL),
    "exploration": cancel_exploration,
}
RETRYING = {
    "page": ask_page("retry"),
    "selection": ask_selection(Action.RETRY),
    "api": ask_api("retry"),
    "bulk": ask_bulk(Action.RETRY),
}
DELETING = {
    "selection": ask_selection(Action.DELETE),
    "api": delete_by_api,
    "bulk": ask_bulk(Action.DELETE),
    "exploration": delete_exploration,
}


def by_name(callers: dict[str, Ask]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ask", callers.values(), ids=callers.keys())


@by_name(CANCELLING)
def test_cancelling_a_job_that_waits_removes_its_checkpoint(
    ask: Ask, home: object, client: FlaskClient
) -> None:
    # Given a job that waits again, with the checkpoint of its first attempt
    job = job_made()
    attempt = paint(job)
    storage().put(job.checkpoint_key(attempt.number), b"1")
    with sessions.write_session() as session:
        attempts.record_checkpoint(session, attempt)
        states.requeue(session, attempt, "its worker stopped")

    ask(client, job)

    assert found(job).state is State.CANCELLED
    assert storage().list_keys(job.folder) == [f"{job.folder}/{attempt.number}/preview.jpg"]


@by_name(CANCELLING)
def test_cancelling_a_job_that_runs_leaves_its_files_to_its_worker(
    ask: Ask, home: object, client: FlaskClient
) -> None:
    job = job_made()
    attempt = paint(job)
    storage().put(job.checkpoint_key(attempt.number), b"1")

    ask(client, job)

    assert found(job).state is State.CANCELLING
    assert storage().exists(job.checkpoint_key(attempt.number))


@by_name(RETRYING)
def test_a_job_tried_again_gets_a_ticket(ask: Ask, home: object, client: FlaskClient) -> None:
    job = job_made()
    bring_to(job, State.FAILED)

    ask(client, job)

    assert found(job).state is State.QUEUED
    assert found(job).ticket_at is not None


@by_name(DELETING)
def test_a_deleted_job_leaves_neither_row_nor_files(ask: Ask, home: object, client: FlaskClient) -> None:
    job = job_made()
    bring_to(job, State.FAILED)
    assert storage().list_keys(job.folder)

    ask(client, job)

    with pytest.raises(NotFound):
        found(job)
    assert storage().list_keys(job.folder) == []


def found(job: Job) -> Job:
    with sessions.read_session() as session:
        return states.get(session, job.id)
