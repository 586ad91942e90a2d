"""A receiver of webhooks on a socket of this machine, which answers as a test wants it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any


@dataclass
class Call:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers with `statuses` one after the other, the last for ever. `hanging`: not before it is
    closed; `dripping`: a head that never ends."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [204])
    location: str = ""
    hanging: bool = False
    dripping: bool = False
    calls: list[Call] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/told?key=letmein"


@contextmanager
def receiving(receiver: Receiver, tls: SSLContext | None = None) -> Iterator[Receiver]:
    """The receiver, listening."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.statuses[min(len(receiver.calls), len(receiver.statuses) - 1)]
            receiver.calls.append(Call(self.path, dict(self.headers), body))
            receiver.called.set()
            if receiver.hanging:
                receiver.closed.wait()
            if receiver.dripping:
                self._drip()
                return
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _drip(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            try:
                while not receiver.closed.wait(0.02):
                    self.wfile.write(b"x")
            except OSError:  # the farm hung up
                pass

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            """A caller that hangs up is what these tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.closed.set()
            server.shutdown()
            thread.join()
