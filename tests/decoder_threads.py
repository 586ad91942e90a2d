"""A thread in place of a process that decodes: the same questions and answers, and no start of Python.

A process takes a third of a second of a processor to start, and most tests need a decoder without being
about its process. Those that are use the fixture `decoders_as_processes`.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from contextlib import suppress
from threading import Thread
from typing import Any

from farm.clips.clip_child import PROCESS
from farm.pictures import decoder_child, decoder_process
from farm.pictures.decoder_process import READY, Parent
from farm.pictures.decoder_request import ProcessLimits
from farm.pictures.sandbox import LANDLOCK, SECCOMP


class DecoderThread:
    """The part of a `Popen` that `decoder_child` uses."""

    def __init__(self, module: str) -> None:
        ours, theirs = socket.socketpair()
        self._ours, self._killed = ours, False
        self.stdin, self.stdout = ours.makefile("wb"), ours.makefile("rb")
        ours.close()  # with these two
        self._thread = Thread(target=_answer, args=(module, theirs), name="decoder", daemon=True)
        self._thread.start()

    def poll(self) -> int | None:
        if self._thread.is_alive():
            return None
        return -signal.SIGKILL if self._killed else 0

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("a decoder", timeout or 0.0)
        return code

    def kill(self) -> None:
        """Take its connection away, with which it ends; what it computes it computes to its end."""
        if self._thread.is_alive():
            self._killed = True
            with suppress(OSError):  # closed already
                self._ours.shutdown(socket.SHUT_RDWR)


start_process = decoder_child._start


def start(module: str, limits: ProcessLimits) -> Any:
    """Start a thread instead of a process; nothing limits it."""
    return DecoderThread(module)


def _answer(module: str, connection: socket.socket) -> None:
    serve = decoder_process.serve
    if module == PROCESS:
        from farm.clips import clip_process  # needs the extra `film`

        serve = clip_process.serve
    with connection, suppress(OSError):  # whoever asked went away
        parent = Parent(connection.makefile("rb"), connection.makefile("wb"))
        with parent.questions, parent.answers:
            parent.write(b" ".join((READY, LANDLOCK.encode(), SECCOMP.encode())) + b"\n")
            serve(parent, lambda: None)
