"""gunicorn's configuration: `gunicorn --config python:web.server 'web:create_app()'`.

One process with threads: it is what SQLite likes best, and live streams need threads, not processes.
"""

from __future__ import annotations

import signal
import socket
import struct
from types import FrameType
from typing import Any

from farm import decoding
from farm.settings import settings

_wanted = settings()
_host = f"[{_wanted.host}]" if ":" in _wanted.host else _wanted.host

bind = f"{_host}:{_wanted.port}"
worker_class = "gthread"
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
    """A sender who falls silent in the middle of a request gives back the thread that waits for them.
    Connections have this from the sockets that accept them."""
    patience = struct.pack("ll", _wanted.silence_seconds, 0)  # a timeval
    for listener in arbiter.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)


def post_worker_init(worker: Any) -> None:
    """Pictures can be decoded from the first request on. Told to stop, the streams end at once; what
    else is being answered has its grace."""
    decoding.warm()

    def stop(number: int, frame: FrameType | None) -> None:
        worker.wsgi.extensions["live"].stop()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, stop)
