"""Uploads are checked in child processes of the web part, a few for all clients (`decoder_child.py`).

Its threads stay free meanwhile. Clients take turns, and a file that was refused lately takes no process
again.
"""

from __future__ import annotations

import atexit
import os
from collections import Counter, OrderedDict, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from queue import LifoQueue
from threading import Lock
from time import monotonic

import structlog

from farm.errors import Busy, FarmError, InvalidInput, Problem
from farm.pictures.decode import Channels, Checked
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_request import Limits, PictureFile

PROCESSES = 2
WAIT_SECONDS = 30.0  # for a free process
SLOW_SECONDS = 5.0  # of one picture; a photograph of 12 megapixels takes 0.2
CAUTION_SECONDS = 600.0  # for which a client has one process at a time, after a slow picture
REFUSED_FILES = 1000  # whose refusal is remembered
REFUSED_SECONDS = 600.0  # a machine under load may take longer than it would later

log = structlog.get_logger()

_client: ContextVar[str] = ContextVar("client", default="")
_Key = tuple[str, int, Channels, Limits]  # SHA-256 of a file, and what it was held against


class Pool:
    """Some child processes, each started when it is first needed, or before by `warm`, and kept;
    threads may share it.

    Each child is asked by a thread of the pool's own: on Linux a child dies with the thread that
    started it, and those that serve requests come and go.
    """

    def __init__(self, limits: Limits | None = None, wait_seconds: float = WAIT_SECONDS) -> None:
        """
        Args:
            limits: by default those of the settings.
        """
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._threads = ThreadPoolExecutor(PROCESSES, "decoding")
        self._children = [Child() for _ in range(PROCESSES)]
        self._refusals = _Refusals()
        self._turns = _Turns()
        self._idle: LifoQueue[Child] = LifoQueue()
        for child in self._children:
            self._idle.put(child)

    def check(self, pictures: Sequence[PictureFile]) -> Generator[Checked]:
        """Check pictures in parallel; yield the results in their order.

        Raises:
            NotAPicture, TooLarge, InvalidInput: of the next one, as `decode.check`, or because
                it went beyond the limits.
            Busy: no process was free in time.
        """
        begun = [self._begin(picture) for picture in pictures]
        try:
            for one in begun:
                yield self._await_result(one)
        finally:
            for one in begun:
                one.cancel()

    def warm(self) -> None:
        """Start the children now, in the background; the first picture then waits for none."""
        for _ in self._children:
            self._threads.submit(self._warm)

    def close(self) -> None:
        """End the children. The pictures they were decoding are refused."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._turns.cancel_all()
        for child in self._children:
            child.kill()
        self._threads.shutdown()
        for child in self._children:
            child.end()

    def _begin(self, picture: PictureFile) -> Future[Checked]:
        """Queue a picture for a child, unless it was refused lately."""
        limits = self._limits or Limits.from_settings()
        key = picture.sha256, picture.shortest, picture.channels, limits
        answer: Future[Checked] = Future()
        if refusal := self._refusals.find(key, picture.field):
            answer.set_exception(refusal)
        else:
            self._turns.add(_Asked(picture, key, answer, _client.get()))
            self._threads.submit(self._check_next)
        return answer

    def _check_next(self) -> None:
        """Check the next picture of the client whose turn it is, until none may have this thread."""
        while asked := self._turns.take():
            began = monotonic()
            if asked.answer.set_running_or_notify_cancel():
                try:
                    asked.answer.set_result(self._check_one(asked.picture, asked.key))
                except BaseException as error:
                    asked.answer.set_exception(error)
            self._turns.finish(asked.client, monotonic() - began)

    def _check_one(self, picture: PictureFile, key: _Key) -> Checked:
        child = self._idle.get()  # there are as many as threads
        try:
            return child.check(picture, key[-1])
        except InvalidInput as error:
            if not child.was_killed:
                self._refusals.remember(key, error)
            raise
        finally:
            self._idle.put(child)

    def _warm(self) -> None:
        child = self._idle.get()
        try:
            child.await_ready(self._limits or Limits.from_settings())
        except (FarmError, OSError):
            log.exception("no process to decode pictures; the next picture tries again")
        finally:
            self._idle.put(child)

    def _await_result(self, one: Future[Checked]) -> Checked:
        with suppress(TimeoutError):
            return one.result(self._wait_seconds)
        if one.cancel():
            raise Busy()
        return one.result()  # it has begun, and has limits


@dataclass(frozen=True)
class _Asked:
    """A picture that waits for a process."""

    picture: PictureFile
    key: _Key
    answer: Future[Checked]
    # Who sent it.
    client: str


class _Turns:
    """Pictures that wait, by client; clients take turns, so that none waits for all of another's.

    A client whose picture was slow has one process at a time for a while, so that two such pictures do
    not keep all others out again. Threads may share it.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[_Asked]] = OrderedDict()  # whose turn is next comes first
        self._running = Counter[str]()  # pictures that were taken and are not finished
        self._cautious_until = dict[str, float]()
        self._lock = Lock()

    def add(self, asked: _Asked) -> None:
        """Put a picture behind the others of its client."""
        with self._lock:
            self._waiting.setdefault(asked.client, deque()).append(asked)

    def take(self) -> _Asked | None:
        """Take the first picture of the next client that may have a process; None: there is none.

        `finish` follows, and then `take` again: another picture of its client may have waited for it.
        """
        with self._lock:
            client = next((each for each in self._waiting if self._may_have_one(each)), None)
            if client is None:
                return None
            own = self._waiting.pop(client)
            asked = own.popleft()
            if own:
                self._waiting[client] = own  # behind all others
            self._running[client] += 1
            return asked

    def finish(self, client: str, seconds: float) -> None:
        """Note that a picture that was taken is done, and how long it took."""
        with self._lock:
            self._running -= Counter((client,))  # none is left at 0
            now = monotonic()
            self._cautious_until = {k: end for k, end in self._cautious_until.items() if end > now}
            if seconds > SLOW_SECONDS:
                self._cautious_until[client] = now + CAUTION_SECONDS

    def _may_have_one(self, client: str) -> bool:
        return not self._running[client] or self._cautious_until.get(client, 0.0) < monotonic()

    def cancel_all(self) -> None:
        """Cancel what waits."""
        with self._lock:
            waiting = [asked for own in self._waiting.values() for asked in own]
            self._waiting.clear()
        for asked in waiting:
            asked.answer.cancel()


class _Refusals:
    """The latest refusals, so that a file sent again takes no process; threads may share it."""

    def __init__(self) -> None:
        # Until when, the error's kind and its message; an error itself would hold the file.
        self._known: OrderedDict[_Key, tuple[float, type[InvalidInput], str]] = OrderedDict()
        self._lock = Lock()

    def find(self, key: _Key, field: str) -> InvalidInput | None:
        """Return the error of a file that was refused lately, under the name that it has now."""
        with self._lock:
            known = self._known.get(key)
        if known is None or known[0] < monotonic():
            return None
        return known[1](Problem(field, known[2]))

    def remember(self, key: _Key, error: InvalidInput) -> None:
        """Remember a refusal for a while, and forget the oldest."""
        with self._lock:
            self._known[key] = monotonic() + REFUSED_SECONDS, type(error), error.problems[0].message
            self._known.move_to_end(key)
            while len(self._known) > REFUSED_FILES:
                self._known.popitem(last=False)


_pools: dict[int, Pool] = {}


def _pool() -> Pool:
    """Return this process's pool. A forked process has its parent's memory, and none of its threads."""
    own = os.getpid()
    return _pools.get(own) or _pools.setdefault(own, Pool())


def check(pictures: Sequence[PictureFile]) -> Generator[Checked]:
    """Check pictures as `Pool.check` does, by the pool that this process keeps."""
    return _pool().check(pictures)


def set_client(client: str) -> None:
    """Set for whom this thread, or context, asks from now on. Clients take turns."""
    _client.set(client)


def get_client() -> str:
    """Return for whom this thread, or context, asks; "": nobody said."""
    return _client.get()


def warm() -> None:
    """Start the children of this process's pool now, in the background."""
    _pool().warm()


@atexit.register
def close() -> None:
    """End this process's children; the next picture gets new ones."""
    if pool := _pools.pop(os.getpid(), None):
        pool.close()
