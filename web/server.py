"""gunicorn's configuration: `gunicorn --config python:web.server 'web:create_app()'`.

One process with threads: it is what SQLite likes best, and live streams need threads, not processes.
"""

from __future__ import annotations

import signal
import socket
import struct
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from farm.pictures import decoder_pool
from farm.settings import settings

LINGER_SECONDS = 2.0  # for whoever is still sending when the answer is out
LINGER_BYTES = 1 << 16
DRAIN_SECONDS = 10.0  # for the rest of a request that was answered before it was read


class Worker(ThreadWorker):
    """Worker that closes a connection in the thread that served it.

    The base class does so in the one thread that accepts all others, where each client that does not
    hang up costs everybody two seconds.
    """

    def handle(self, conn: TConn) -> Any:
        """Serve a request; return whether the connection is kept for another."""
        kept = super().handle(conn)
        if kept is False:
            _close_gently(conn.sock)
        return kept

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Read the rest of a request and keep the connection: whoever sends all before reading would not
        see a refusal otherwise. The base class reads little of it."""
        if not keepalive:
            return False
        deadline = time.monotonic() + DRAIN_SECONDS
        return bool(conn.parser.finish_body(deadline=deadline, max_bytes=DRAIN_BYTES))


def _close_gently(connection: socket.socket) -> None:
    """Shut down our side, and read what still comes until the other side hangs up: closed before that,
    its system would throw away the end of the answer (RFC 9112, section 9.6)."""
    until, read = time.monotonic() + LINGER_SECONDS, 0
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while read < LINGER_BYTES and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(4096)
            if not data:
                break
            read += len(data)
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)  # now the base class finds nothing to wait for


_wanted = settings()
DRAIN_BYTES = 2 * 1_000_000 * _wanted.max_upload_mb  # more than may be sent is refused, too
_host = f"[{_wanted.host}]" if ":" in _wanted.host else _wanted.host

bind = f"{_host}:{_wanted.port}"
worker_class = Worker
workers = 1
threads = _wanted.web_threads + _wanted.web_streams  # a live stream holds one
graceful_timeout = 5
timeout = 120
loglevel = "warning"

# What a proxy says is believed as FARM_PROXIES says, by the application. By default gunicorn would
# believe anybody on this machine, and let headers named SCRIPT_NAME and PATH_INFO rewrite addresses.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def when_ready(arbiter: Any) -> None:
    """Limit the silence in the middle of a request, which holds a thread; connections inherit the limit
    from the sockets that accept them."""
    patience = struct.pack("ll", _wanted.silence_seconds, 0)  # a timeval
    for listener in arbiter.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)


def post_worker_init(worker: Any) -> None:
    """Start the decoders before the first request, and end the live streams at once on SIGTERM; what
    else is being answered has its grace."""
    decoder_pool.warm()

    def stop(number: int, frame: FrameType | None) -> None:
        worker.wsgi.extensions["live"].stop()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, stop)
