"""Live streams over a real socket: told of each change, resumed, ended, refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from benchmarks.testbed.processes import wait_for
from farm.database import sessions
from farm.database.base import now
from farm.database.models import Job, State
from farm.fleet import registry
from farm.jobs import attempts, claims, cleanup, job_rows, losses, states
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from tests.web.conftest import LOOK_SECONDS
from web import streams

MakeJob = Callable[..., Job]
Event = tuple[str, str, Any]  # name, id, data


def events(answer: httpx.Response) -> Iterator[Event]:
    """Those of a stream, one after another."""
    name, number, data = "message", "", ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            number = value
        elif field == "data":
            data = value
        elif not line and data:
            yield name, number, json.loads(data)
            name, data = "message", ""


@contextmanager
def listening(url: str, **headers: str) -> Iterator[Iterator[Event]]:
    with httpx.stream("GET", url, headers=headers, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "no-transform" in answer.headers["cache-control"]
        yield events(answer)


def stream_of(served: str, job: Job) -> str:
    return f"{served}/api/v1/jobs/{job.id}/stream"


def taken(job: Job) -> AttemptRef:
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({job.work_class})))
    assert claim
    return claim.attempt


def report(attempt: AttemptRef, share: float) -> None:
    with sessions.write_session() as session:
        progress = attempts.Progress(share, 1, 2, 10, 72, 9.0, 0.1, 0.2, 0.01, 1.5)
        attempts.report(session, attempt, progress)


def test_a_stream_tells_how_the_job_stands_then_each_change_and_its_end(
    served: str, make_job: MakeJob
) -> None:
    job = make_job()
    with listening(stream_of(served, job)) as told:
        assert next(told)[2]["state"] == "queued"

        attempt = taken(job)
        assert next(told)[2]["state"] == "running"

        report(attempt, 0.25)
        found = next(told)[2]
        assert (found["progress"], found["eta_seconds"], found["eta_spread_seconds"]) == (0.25, 9.0, 1.5)

        with sessions.write_session() as session:
            states.fail(session, attempt, "No paint left.")
        assert next(told)[2]["error"] == "No paint left."
        assert next(told)[0] == "end"
        assert next(told, None) is None


def test_what_a_stream_tells_is_what_the_job_tells(served: str, make_job: MakeJob) -> None:
    job = make_job(State.RUNNING)
    with listening(stream_of(served, job)) as told:
        assert next(told)[2] == httpx.get(f"{served}/api/v1/jobs/{job.id}").json()


def test_whoever_comes_again_is_told_only_what_is_new(served: str, make_job: MakeJob) -> None:
    # Given a client that knows how the job stands
    job = make_job()
    attempt = taken(job)
    report(attempt, 0.25)
    with listening(stream_of(served, job)) as told:
        _, last, _ = next(told)

    # When it comes again, nothing is told until something changes
    with listening(stream_of(served, job), **{"Last-Event-ID": last}) as told:
        threading.Timer(5 * LOOK_SECONDS, report, (attempt, 0.5)).start()
        assert next(told)[2]["progress"] == 0.5


def test_an_ended_job_is_told_once(served: str, make_job: MakeJob) -> None:
    job = make_job(State.SUCCEEDED)
    with listening(stream_of(served, job)) as told:
        assert [name for name, _, _ in told] == ["state", "end"]


def test_a_job_that_is_deleted_while_it_is_watched_is_gone(served: str, make_job: MakeJob) -> None:
    job = make_job()
    with listening(stream_of(served, job)) as told:
        next(told)
        with sessions.write_session() as session:
            states.cancel(session, job.id)
            job_rows.delete_ended(session, job.id)
        cleanup.remove_files(job.id)
        assert next(told)[0] == "gone"


def test_a_waiting_job_is_told_that_its_place_changed(served: str, make_job: MakeJob) -> None:
    # Given a worker, and two jobs
    machine = registry.Machine("a card", 8_000_000_000, "cuda", 2, False, 8_000_000_000)
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "worker-1", machine)
    first, second = make_job(), make_job()

    with listening(stream_of(served, second)) as told:
        assert next(told)[2]["waiting_for"] == "1 job is ahead of it."
        with sessions.write_session() as session:
            states.cancel(session, first.id)
        assert next(told)[2]["waiting_for"] == "Next in line for a free worker."


def test_there_is_no_stream_of_no_job(served: str) -> None:
    answer = httpx.get(f"{served}/api/v1/jobs/{'0' * 32}/stream")
    assert answer.status_code == 404
    assert answer.json()["detail"]


def test_beyond_the_most_streams_the_farm_says_when_to_come_again(
    app: Flask, served: str, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    monkeypatch.setattr(app.extensions["live"], "_most", 1)
    with listening(stream_of(served, job)) as told:
        next(told)
        refused = httpx.get(stream_of(served, job))
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "5"
        assert "live streams" in refused.json()["detail"]


def test_a_client_that_left_gives_its_place_back(
    app: Flask, served: str, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    job = make_job()
    taken(job)
    with listening(stream_of(served, job)) as told:
        next(told)
        assert len(app.extensions["live"]._waiting) == 1
    wait_for(lambda: not app.extensions["live"]._waiting)


def test_when_the_web_part_stops_its_streams_end(app: Flask, served: str, make_job: MakeJob) -> None:
    job = make_job()
    with listening(stream_of(served, job)) as told:
        next(told)
        app.extensions["live"].stop()
        assert next(told, None) is None


def test_a_worker_that_fell_silent_promises_no_time(client: FlaskClient, make_job: MakeJob) -> None:
    # Given a running job that has 9 s to go
    job = make_job(State.RUNNING)
    page, table = f"/jobs/{job.id}/progress", "/jobs/list?view=table"
    assert "9 s to go" in client.get(page).text
    assert "9 s to go" in client.get(table).text
    tag = client.get(page).headers["ETag"]

    # When its worker has not renewed its lease for most of it
    with sessions.write_session() as session:
        session.get_one(Job, job.id).lease_until = now() + timedelta(seconds=10)
    answer = client.get(page, headers={"If-None-Match": tag})

    # Then the page says so, and neither it nor a list nor the API promises a time
    assert "has not been heard of lately" in answer.text
    assert "to go" not in answer.text
    assert "to go" not in client.get(table).text
    (listed,) = client.get("/api/v1/jobs").get_json()["items"]
    assert (listed["eta_seconds"], listed["eta_spread_seconds"]) == (None, None)
    found = client.get(f"/api/v1/jobs/{job.id}").get_json()
    assert found["eta_seconds"] is None
    assert "not been heard of" in found["waiting_for"]

    # Nor does the job once it waits again; and the log names the worker
    with capture_logs() as lines, sessions.write_session() as session:
        losses.requeue_lost(session, [AttemptRef(job.id, 1)])
        assert states.get(session, job.id).eta_seconds is None
    assert [(line["event"], line["worker"]) for line in lines] == [("worker lost", "worker-1")]
