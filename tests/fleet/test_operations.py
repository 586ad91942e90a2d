"""What operators do with workers, on both databases; through the command line and the API below."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from farm.cli import main
from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.people import AuditLine, Role
from farm.errors import NotFound, WrongState
from farm.fleet import operations, registry
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import machine, make_job
from tests.web.test_web_people import make_person
from web import create_app

DRAINING, PAUSED, SICK, ACTIVE = (WorkerState(s) for s in ("draining", "paused", "sick", "active"))

sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def worker(database: str) -> str:
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "gpu0@attic", machine("CPU"))
    return "gpu0@attic"


@pytest.fixture
def client(database: str) -> FlaskClient:
    return create_app().test_client()


def read_worker() -> Worker:
    with sessions.read_session() as session:
        return session.query(Worker).one()


def list_audit() -> list[tuple[str, str, str, str]]:
    with sessions.read_session() as session:
        lines = session.query(AuditLine).order_by(AuditLine.id)
        return [(line.person, line.action, line.subject, line.detail) for line in lines]


@pytest.mark.parametrize(
    ("operation", "state"), [(operations.drain, DRAINING), (operations.pause, PAUSED)]
)
def test_an_operation_changes_the_state_once_and_leaves_a_line(operation, state, worker: str) -> None:
    for _ in range(2):
        with sessions.write_session() as session:
            assert operation(session, worker, "Ada").state is state
    assert list_audit() == [("Ada", f"{operation.__name__} worker", worker, "it was active")]
    with sessions.write_session() as session:
        assert operations.resume(session, worker, "Bob").state is ACTIVE
    assert list_audit()[1:] == [("Bob", "resume worker", worker, f"it was {state.value}")]


def test_a_sick_worker_says_why_until_it_is_resumed(worker: str) -> None:
    with sessions.write_session() as session:
        operations.mark_sick(session, worker, "its GPU fell off")
        session.get_one(Worker, worker).failures_in_row = 3
    with sessions.write_session() as session, pytest.raises(WrongState, match="sick"):
        operations.pause(session, worker, "Ada")
    found = read_worker()
    assert (found.state, found.state_reason, found.failures_in_row) == (SICK, "its GPU fell off", 3)
    with sessions.write_session() as session:
        operations.resume(session, worker, "Ada")
    found = read_worker()
    assert (found.state, found.state_reason, found.failures_in_row) == (ACTIVE, None, 0)
    assert [line[1] for line in list_audit()] == ["mark worker sick", "resume worker"]


def test_a_heartbeat_changes_no_state(worker: str) -> None:
    with sessions.write_session() as session:
        operations.pause(session, worker, "Ada")
    with sessions.write_session() as session:
        registry.record_heartbeat(session, worker, machine("CPU"))
    assert read_worker().state is PAUSED


@pytest.mark.parametrize("name", ["cellar", "", "nul\0", "x" * 500])
def test_a_worker_that_there_is_not_is_not_found(name: str, worker: str) -> None:
    for operation in (operations.drain, operations.pause, operations.resume):
        with (
            sessions.write_session() as session,
            pytest.raises(NotFound, match="no worker of this name"),
        ):
            operation(session, name, "Ada")
    assert list_audit() == []


# The API


@sqlite
def test_programs_drain_pause_and_resume(worker: str, client: FlaskClient) -> None:
    for action, state in (("pause", "paused"), ("drain", "draining"), ("resume", "active")):
        answer = client.post(f"/api/v1/workers/{worker}/{action}")
        assert (answer.status_code, answer.get_json()["state"]) == (200, state)
    (listed,) = client.get("/api/v1/workers").get_json()["items"]
    assert listed == client.get(f"/api/v1/workers/{worker}").get_json()
    assert (listed["name"], listed["classes"], listed["free_bytes"]) == (worker, [], None)
    assert {line[0] for line in list_audit()} == {"anybody"}


@sqlite
@pytest.mark.parametrize("name", ["cellar", "a/b", "nul%00", "%F0%9F%8E%A8"])
@pytest.mark.parametrize("action", ["drain", "pause", "resume"])
def test_a_program_is_told_that_there_is_no_such_worker(
    name: str, action: str, client: FlaskClient
) -> None:
    answer = client.post(f"/api/v1/workers/{name}/{action}")
    assert answer.status_code == 404
    assert "no worker of this name" in answer.get_json()["detail"]


@sqlite
def test_another_sites_page_drains_nobody(worker: str, client: FlaskClient) -> None:
    answer = client.post(f"/api/v1/workers/{worker}/drain", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert read_worker().state is ACTIVE


@sqlite
def test_operations_are_for_operators_and_a_user_sees_no_others_job(
    worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_REQUIRE_TOKEN", "1")
    fresh_settings()
    client = create_app().test_client()
    user, operator = make_person("Ada", Role.USER), make_person("Olga", Role.OPERATOR)
    with sessions.write_session() as session:
        registry.set_job(session, worker, "a" * 32)
    for action in ("drain", "pause", "resume"):
        address = f"/api/v1/workers/{worker}/{action}"
        assert client.post(address, headers=user).status_code == 403
        assert client.post(address).status_code == 401
    assert read_worker().state is ACTIVE
    assert client.post(f"/api/v1/workers/{worker}/pause", headers=operator).status_code == 200
    assert [line[:3] for line in list_audit()] == [("Olga", "pause worker", worker)]
    for headers, seen in ((user, None), (operator, "a" * 32)):
        (listed,) = client.get("/api/v1/workers", headers=headers).get_json()["items"]
        assert listed["job_id"] == seen


# The command line


def ops(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ops", *arguments], env={"COLUMNS": "200"})


@sqlite
def test_commands_drain_pause_resume_and_list(worker: str) -> None:
    assert ops("pause", worker).output == "gpu0@attic is paused.\n"
    assert "paused" in ops("workers").output
    assert ops("resume", worker).output == "gpu0@attic is active.\n"
    assert ops("drain", worker).output == "gpu0@attic is draining.\n"
    assert [line[:3] for line in list_audit()] == [
        ("command line", f"{action} worker", worker) for action in ("pause", "resume", "drain")
    ]


@sqlite
def test_a_command_names_what_is_wrong(worker: str) -> None:
    refused = ops("drain", "cellar")
    assert refused.exit_code == 1
    assert "There is no worker of this name" in refused.output


@sqlite
def test_commands_pause_the_queue_tell_of_it_and_list_events(worker: str) -> None:
    make_job(size=1024)
    told = ops("queue", "--pause").output
    assert "standard: 1 waiting" in told
    assert "no worker has measured its speed" in told
    assert "Paused by command line." in told
    assert "Workers take jobs." in ops("queue", "--resume").output
    ops("pause", worker)
    assert "1 that no worker takes" in ops("queue").output
    assert [line.split()[4:6] for line in ops("events").output.splitlines()[1:]] == [
        ["pause", "worker"],
        ["resume", "queue"],
        ["pause", "queue"],
    ]
    assert "gpu0@attic" in ops("events", "ATTIC").output
    assert ops("events", "nobody").output == "There is no such line.\n"
