"""A network that misbehaves: a TCP proxy between a farm and one of its servers."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 1 << 16  # bytes handed on at once
SLOW_SECONDS = 0.5  # that a slow network needs for each piece
FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy(socketserver.ThreadingTCPServer):
    """Hands on what comes, unless told otherwise.

    black_hole: nothing gets through, and nobody is told. slow: each piece takes half a second.
    failing: every request is answered with HTTP's 500.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.beyond = (host, port)
        self.port = int(self.server_address[1])
        self.through = threading.Event()
        self.through.set()
        self.slow = self.failing = False

    @contextmanager
    def black_hole(self) -> Iterator[None]:
        """While the block runs."""
        self.through.clear()
        try:
            yield
        finally:
            self.through.set()


class _Connection(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(self.server.beyond) as beyond:
            back = threading.Thread(target=self._hand_on, args=(beyond, self.request), daemon=True)
            back.start()
            self._hand_on(self.request, beyond)
            back.join()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if self.server.failing:
                    self.request.sendall(FAILURE)
                    break
                if self.server.slow:
                    time.sleep(SLOW_SECONDS)
                self.server.through.wait()
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    """One that runs."""
    with Proxy(host, port) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.through.set()
        running.shutdown()
