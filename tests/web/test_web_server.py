"""The web part as its operator starts it, with few threads: who falls silent does not hold it."""

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

from benchmarks.testbed.processes import FARM, answers, free_port, wait_for

pytestmark = pytest.mark.processes

THREADS = 10
SENDERS = 21
PATIENCE = 30  # s; a second for silence and two for leave, twice, are 6
HEAD = (
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
)


@pytest.fixture
def port(home: Path) -> Iterator[int]:
    port = free_port()
    alone = {"FARM_WEB_THREADS": str(THREADS), "FARM_WEB_STREAMS": "0", "FARM_SILENCE_SECONDS": "1"}
    environment = os.environ | alone | {"PORT": str(port), "REDIS_URL": "memory://"}
    web = subprocess.Popen([*FARM, "web"], env=environment)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}"), pause=0.05)
        yield port
    finally:
        web.terminate()
        web.wait(120)


def begun(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(data)
    return connection


def test_requests_that_were_begun_and_never_ended_do_not_hold_it(port: int) -> None:
    # Given more silent senders than there are threads: in the middle of the head, and of the body
    halves = (b"GET / HT", HEAD, HEAD + b"Content-Length: 5000\r\n\r\n--x\r\n")
    with ExitStack() as senders:
        for number in range(SENDERS):
            last = senders.enter_context(begun(port, halves[number % len(halves)]))
        # Then others are answered as soon as the farm has lost patience with them, and so is the last
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE).status_code == 200
        assert last.recv(100).startswith(b"HTTP/1.1 408 ")


def test_clients_that_do_not_hang_up_delay_nobody(port: int) -> None:
    # Given clients that were answered and told that nothing follows, and stay
    with ExitStack() as clients:
        for _ in range(SENDERS):
            request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            clients.enter_context(begun(port, request))
        # Then the farm takes leave of them side by side; one after another would be two seconds each
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE).status_code == 200


def test_whoever_pauses_and_goes_on_is_served(port: int) -> None:
    with begun(port, b"GET /healthz HT") as sender:
        time.sleep(0.5)
        sender.sendall(b"TP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert sender.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_refusal_reaches_whoever_sends_all_before_reading(port: int) -> None:
    # Given a large body under a key that is refused before the body is read
    size = 3_000_000  # more than this farm takes
    head = HEAD + b"Idempotency-Key: " + b"k" * 300 + b"\r\nContent-Length: %d\r\n\r\n" % size
    started = b"--x\r\n"
    with begun(port, head + started) as sender:
        for _ in range(size // 10_000 - 1):
            sender.sendall(bytes(10_000))
        sender.sendall(bytes(10_000 - len(started)))
        # Then the answer is there afterwards, and the connection serves the next request
        assert sender.recv(100).startswith(b"HTTP/1.1 4")
        sender.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with sender.makefile("rb") as answer:
            assert b"HTTP/1.1 200 " in answer.read()
