"""Connections of clients, and gunicorn's worker on top: nobody holds a thread by doing nothing."""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import structlog
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.http import errors
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

from farm import log as farm_log
from farm.settings import settings

SLOWEST_RATE = 1000  # bytes/s of a peer that is never let go while half of the threads are free
CROWDED = 64  # times as fast as that a peer has to be when none is
LINGER_SECONDS = 2.0  # for whoever is still sending when the answer is out
LINGER_BYTES = 1 << 16
RESET = struct.pack("ii", 1, 0)  # of SO_LINGER: forget what was not read
STATUSES = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.InvalidHTTPVersion: HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
}
DETAILS = {
    HTTPStatus.REQUEST_URI_TOO_LONG: "The address is too long.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too long, or too many.",
    HTTPStatus.EXPECTATION_FAILED: "The farm knows no other expectation than 100-continue.",
    HTTPStatus.NOT_IMPLEMENTED: "The farm knows no other transfer coding than chunked.",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "The farm speaks HTTP/1.1 and 1.0.",
    HTTPStatus.BAD_REQUEST: "The request is not valid HTTP.",
}
OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)  # the application's faults

T = TypeVar("T")
log = structlog.get_logger()


class PeerSilent(ConnectionResetError):
    """The other side neither sent nor read for too long."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "silent for too long")  # gunicorn passes over it in silence


class _Sized(Protocol):
    def __len__(self) -> int: ...


class Crowd:
    """Threads that are at work, and how slow a peer may be meanwhile: the fewer are left, the faster."""

    def __init__(self, threads: int, streams: int) -> None:
        """Begin with none at work.

        Args:
            threads: for requests. streams: threads beside them, one for each live stream.
        """
        self._all, self._threads = threads + streams, threads
        self._lock, self._busy = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._busy += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._busy -= 1

    def compute_rate(self) -> float:
        """Return the slowest rate at which a peer is not let go, bytes/s."""
        free = min(1.0, max(0, self._all - self._busy) / self._threads)
        return float(SLOWEST_RATE * CROWDED ** max(0.0, 1 - 2 * free))


class PatientSocket(socket.socket):
    """Socket that waits for its peer no longer than `patience` seconds in all, for one request.

    Each byte that moves gives back 1 / rate of a second, up to `patience`: a slow peer has all the time
    it needs, one that is silent or moves single bytes now and then has not.
    """

    def __init__(
        self, connection: socket.socket, patience: float, compute_rate: Callable[[], float]
    ) -> None:
        timeout = connection.gettimeout()
        super().__init__(fileno=connection.detach())
        self.settimeout(timeout)
        self._patience = self._left = patience
        self._compute_rate = compute_rate
        self.unread = False  # the peer let an answer lie

    def renew_patience(self) -> None:
        """Begin anew: another request."""
        self._left = self._patience

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive up to `size` bytes.

        Raises:
            PeerSilent: nothing came in time.
        """
        data: bytes = self._spend(super().recv, size, flags)
        self._earn(data)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it.

        Raises:
            PeerSilent: the peer reads too little of it.
        """
        rest = memoryview(data)
        while rest:
            try:
                sent = self._spend(super().send, rest, flags)
            except PeerSilent:
                self.unread = True
                raise
            self._earn(rest[:sent])
            rest = rest[sent:]

    def _spend(self, act: Callable[[T, int], Any], what: T, flags: int) -> Any:
        """Wait for one act within what is left of the patience, and within the socket's own timeout."""
        own = self.gettimeout()
        if own == 0:
            return act(what, flags)
        if own is None:  # what can be done at once needs no clock, which takes longer than the act
            with suppress(BlockingIOError):
                return act(what, flags | socket.MSG_DONTWAIT)
        left, begun = max(self._left, 0.001), time.monotonic()
        self.settimeout(left if own is None else min(left, own))
        try:
            return act(what, flags)
        except TimeoutError:
            if own is not None and own < left:
                raise
            raise PeerSilent from None
        finally:
            self._left -= time.monotonic() - begun
            self.settimeout(own)

    def _earn(self, moved: _Sized) -> None:
        self._left = min(self._patience, self._left + len(moved) / self._compute_rate())


class Worker(ThreadWorker):
    """Worker that waits in its threads for nobody who has not begun, and for nobody without end.

    It also closes a connection in the thread that served it. The base class does so in the one thread
    that accepts all others, where each client that does not hang up costs everybody two seconds.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._crowd = Crowd(settings().web_threads, settings().web_streams)

    def handle(self, conn: TConn) -> Any:
        """Serve a request; return whether the connection is kept for another."""
        if not conn.initialized and not conn.wait_for_data(0):
            return _DEFER  # until the first byte it costs no thread
        if not isinstance(conn.sock, PatientSocket):
            patience = settings().silence_seconds
            conn.sock = PatientSocket(conn.sock, patience, self._crowd.compute_rate)
        conn.sock.renew_patience()
        with self._crowd:
            kept = super().handle(conn)
            if kept is False:
                _close_gently(conn.sock)
        return kept

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Read the rest of a request and keep the connection: whoever sends all before reading would not
        see a refusal otherwise. The base class reads little of it."""
        largest = settings().max_upload_mb + settings().max_clip_mb
        most = 2 * 1_000_000 * largest  # more than may be sent is refused, too
        return keepalive and bool(conn.parser.finish_body(max_bytes=most))

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what is no HTTP, which the application never sees, in one line of text."""
        host = addr[0] if isinstance(addr, tuple) else str(addr)
        status = find_status(exc)
        if status in DETAILS:
            log.info("refused", client=host, status=int(status), detail=str(exc))
        else:
            log.error("request failed", client=host, exc_info=exc)
        with suppress(OSError):
            client.sendall(_write_answer(status))


def find_status(error: BaseException) -> HTTPStatus:
    """Return the status of what gunicorn cannot parse; 500 for what is no fault of the client's."""
    if isinstance(error, OURS) or not isinstance(error, errors.ParseException):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    found = (status for kind, status in STATUSES.items() if isinstance(error, kind))
    return next(found, HTTPStatus.BAD_REQUEST)


def _write_answer(status: HTTPStatus) -> bytes:
    detail = DETAILS.get(status, "Something broke on our side. It has been logged.")
    text = f"{int(status)} {status.phrase}: {detail}\n".encode()
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}",
        f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S GMT}",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        "X-Content-Type-Options: nosniff",
        f"Content-Length: {len(text)}",
    )
    return "\r\n".join((*head, "", "")).encode() + text


def _close_gently(connection: PatientSocket) -> None:
    """Shut down our side, and read what still comes until the other side hangs up: closed before that,
    its system would throw away the end of the answer (RFC 9112, section 9.6)."""
    if connection.unread:  # what lies in its buffers would stay there for minutes
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    until, read = time.monotonic() + LINGER_SECONDS, 0
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while not connection.unread and read < LINGER_BYTES and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(4096)
            if not data:
                break
            read += len(data)
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)  # now the base class finds nothing to wait for


class Logger(GunicornLogger):
    """Log of gunicorn, written as the farm's own."""

    def setup(self, cfg: Any) -> None:
        """Take the farm's handler; called again when the configuration is reloaded."""
        super().setup(cfg)
        farm_log.configure()
        self.error_log.handlers = []
        self.error_log.propagate = True
