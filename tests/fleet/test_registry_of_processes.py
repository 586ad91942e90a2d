"""Names of workers, each for one process at a time, and what its row tells it; on both databases."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from farm.database import sessions
from farm.database.base import now
from farm.database.fleet import Worker, WorkerState
from farm.errors import NameTaken
from farm.fleet import instances, nvidia_smi, operations, registry
from farm.fleet.registry import Process, Reading
from tests.jobs.test_jobs import machine

ELSEWHERE = "7.184467.0badcafe"  # a process of another machine
NAME = "gpu0@attic"

both = pytest.mark.usefixtures("database")


def beat(instance: str, **values: object) -> None:
    process = Process(host="attic", instance=instance, version="1", **values)  # type: ignore[arg-type]
    with sessions.write_session() as session:
        registry.record_heartbeat(session, NAME, machine("CPU"), process, Reading(10**9, 0.5))


def take(instance: str) -> Worker | None:
    with sessions.write_session() as session:
        return registry.take_name(session, NAME, instance)


def read() -> Worker:
    with sessions.read_session() as session:
        return session.query(Worker).one()


def age(seconds: float) -> None:
    with sessions.write_session() as session:
        session.get_one(Worker, NAME).seen_at = now() - timedelta(seconds=seconds)


@pytest.fixture
def mine() -> str:
    return instances.identify(os.getpid())


@pytest.fixture
def dead() -> str:
    """A process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        instance = instances.identify(process.pid)
        assert instances.is_alive(instance)
        process.kill()
        process.wait()
    return instance


def test_a_process_is_told_apart_from_another_that_has_its_number(mine: str) -> None:
    pid, start, space = mine.split(".")
    assert instances.is_alive(mine) is True
    assert instances.is_alive(f"{pid}.{int(start) - 1}.{space}") is False
    assert instances.is_alive(f"{pid}.{start}.0badcafe") is None
    assert instances.is_alive("") is None
    assert instances.is_alive(instances.ENDED) is False
    assert len(mine) <= 32


@both
def test_a_worker_tells_what_it_is_and_keeps_when_it_started(mine: str) -> None:
    beat(mine, classes=("preview",), tags=("night",))
    first = read()
    beat(mine, classes=("preview",), tags=("night",))
    found = read()
    assert (found.host, found.version) == ("attic", "1")
    assert (found.classes, found.tags) == (["preview"], ["night"])
    assert (found.free_bytes, found.utilisation) == (10**9, 0.5)
    assert found.started_at == first.started_at
    assert found.seen_at > first.seen_at


@both
def test_the_name_of_a_live_process_is_not_taken(mine: str) -> None:
    beat(mine)
    age(600)  # stopped for long, but there
    other = take("9.9.ffffffff")
    assert other is not None
    assert other.instance == mine
    assert take(mine) is None


@both
def test_the_name_of_a_dead_process_is_taken_at_once_and_its_job_forgotten(mine: str, dead: str) -> None:
    beat(dead)
    with sessions.write_session() as session:
        registry.set_job(session, NAME, "a" * 32)
    assert take(mine) is None
    assert (read().instance, read().job_id) == (mine, None)
    # And a child of the dead one that still beats is told
    with pytest.raises(NameTaken):
        beat(dead)
    with sessions.read_session() as session, pytest.raises(NameTaken):
        registry.read_order(session, NAME, dead)
    with sessions.write_session() as session:
        assert not registry.is_active(session, NAME, dead, lock=True)
        assert registry.is_active(session, NAME, mine, lock=True)


@both
@pytest.mark.parametrize("instance", [ELSEWHERE, ""])
def test_the_name_of_a_process_elsewhere_is_taken_when_it_was_not_seen_for_long(
    instance: str, mine: str
) -> None:
    beat(ELSEWHERE)
    with sessions.write_session() as session:
        session.get_one(Worker, NAME).instance = instance
    assert take(mine) is not None
    age(registry.ALIVE_SECONDS + 1)
    assert take(mine) is None


@both
def test_the_name_of_a_process_that_ended_in_order_is_free_and_it_is_alive_no_more(mine: str) -> None:
    beat(ELSEWHERE)
    with sessions.write_session() as session:
        registry.release_name(session, NAME, mine)  # not its own
        assert [worker.name for worker in registry.list_alive(session)] == [NAME]
        registry.release_name(session, NAME, ELSEWHERE)
        assert registry.list_alive(session) == []
    assert take(mine) is None
    beat(mine)
    with sessions.read_session() as session:
        assert [worker.name for worker in registry.list_alive(session)] == [NAME]


@both
def test_a_draining_worker_ends_without_a_job_and_takes_none_when_it_is_started_again(mine: str) -> None:
    beat(mine)
    with sessions.write_session() as session:
        registry.set_job(session, NAME, "a" * 32)
        operations.drain(session, NAME, "Ada")
        assert not registry.finish_draining(session, NAME, mine)
        registry.set_job(session, NAME, None)
        assert registry.finish_draining(session, NAME, mine)
    assert (read().state, read().state_reason) == (WorkerState.PAUSED, registry.DRAINED)
    with sessions.write_session() as session:
        assert not registry.finish_draining(session, NAME, mine)
        assert not registry.is_active(session, NAME, mine, lock=True)


@both
def test_a_sick_worker_is_remembered_longer_than_others(mine: str) -> None:
    beat(mine)
    with sessions.write_session() as session:
        operations.mark_sick(session, NAME, "its GPU fell off")
    age(3 * 24 * 3600)
    with sessions.write_session() as session:
        registry.delete_stale(session)
    assert read().state is WorkerState.SICK
    age(31 * 24 * 3600)
    with sessions.write_session() as session:
        registry.delete_stale(session)
        assert session.query(Worker).all() == []


# How busy a card is

CARD = "GPU-aaaaaaaa-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f'[ "$4" = {CARD} ] && echo 37', 0.37),
        ("echo '[N/A]'", None),  # as of a slice
        ("echo 'Unable to determine the device handle'; exit 15", None),
        ("", None),
    ],
)
def test_the_use_of_a_card_is_read_where_it_is_told(
    script: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_smi.read_utilisation(CARD) is None  # there is no such program
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert nvidia_smi.read_utilisation(CARD) == expected
