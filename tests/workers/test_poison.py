"""Messages in the queue that are no tickets: dropped and logged, and the worker goes on."""

from __future__ import annotations

from typing import Any

import kombu
import pytest
import redis
from kombu.transport import redis as transport
from structlog.testing import capture_logs

from benchmarks.testbed.processes import redis_server
from farm.jobs.tickets import TASK
from tests.workers.poison import GOOD, ODD_FIELDS, POISON
from workers.broker import TicketChannel


@pytest.mark.processes
def test_whatever_lies_in_the_queue_a_worker_reads_a_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.Transport, "Channel", TicketChannel)
    read: list[object] = []

    def take(body: object, message: kombu.Message) -> None:
        read.append((message.headers["task"], body[0], message.headers["retries"]))  # type: ignore[index]
        message.ack()

    with redis_server() as (port, _):
        queue = redis.Redis(port=port)
        options = {"global_keyprefix": "farm:"}
        with (
            kombu.Connection(f"redis://127.0.0.1:{port}/0", transport_options=options) as connection,
            connection.Consumer(kombu.Queue("standard"), callbacks=[take], accept=["json"]),
            capture_logs() as logged,
        ):
            # What is said to be taken and not acknowledged long ago is forgotten, not sent again
            queue.hset("farm:unacked", "tag", "garbage")
            queue.zadd("farm:unacked_index", {"tag": 1})
            taken: Any = connection.default_channel
            taken.qos.restore_visible()
            assert not queue.exists("farm:unacked", "farm:unacked_index")
            for data in [*POISON, GOOD]:
                queue.lpush("farm:standard", data)
                connection.drain_events(timeout=30)
            assert queue.llen("farm:standard") == queue.hlen("farm:unacked") == 0
    assert read == [(TASK, ["standard"], 0)] * (len(POISON) + 1)
    # Those whose oddities do not matter are as good as a ticket; the others are in the log
    dropped = [line for line in logged if line["event"].startswith("message dropped")]
    assert len(POISON) - len(ODD_FIELDS) - 8 <= len(dropped) < len(POISON)


OTHER_TYPES = ["farm:standard", "farm:standard\x06\x163", "farm:unacked", "farm:unacked_index"]
OTHER_TYPES += ["farm:_kombu.binding.standard", "farm:_kombu.binding_permanent.standard"]


def write_other_types(queue: redis.Redis) -> None:
    """Put a key of a type that it must not have at each place where the queue keeps something."""
    for key in OTHER_TYPES:
        queue.delete(key)
        queue.set(key, "of another type")


@pytest.mark.processes
def test_keys_of_another_type_are_dropped_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.Transport, "Channel", TicketChannel)
    read: list[object] = []

    def take(body: object, message: kombu.Message) -> None:
        read.append(body[0])  # type: ignore[index]
        write_other_types(queue)
        message.ack()

    with redis_server() as (port, _):
        queue = redis.Redis(port=port)
        options = {"global_keyprefix": "farm:"}
        url = f"redis://127.0.0.1:{port}/0"
        queue.set("farm:another", "no key of the queue")
        for _ in range(2):  # at the start of a worker, and again while one goes on
            write_other_types(queue)
            with (
                capture_logs() as logged,
                kombu.Connection(url, transport_options=options) as connection,
                connection.Consumer(kombu.Queue("standard"), callbacks=[take], accept=["json"]),
            ):
                for _ in range(2):
                    with pytest.raises(TimeoutError):
                        connection.drain_events(timeout=0.3)
                    queue.lpush("farm:standard", GOOD)
                    connection.drain_events(timeout=30)
                told = [line["key"] for line in logged if line["event"].startswith("key dropped")]
                assert sorted(told) == sorted(OTHER_TYPES * 3)
        assert queue.get("farm:another") == b"no key of the queue"
    assert read == [["standard"]] * 4
