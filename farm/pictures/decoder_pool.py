"""Pictures that strangers sent are decoded in child processes: `decoder_process.py`, started here.

A hostile picture can at worst end its own child, which has no secrets and little to spend; the picture
is refused, and the next one gets a fresh child. The web part's threads stay free meanwhile.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import signal
import subprocess
import sys
from collections import OrderedDict, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import LifoQueue
from threading import Event, Lock, Timer
from time import monotonic
from typing import IO, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field

from farm.errors import Busy, FarmError, InvalidInput, NotAPicture, Problem, TooLarge
from farm.pictures.decode import LONGEST_SIDE, SHORTEST_SIDE, Checked
from farm.pictures.decoder_process import (
    ANSWER,
    BROKEN,
    LONGEST_MESSAGE,
    LONGEST_TRACE,
    OUT_OF_MEMORY,
    READY,
    REQUEST,
)
from farm.pictures.sandbox import LANDLOCK, SECCOMP
from farm.settings import settings

PROCESSES = 2
WAIT_SECONDS = 30.0  # for a free process
START_SECONDS = 30.0  # for a new one; a quarter of a second is usual
EXIT_SECONDS = 5.0  # until a process whose pipe is closed is gone; a large one is unmapped for a while

BYTES_PER_PIXEL = 24  # measured: 20 for a WebP with transparency that lies on its side
BYTES_BESIDES = 32_000_000  # whatever the size
COPIES_OF_FILE = 3
CPU_SECONDS = 5.0  # of any picture
CPU_SECONDS_PER_MEGAPIXEL = 0.25  # measured: 0.05
PATIENCE = 2  # times the processor's time: others use the processor, too

REFUSED_FILES = 1000  # whose refusal is remembered
REFUSED_SECONDS = 600.0  # a machine under load may take longer than it would later

PIPE_BYTES = 1 << 20  # on Linux; a photograph then takes 12 ms less to get there than by the usual 64 KB
MAX_HEAD = 30_000  # bytes of an answer's JSON
MAX_THUMBNAIL = 10_000_000  # bytes; 960 x 960 px of noise are 1 MB
PASSED_ON = ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")

REFUSED = "cannot be decoded within the limits of this farm"
ADVICE = "save it anew as an ordinary JPEG or PNG, or smaller"

log = structlog.get_logger()


@dataclass(frozen=True)
class CheckRequest:
    """A file to be checked."""

    data: bytes
    # Its name in the form, for messages.
    field: str
    # Minimum of its shorter side, px.
    shortest: int = SHORTEST_SIDE


@dataclass(frozen=True)
class Limits:
    """The limits of one check, sufficient for the largest picture permitted."""

    megapixels: int
    # Bytes beside those of the process itself.
    memory: int
    # On a processor.
    cpu_seconds: int
    # By the clock.
    seconds: float

    @classmethod
    def from_largest_upload(cls, megapixels: int, megabytes: int) -> Limits:
        """Compute what the largest picture needs, in the format and mode that need most, with a margin.

        Args:
            megabytes: of the largest file.
        """
        pixels = megapixels * 1_000_000 * BYTES_PER_PIXEL
        memory = BYTES_BESIDES + pixels + megabytes * 1_000_000 * COPIES_OF_FILE
        cpu_seconds = round(CPU_SECONDS + megapixels * CPU_SECONDS_PER_MEGAPIXEL)
        return cls(megapixels, memory, cpu_seconds, float(PATIENCE * cpu_seconds))


_client: ContextVar[str] = ContextVar("client", default="")
_Key = tuple[bytes, int, Limits]  # SHA-256 of a file, and what it was held against


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
        self._children = [_Child() for _ in range(PROCESSES)]
        self._refusals = _Refusals()
        self._turns = _Turns()
        self._idle: LifoQueue[_Child] = LifoQueue()
        for child in self._children:
            self._idle.put(child)

    def check(self, pictures: Sequence[CheckRequest]) -> Generator[Checked]:
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

    def _begin(self, picture: CheckRequest) -> Future[Checked]:
        """Queue a picture for a child, unless it was refused lately."""
        limits = self._limits or _read_limits()
        key = hashlib.sha256(picture.data).digest(), picture.shortest, limits
        answer: Future[Checked] = Future()
        if refusal := self._refusals.find(key, picture.field):
            answer.set_exception(refusal)
        else:
            self._turns.add(_client.get(), _Asked(picture, key, answer))
            self._threads.submit(self._check_next)
        return answer

    def _check_next(self) -> None:
        """Check the next picture of the client whose turn it is."""
        asked = self._turns.take()
        if asked is None or not asked.answer.set_running_or_notify_cancel():
            return
        try:
            asked.answer.set_result(self._check_one(asked.picture, asked.key))
        except BaseException as error:
            asked.answer.set_exception(error)

    def _check_one(self, picture: CheckRequest, key: _Key) -> Checked:
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
            child.start(self._limits or _read_limits())
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

    picture: CheckRequest
    key: _Key
    answer: Future[Checked]


class _Turns:
    """Pictures that wait, by client; clients take turns, so that none waits for all of another's.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[_Asked]] = OrderedDict()  # whose turn is next comes first
        self._lock = Lock()

    def add(self, client: str, asked: _Asked) -> None:
        """Put a picture behind the others of its client."""
        with self._lock:
            self._waiting.setdefault(client, deque()).append(asked)

    def take(self) -> _Asked | None:
        """Take the first picture of the next client; None: none waits."""
        with self._lock:
            if not self._waiting:
                return None
            client, own = self._waiting.popitem(last=False)
            asked = own.popleft()
            if own:
                self._waiting[client] = own
            return asked

    def cancel_all(self) -> None:
        """Cancel what waits."""
        while asked := self.take():
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


def _read_limits() -> Limits:
    return Limits.from_largest_upload(settings().max_upload_megapixels, settings().max_upload_mb)


class _Answer(BaseModel):
    """The answer of a child, which is not to be trusted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refused: Literal["NotAPicture", "TooLarge", "InvalidInput", "MemoryError", "Exception"] | None = None
    message: str = Field("", max_length=LONGEST_MESSAGE)
    trace: str = Field("", max_length=LONGEST_TRACE)
    width: int = Field(1, ge=1, le=LONGEST_SIDE)
    height: int = Field(1, ge=1, le=LONGEST_SIDE)


class _Child:
    """One place in the pool: a process, or none before the first picture and after a bad one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._limits: Limits | None = None
        self.was_killed = (
            False  # from without, in the middle of the latest picture, which is not to blame
        )

    def check(self, picture: CheckRequest, limits: Limits) -> Checked:
        """Check a picture in the child process, started if necessary.

        Raises:
            NotAPicture, TooLarge, InvalidInput: what is wrong with it.
            FarmError: no process could be started.
        """
        self.was_killed = False
        process = self.start(limits)
        late = Event()
        try:
            with _kill_after(process, limits.seconds, late):
                answer, thumbnail = _exchange(process, picture, limits)
        except (OSError, EOFError, ValueError) as error:
            ended = _await_exit(process, error)  # before it is killed, which would be all one could see
            self.was_killed = ended == "SIGKILL" and not late.is_set()
            self.end()
            raise _explain_failure(picture, ended, limits, late.is_set(), error) from error
        if late.is_set():  # the answer came in the last moment
            self.end()
        if answer.refused:
            raise _explain_refusal(picture, answer)
        return Checked(answer.width, answer.height, thumbnail)

    def kill(self) -> None:
        """Kill the process at once; safe from any thread."""
        if self._process:
            self._process.kill()

    def end(self) -> None:
        """Kill the process, reap it and close its pipes."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what could not be written cannot be flushed
                pipe.close()  # type: ignore[union-attr]

    def start(self, limits: Limits) -> subprocess.Popen[bytes]:
        """Return the process, started if it is not alive or has other limits.

        Raises:
            FarmError, OSError: it could not be started.
        """
        if self._process and (self._process.poll() is not None or self._limits != limits):
            self.end()
        if self._process is None:
            self._process, self._limits = _start(limits), limits
            late = Event()
            with _kill_after(self._process, START_SECONDS, late):
                greeting = self._process.stdout.readline().split()  # type: ignore[union-attr]
            if greeting[:1] != [READY]:
                self.end()
                raise FarmError("A process that decodes pictures did not start; see above.")
            _log_sandbox(*(layer.decode() for layer in greeting[1:]))
        return self._process


@cache
def _log_sandbox(*in_force: str) -> None:
    """Log once what takes rights from the children, and what this system lacks."""
    missing = [layer for layer in (LANDLOCK, SECCOMP) if layer not in in_force]
    write = log.warning if missing else log.info
    write("sandbox of the processes that decode pictures", in_force=list(in_force), missing=missing)


def _start(limits: Limits) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C does not reach it."""
    return subprocess.Popen(  # noqa: S603 - the farm's own command
        [
            sys.executable,
            "-P",
            "-m",
            "farm.pictures.decoder_process",
            str(limits.memory),
            str(limits.cpu_seconds),
        ],
        env=_build_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pipesize=PIPE_BYTES,
        start_new_session=True,
    )


def _build_environment() -> dict[str, str]:
    """Build a child's environment: no secrets, and the module path of this process."""
    here = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    folders = [Path(path).absolute() for path in sys.path]
    here["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in folders if folder.exists())
    here["OPENBLAS_NUM_THREADS"] = "1"  # each would take address space
    return here


@contextmanager
def _kill_after(process: subprocess.Popen[bytes], seconds: float, late: Event) -> Iterator[None]:
    """Kill the process after `seconds` and set `late`; whatever waits for it in this block then ends."""

    def kill() -> None:
        late.set()
        process.kill()

    timer = Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _exchange(
    process: subprocess.Popen[bytes], picture: CheckRequest, limits: Limits
) -> tuple[_Answer, bytes]:
    """Send a picture to a child and read its answer and the thumbnail (JPEG).

    Raises:
        OSError, EOFError: it is gone. ValueError: its answer breaks the protocol.
    """
    assert process.stdin
    assert process.stdout
    size = len(picture.data)
    process.stdin.write(REQUEST.pack(size, limits.megapixels, picture.shortest))
    process.stdin.write(picture.data)
    process.stdin.flush()
    head, thumbnail = ANSWER.unpack(_read(process.stdout, ANSWER.size))
    if head > MAX_HEAD or thumbnail > MAX_THUMBNAIL:
        raise ValueError(f"an answer of {head} and {thumbnail} bytes")
    answer = _Answer.model_validate_json(_read(process.stdout, head))
    return answer, _read(process.stdout, thumbnail)


def _read(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError("it ended")
    return data


def _explain_refusal(picture: CheckRequest, answer: _Answer) -> InvalidInput:
    """Turn a child's refusal into the error that names the field."""
    if answer.refused == OUT_OF_MEMORY:
        log.warning("picture not decoded", field=picture.field, why="out of memory")
        return _beyond_limits(picture, "it takes too much memory")
    if answer.refused == BROKEN:
        log.error("picture not decoded", field=picture.field, why="exception", exception=answer.trace)
        return _beyond_limits(picture, "it broke the program that decodes pictures")
    kinds = {kind.__name__: kind for kind in (NotAPicture, TooLarge, InvalidInput)}
    return kinds[str(answer.refused)](Problem(picture.field, answer.message))


def _await_exit(process: subprocess.Popen[bytes], error: Exception) -> str:
    """Return how a process ended that no longer answers; "running" if it broke the protocol."""
    with suppress(subprocess.TimeoutExpired):
        return _describe_exit(process.wait(0 if isinstance(error, ValueError) else EXIT_SECONDS))
    return "running"


def _explain_failure(
    picture: CheckRequest, ended: str, limits: Limits, late: bool, error: Exception
) -> InvalidInput:
    """Log that a child was killed, died or broke the protocol; return the error for its picture."""
    log.error(
        "picture not decoded",
        field=picture.field,
        size_bytes=len(picture.data),
        why="late" if late else f"{type(error).__name__}: {error}",
        process=ended,
    )
    if late:
        return _beyond_limits(picture, f"it takes longer than {limits.seconds:.0f} s")
    if ended == "SIGXCPU":
        return _beyond_limits(picture, f"it takes more than {limits.cpu_seconds} s of a processor")
    return _beyond_limits(picture, "it broke the program that decodes pictures")


def _beyond_limits(picture: CheckRequest, why: str) -> InvalidInput:
    return InvalidInput(Problem(picture.field, f"{REFUSED}: {why}; {ADVICE}"))


def _describe_exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


_pools: dict[int, Pool] = {}


def _pool() -> Pool:
    """Return this process's pool. A forked process has its parent's memory, and none of its threads."""
    own = os.getpid()
    return _pools.get(own) or _pools.setdefault(own, Pool())


def check(pictures: Sequence[CheckRequest]) -> Generator[Checked]:
    """Check pictures as `Pool.check` does, by the pool that this process keeps."""
    return _pool().check(pictures)


def set_client(client: str) -> None:
    """Set for whom this thread, or context, asks from now on. Clients take turns."""
    _client.set(client)


def warm() -> None:
    """Start the children of this process's pool now, in the background."""
    _pool().warm()


@atexit.register
def close() -> None:
    """End this process's children; the next picture gets new ones."""
    if pool := _pools.pop(os.getpid(), None):
        pool.close()
