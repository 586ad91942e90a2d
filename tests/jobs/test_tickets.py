"""Tickets over a real Redis-protocol server that may stop."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Queue
from redis import Redis
from structlog.testing import capture_logs

from benchmarks.testbed.processes import redis_server
from farm.database.models import WorkClass
from farm.jobs.tickets import celery, send_ticket
from farm.settings import settings
from tests.conftest import fresh_settings

pytestmark = pytest.mark.processes


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis-protocol server, which the settings name."""
    with redis_server() as (port, process):
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
        fresh_settings()
        yield process


def test_a_worker_takes_tickets_again_after_one_that_redis_did_not_take_back(
    server: subprocess.Popen[bytes],
) -> None:
    from workers import tasks

    assert send_ticket(WorkClass.PREVIEW)
    channel: Any  # Redis's, whose types nobody wrote
    with celery().connection_for_read() as connection, connection.channel() as channel:
        channel.basic_qos(0, 1, False)  # one at a time, as a worker
        message = Queue(WorkClass.PREVIEW, channel=channel).get(no_ack=False)
        assert message
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


def test_a_ticket_is_sent_though_a_key_of_the_queue_is_of_another_type(
    server: subprocess.Popen[bytes],
) -> None:
    queue = Redis.from_url(settings().redis_url)
    for key in ("preview", "_kombu.binding.preview", "_kombu.binding_permanent.preview"):
        queue.flushall()
        assert send_ticket(WorkClass.PREVIEW)
        queue.delete(f"farm:{key}")
        queue.set(f"farm:{key}", "of another type")
        with capture_logs() as logged:
            assert send_ticket(WorkClass.PREVIEW), key
        assert len([line for line in logged if line["event"].startswith("key dropped")]) <= 1, key
        assert queue.lrange("farm:preview", 0, -1), key
