"""The web part as its operator starts it, with one thread: who falls silent does not hold it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.processes import FARM, answers, free_port, wait_for

pytestmark = pytest.mark.timeout(60)

HEAD = (
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
)


@pytest.fixture
def port(home: Path) -> Iterator[int]:
    port = free_port()
    alone = {"FARM_WEB_THREADS": "1", "FARM_WEB_STREAMS": "0", "FARM_SILENCE_SECONDS": "1"}
    environment = os.environ | alone | {"PORT": str(port), "REDIS_URL": "memory://"}
    web = subprocess.Popen([*FARM, "web"], env=environment)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}"), pause=0.05)
        yield port
    finally:
        web.terminate()
        web.wait(20)


def begun(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(data)
    return connection


def test_requests_that_were_begun_and_never_ended_do_not_hold_it(port: int) -> None:
    # Given more silent senders than there are threads: in the middle of the head, and of the body
    with ExitStack() as senders:
        for data in (b"GET / HT", HEAD, HEAD + b"Content-Length: 5000\r\n\r\n--x\r\n"):
            last = senders.enter_context(begun(port, data))
        # Then others are answered as soon as the farm has lost patience with each, and so is the last
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=20).status_code == 200
        assert last.recv(100).startswith(b"HTTP/1.1 408 ")


def test_whoever_pauses_and_goes_on_is_served(port: int) -> None:
    with begun(port, b"GET /healthz HT") as sender:
        time.sleep(0.5)
        sender.sendall(b"TP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert sender.recv(100).startswith(b"HTTP/1.1 200 ")
