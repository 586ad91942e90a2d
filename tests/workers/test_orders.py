"""What a worker does when its row says so, without the worker: tickets, ends, and its device."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.fleet import instances, operations, registry
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import machine
from workers import intake, orders, tasks
from workers.exit_status import ExitStatus
from workers.orders import Orders

pytestmark = [
    pytest.mark.usefixtures("database"),
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]


class Ended(BaseException):
    """The process has ended, as `os._exit` ends it."""


@pytest.fixture(autouse=True)
def worker(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The row of a worker that this process is; what it shares with its parent is as at the start."""
    monkeypatch.setenv("FARM_WORKER_NAME", "gpu0@attic")
    fresh_settings()
    before = bytes(intake._shared[:])
    intake._shared[:] = bytes([0, intake.NO_STATUS, 0])
    process = registry.Process(host="attic", instance=instances.identify(os.getpid()), version="1")
    with sessions.write_session() as session:
        registry.record_heartbeat(session, "gpu0@attic", machine("card"), process)
    yield "gpu0@attic"
    intake._shared[:] = before


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which the parent was to end, or this process ended."""
    found: list[int] = []
    monkeypatch.setattr(intake, "end_parent", found.append)
    return found


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workers that were sent a ticket of their own."""
    found: list[str] = []
    monkeypatch.setattr(orders, "wake_worker", found.append)
    return found


def build(worker: str, *, usable: bool = True) -> Orders:
    return Orders(worker, instances.identify(os.getpid()), usable=usable)


def takes() -> bool:
    return bool(intake._shared[0])


def operate(operation, *arguments: str) -> None:
    with sessions.write_session() as session:
        operation(session, "gpu0@attic", *arguments)


def test_tickets_are_taken_while_it_is_active_and_what_waits_when_it_becomes_so(
    worker: str, ends: list[int], woken: list[str]
) -> None:
    ours = build(worker)
    assert not takes()
    for operation, expected, count in (
        (None, True, 1),
        (operations.pause, False, 1),
        (operations.resume, True, 2),
    ):
        if operation:
            operate(operation, "Ada")
        for _ in range(2):
            ours.follow()
        assert (takes(), len(woken)) == (expected, count)
    operate(operations.mark_sick, "it fell off")
    ours.follow()
    assert not takes()
    assert ends == []


def test_a_drained_one_ends_once_with_0_when_it_has_no_job(
    worker: str, ends: list[int], woken: list[str]
) -> None:
    ours = build(worker)
    with sessions.write_session() as session:
        registry.set_job(session, worker, "a" * 32)
    operate(operations.drain, "Ada")
    ours.follow()
    assert (takes(), ends) == (False, [])
    with sessions.write_session() as session:
        registry.set_job(session, worker, None)
    for _ in range(2):
        ours.follow()
    assert ends == [ExitStatus.DRAINED] == [0]


def test_one_whose_name_another_took_ends_once(worker: str, ends: list[int], woken: list[str]) -> None:
    ours = build(worker)
    with sessions.write_session() as session:
        session.get_one(Worker, worker).instance = "7.1.0badcafe"
    for _ in range(2):
        ours.follow()
    assert ends == [ExitStatus.TWIN] == [registry.TWIN_STATUS]
    assert not takes()


def test_one_without_its_device_waits_for_an_operator_and_then_tries_anew(
    worker: str, ends: list[int], woken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker whose device was fine, and whose next process cannot use it
    assert not tasks._mark_sick("torch finds no card")  # not yet: it never could, perhaps
    intake.note_device()
    assert tasks._mark_sick("torch finds no card")
    with sessions.read_session() as session:
        found = session.get_one(Worker, worker)
    assert found.state is WorkerState.SICK
    assert "torch finds no card" in str(found.state_reason)
    # And one that is started again stays so
    intake._shared[:] = bytes([0, intake.NO_STATUS, 0])
    assert tasks._mark_sick("torch finds no card")
    # When an operator resumes it, then its process ends, for another to try
    monkeypatch.setattr(os, "_exit", lambda status: ends.append(status))
    ours = build(worker, usable=False)
    ours.follow()
    assert ends == []
    operate(operations.resume, "Ada")
    ours.follow()
    assert ends == [ExitStatus.NO_DEVICE]
    assert intake.had_device()
