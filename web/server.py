"""gunicorn's configuration: `gunicorn --config python:web.server 'web:create_app()'`.

One process with threads: it is what SQLite likes best, and live streams need threads, not processes.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from farm.pictures import decoder_pool
from farm.settings import settings
from web import connections

_wanted = settings()
_host = f"[{_wanted.host}]" if ":" in _wanted.host else _wanted.host

bind = f"{_host}:{_wanted.port}"
worker_class = connections.Worker
logger_class = connections.Logger
workers = 1
threads = _wanted.web_threads + _wanted.web_streams  # a live stream holds one
graceful_timeout = 5
timeout = 120
loglevel = "warning"
sendfile = False  # it waits without end for who does not read
control_socket_disable = True  # signals are enough, and the socket would lie in somebody's home

# What a proxy says is believed as FARM_PROXIES says, by the application. By default gunicorn would
# believe anybody on this machine, and let headers named SCRIPT_NAME and PATH_INFO rewrite addresses.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def post_worker_init(worker: Any) -> None:
    """Start the decoders before the first request, and end the live streams at once on SIGTERM; what
    else is being answered has its grace."""
    decoder_pool.warm()

    def stop(number: int, frame: FrameType | None) -> None:
        worker.wsgi.extensions["live"].stop()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, stop)
