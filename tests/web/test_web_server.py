"""The web part as its operator starts it, with few threads: nobody holds it or breaks it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from benchmarks.testbed.processes import FARM, answers, free_port, wait_for
from tests.web.conftest import farm_in
from web.connections import Crowd

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("web server")]

THREADS = 10
SENDERS = 21
PATIENCE = 30  # s; a second for silence and two for leave, twice, are 6
HEAD = (
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
)


@pytest.fixture(scope="module")
def port(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One web part for all: what one test does to it is gone before the next."""
    port, folder = free_port(), tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as patch, farm_in(folder / "home", tables, patch):
        alone = {"FARM_WEB_THREADS": str(THREADS), "FARM_WEB_STREAMS": "0", "FARM_SILENCE_SECONDS": "1"}
        alone |= {"FARM_LOG_FORMAT": "json", "HOME": str(folder), "XDG_RUNTIME_DIR": ""}
        environment = os.environ | alone | {"PORT": str(port), "REDIS_URL": ""}
        with (folder / "log").open("w") as log:
            web = subprocess.Popen([*FARM, "web"], env=environment, stdout=log, stderr=log)
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}"), pause=0.05)
            yield port
        finally:
            web.terminate()
            web.wait(120)
    lines = (folder / "log").read_text().splitlines()
    for line in lines:
        assert "exception" not in json.loads(line), line  # each is JSON, and nobody caused a traceback
    assert not list(folder.rglob("gunicorn.ctl"))


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


def find_largest_static(port: int) -> bytes:
    page = httpx.get(f"http://127.0.0.1:{port}/").text
    addresses = set(re.findall(r'(?:href|src)="(/[^"]+\.(?:css|js)[^"]*)"', page))
    sizes = {path: len(httpx.get(f"http://127.0.0.1:{port}{path}").content) for path in addresses}
    return max(sizes, key=lambda path: sizes[path]).encode()


def test_answers_that_nobody_reads_do_not_hold_it(port: int) -> None:
    # Given more clients than threads, which ask for a static file again and again and never read
    path = find_largest_static(port)
    asked = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path
    with ExitStack() as readers:
        for _ in range(SENDERS):
            connection = readers.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(asked * 40)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE).status_code == 200


def test_the_fewer_threads_are_free_the_faster_a_peer_has_to_be() -> None:
    crowd = Crowd(threads=10, streams=20)
    with ExitStack() as busy:
        rates = []
        for _ in range(31):
            rates.append(crowd.compute_rate())
            busy.enter_context(crowd)
    assert rates[:26] == [1000] * 26
    assert rates[25:] == sorted(set(rates))
    assert rates[30] == 64_000
    assert crowd.compute_rate() == 1000


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", b"x"),
        (HEAD + b"Content-Length: 900000\r\n\r\n--x\r\n", bytes(1500)),  # 5 kB/s
    ],
    ids=["a byte now and then", "a little more than silence"],
)
def test_slow_senders_do_not_hold_it(port: int, head: bytes, piece: bytes) -> None:
    # Given more senders than threads, none of them silent for a second
    with ExitStack() as senders:
        trickling = [senders.enter_context(begun(port, head)) for _ in range(SENDERS)]
        done = threading.Event()

        def trickle() -> None:
            while not done.wait(0.3):
                for each in trickling:
                    with suppress(OSError):
                        each.send(piece)

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE).status_code == 200
        finally:
            done.set()
            thread.join()


def test_connections_that_ask_nothing_hold_nobody(port: int) -> None:
    with ExitStack() as silent:
        for _ in range(5 * THREADS):
            silent.enter_context(begun(port, b""))
        started = time.monotonic()
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE).status_code == 200
        assert time.monotonic() - started < 4  # the server's own patience with each would be 5 s


CHUNKED = HEAD.replace(b"/jobs", b"/estimate").replace(
    b"multipart/form-data; boundary=x", b"application/json"
)
CHUNKED += b"Transfer-Encoding: chunked\r\n\r\n"
NO_HTTP = {
    "an address too long": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    "a header too long": (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
    "too many headers": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    "no request line": (b"hello\r\n\r\n", 400),
    "another protocol": (b"GET / HTTP/9.9\r\n\r\n", 505),
    "a bad length": (HEAD + b"Content-Length: -1\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "another coding": (HEAD + b"Transfer-Encoding: br\r\n\r\n", 501),
    "another expectation": (HEAD + b"Expect: magic\r\nContent-Length: 1\r\n\r\n", 417),
    "a chunk without a size": (CHUNKED + b"xyz\r\n", 400),
    "a chunk without an end": (CHUNKED + b"2\r\n{}xx0\r\n\r\n", 400),
    "a bad extension of a chunk": (CHUNKED + b"2;\x01\r\n{}\r\n0\r\n\r\n", 400),
    "a bad trailer": (CHUNKED + b"2\r\n{}\r\n0\r\n: x\r\n\r\n", 400),
    "a forbidden trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nHost: x\r\n\r\n", 400),
    "a trailer cut off": (CHUNKED + b"2\r\n{}\r\n0\r\nA: b", 400),
    "a chunk cut off": (CHUNKED + b"20\r\n{}", 408),
}


def test_what_is_no_http_gets_a_plain_answer(port: int) -> None:
    for name, (data, status) in NO_HTTP.items():
        with begun(port, data) as connection, connection.makefile("rb") as answer:
            if "cut off" in name:
                connection.shutdown(socket.SHUT_WR)
            first = answer.readline()
            assert first.startswith(b"HTTP/1.1 %d " % status), (name, first)
            assert b"<html" not in answer.read(), name
