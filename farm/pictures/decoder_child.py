"""A process that decodes pictures (`decoder_process.py`), as its parent sees it.

A hostile picture can at worst end it: it has no secrets and little to spend, and nothing that it answers
is trusted. The picture is refused, and the next one gets a fresh process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Event, Timer

import structlog

from farm.errors import FarmError, InvalidInput, NotAPicture, Problem, TooLarge
from farm.pictures.decode import Channels, Checked, Decoded
from farm.pictures.decoder_answers import Received, get_input, receive_check
from farm.pictures.decoder_process import (
    BROKEN,
    CHECK,
    CHECK_MAP,
    DECODING,
    OUT_OF_MEMORY,
    READY,
    REQUEST,
)
from farm.pictures.decoder_request import Limits, PictureFile, ProcessLimits
from farm.pictures.pixels import Pixels
from farm.pictures.sandbox import LANDLOCK, SECCOMP
from farm.recipe.picture_sizes import Size

DECODER = "farm.pictures.decoder_process"  # the module that a child runs
START_SECONDS = 30.0  # for a new one; a quarter of a second is usual
EXIT_SECONDS = 5.0  # until a process whose pipe is closed is gone; a large one is unmapped for a while

PIPE_BYTES = 1 << 20  # on Linux; a photograph then takes 12 ms less to get there than by the usual 64 KB
KINDS = {channels: kind for kind, channels in DECODING.items()}  # of requests
PASSED_ON = ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")

REFUSED = "cannot be decoded within the limits of this farm"
ADVICE = "save it anew as an ordinary JPEG or PNG, or smaller"

BROKE = "it broke the program that decodes pictures"
KILLED = "was not decoded: the process that does so was killed, perhaps as memory ran out; try again"

log = structlog.get_logger()


class Child:
    """A place for a process, which is there when it is needed, or before by `start`, and kept."""

    def __init__(self, module: str = DECODER) -> None:
        """
        Args:
            module: what the process runs.
        """
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._limits: ProcessLimits | None = None
        self._greeted = False
        self.was_used = False  # since the process was started
        self.was_killed = (
            False  # from without, in the middle of the latest picture, which is not to blame
        )

    def check(self, picture: PictureFile, limits: Limits) -> Checked:
        """Check a picture in the process, started if necessary.

        Raises:
            NotAPicture, TooLarge, InvalidInput: what is wrong with it.
            FarmError: no process could be started.
        """
        kind = CHECK_MAP if picture.channels is Channels.MAP else CHECK
        with self._ask(kind, picture, limits) as process:
            answer, thumbnail, marks = receive_check(process)
        if answer.refused:
            raise explain_refusal(picture, answer.refused, answer.message, answer.trace)
        return Checked(answer.width, answer.height, thumbnail, marks)

    def decode(
        self, picture: PictureFile, limits: Limits, compute_size: Callable[[Size], Size]
    ) -> Decoded:
        """Decode a picture as `decode.decode_to_size` does, in the process, started if necessary.

        Raises:
            NotAPicture, TooLarge, InvalidInput, FarmError: as `check`.
        """
        received = self._receive(picture, limits, compute_size)
        return Decoded.from_samples(received.pixels, received.sent)

    def decode_map(
        self, picture: PictureFile, limits: Limits, compute_size: Callable[[Size], Size]
    ) -> Pixels:
        """Decode a map as `decode.decode_map_to_size` does, in the process, started if necessary.

        Raises:
            NotAPicture, TooLarge, InvalidInput, FarmError: as `check`.
        """
        return self._receive(picture, limits, compute_size).pixels[..., 0]

    def _receive(
        self, picture: PictureFile, limits: Limits, compute_size: Callable[[Size], Size]
    ) -> Received:
        with self._ask(KINDS[picture.channels], picture, limits) as process:
            received = Received(process, picture, limits, compute_size)
            answer = received.receive()
        if answer.refused:
            raise explain_refusal(picture, answer.refused, answer.message, answer.trace)
        return received

    @contextmanager
    def _ask(
        self, kind: bytes, picture: PictureFile, limits: Limits
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Send a picture to the process, which gives its answer in the block.

        Raises:
            InvalidInput: it took too long, ended, or broke the protocol. FarmError: as `check`.
        """
        process = self.await_ready(limits)
        with self.exchange(process, picture, limits):
            _send(process, kind, picture, limits)
            yield process

    @contextmanager
    def exchange(
        self,
        process: subprocess.Popen[bytes],
        picture: PictureFile,
        limits: ProcessLimits,
        advice: str = ADVICE,
    ) -> Iterator[None]:
        """Guard a block that writes to the process and reads what it answers.

        Args:
            process: what `await_ready` returned. picture: what it is about, for messages.

        Raises:
            InvalidInput: it took too long, ended, or broke the protocol; it is killed.
        """
        self.was_killed = False
        late = Event()
        self.was_used = True
        try:
            with _kill_after(process, limits.seconds, late):
                yield
        except (OSError, EOFError, ValueError) as error:
            ended = _await_exit(process, error)  # before it is killed, which would be all one could see
            self.was_killed = ended == "SIGKILL" and not late.is_set()
            self.end()
            raise _explain_failure(picture, ended, limits, late.is_set(), error, advice) from error
        except BaseException:  # in the middle of its answer
            self.end()
            raise
        if late.is_set():  # the answer came in the last moment
            self.end()

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

    def start(self, limits: ProcessLimits) -> subprocess.Popen[bytes]:
        """Start the process if it is not alive or has other limits, and do not wait until it is ready.

        Raises:
            OSError: it could not be started.
        """
        if self._process and (self._process.poll() is not None or self._limits != limits):
            self.end()
        if self._process is None:
            self._process, self._limits = _start(self._module, limits), limits
            self._greeted = self.was_used = False
        return self._process

    def await_ready(self, limits: ProcessLimits) -> subprocess.Popen[bytes]:
        """Return the process, started if necessary, once it is ready.

        Raises:
            FarmError, OSError: it could not be started.
        """
        process = self.start(limits)
        if not self._greeted:
            late = Event()
            with _kill_after(process, START_SECONDS, late):
                greeting = process.stdout.readline().split()  # type: ignore[union-attr]
            if greeting[:1] != [READY]:
                self.end()
                raise FarmError("A process that decodes pictures did not start; see above.")
            self._greeted = True
            _log_sandbox(*(layer.decode() for layer in greeting[1:]))
        return process


@cache
def _log_sandbox(*in_force: str) -> None:
    """Log once what takes rights from the children, and what this system lacks."""
    missing = [layer for layer in (LANDLOCK, SECCOMP) if layer not in in_force]
    write = log.warning if missing else log.info
    write("sandbox of the processes that decode pictures", in_force=list(in_force), missing=missing)


def _start(module: str, limits: ProcessLimits) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C does not reach it."""
    return subprocess.Popen(  # noqa: S603 - the farm's own command
        [
            sys.executable,
            "-P",
            "-m",
            module,
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


def _send(process: subprocess.Popen[bytes], kind: bytes, picture: PictureFile, limits: Limits) -> None:
    """Send a picture, to be checked or decoded.

    Raises:
        OSError: the process is gone.
    """
    pipe = get_input(process)
    pipe.write(REQUEST.pack(kind, len(picture.data), limits.megapixels, picture.shortest))
    pipe.write(picture.data)
    pipe.flush()


def explain_refusal(
    picture: PictureFile, refused: str, message: str, trace: str, advice: str = ADVICE
) -> InvalidInput:
    """Turn a child's refusal into the error that names the field."""
    if refused == OUT_OF_MEMORY:
        log.warning("picture not decoded", field=picture.field, why="out of memory")
        return _beyond_limits(picture, "it takes too much memory", advice)
    if refused == BROKEN:
        log.error("picture not decoded", field=picture.field, why="exception", exception=trace)
        return _beyond_limits(picture, BROKE, advice)
    kinds = {kind.__name__: kind for kind in (NotAPicture, TooLarge, InvalidInput)}
    return kinds[refused](Problem(picture.field, message))


def _await_exit(process: subprocess.Popen[bytes], error: Exception) -> str:
    """Return how a process ended that no longer answers; "running" if it broke the protocol."""
    with suppress(subprocess.TimeoutExpired):
        return _describe_exit(process.wait(0 if isinstance(error, ValueError) else EXIT_SECONDS))
    return "running"


def _explain_failure(
    picture: PictureFile,
    ended: str,
    limits: ProcessLimits,
    late: bool,
    error: Exception,
    advice: str = ADVICE,
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
        return _beyond_limits(picture, f"it takes longer than {limits.seconds:.0f} s", advice)
    if ended == "SIGKILL":
        return InvalidInput(Problem(picture.field, KILLED))
    if ended == "SIGXCPU":
        why = f"it takes more than {limits.cpu_seconds} s of a processor"
        return _beyond_limits(picture, why, advice)
    return _beyond_limits(picture, BROKE, advice)


def _beyond_limits(picture: PictureFile, why: str, advice: str = ADVICE) -> InvalidInput:
    return InvalidInput(Problem(picture.field, f"{REFUSED}: {why}; {advice}"))


def _describe_exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
