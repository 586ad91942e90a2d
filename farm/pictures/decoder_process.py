"""`python -m farm.pictures.decoder_process MEMORY CPU_SECONDS`: pictures in, thumbnails or pixels
out, one by one.

`decoder_child.py` starts it and sends the pictures. It reads untrusted files with decoders written in C,
so it runs in a process of its own that has little to lose: no secrets, no files to write, limited
memory, limited time, and what `sandbox.py` takes from it. It trusts its parent; its parent does not
trust it.

A request is REQUEST and the file. Each message of the answer is MESSAGE and its body: THUMBNAIL, a
JPEG, of a picture that is checked, and MARKS of a map; of one that is decoded SIZE_ASKED, which the
parent answers by SIZE, then CHANNELS, their number in a byte, and ROWS; at last END, a JSON object.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

# All now: afterwards there are few files that it may open.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from farm import prctl
from farm.errors import InvalidInput
from farm.pictures import decode, sandbox

CHECK, CHECK_MAP, DECODE, DECODE_STRAIGHT, DECODE_MAP = b"C", b"K", b"D", b"A", b"M"
DECODING = {  # what each of these makes of a picture
    DECODE: decode.Channels.COLOUR,
    DECODE_STRAIGHT: decode.Channels.COLOUR_AND_ALPHA,
    DECODE_MAP: decode.Channels.MAP,
}
REQUEST = struct.Struct(">cQII")  # one of these, the file's bytes, most megapixels, least px of a side
SIZE_ASKED, CHANNELS, ROWS, THUMBNAIL, MARKS, END = b"S", b"N", b"R", b"T", b"K", b"E"
MESSAGE = struct.Struct(">cI")  # one of these, bytes of the body
SIZE = struct.Struct(">II")  # height and width, px
READY = b"ready"  # then the layers of the sandbox that are in force, and the end of the line
OUT_OF_MEMORY = "MemoryError"  # beside the names of the exceptions of `decode.check`
BROKEN = "Exception"  # any other; its traceback is for the log

LONGEST_MESSAGE = 500  # characters; Pillow's may hold anything
LONGEST_TRACE = 4000  # characters, from the end
OPEN_FILES = 16


def main() -> None:
    """Limit this process, then answer."""
    memory, cpu_seconds = (int(argument) for argument in sys.argv[1:])
    parent = Parent(sys.stdin.buffer, reserve_output())
    in_force = limit_itself(memory)
    parent.write(b" ".join((READY, *(layer.encode() for layer in in_force))) + b"\n")
    serve(parent, lambda: renew_cpu_limit(cpu_seconds))


def serve(parent: Parent, on_request: Callable[[], None]) -> None:
    """Answer until the parent goes away.

    Args:
        on_request: called before each picture is decoded.
    """
    with suppress(EOFError):
        while True:
            kind, size, megapixels, shortest = REQUEST.unpack(parent.read(REQUEST.size))
            data = parent.read(size)
            on_request()
            known = _answer(parent, kind, data, megapixels, shortest)
            del data  # before the next is read
            parent.send(END, json.dumps(known).encode())


@dataclass(frozen=True)
class Parent:
    """The pipes from and to the process that asks."""

    questions: BinaryIO
    answers: BinaryIO

    def read(self, size: int) -> bytes:
        """Read so many bytes.

        Raises:
            EOFError: the parent is gone.
        """
        data = self.questions.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def write(self, data: bytes | memoryview) -> None:
        self.answers.write(data)
        self.answers.flush()

    def send(self, kind: bytes, body: bytes | memoryview) -> None:
        """Send a message."""
        self.answers.write(MESSAGE.pack(kind, len(body)))
        self.write(body)

    def ask_size(self, sent: tuple[int, int]) -> tuple[int, int]:
        """Ask at what height and width a picture of this height and width is wanted."""
        self.send(SIZE_ASKED, SIZE.pack(*sent))
        height, width = SIZE.unpack(self.read(SIZE.size))
        return height, width


def _answer(parent: Parent, kind: bytes, data: bytes, megapixels: int, shortest: int) -> dict[str, Any]:
    """Check or decode a picture; return its width and height, or what is wrong, as plain values."""
    try:
        if channels := DECODING.get(kind):
            width, height = _decode(parent, data, megapixels, shortest, channels)
        else:
            checked = _check(parent, kind, data, megapixels, shortest)
            width, height = checked.width, checked.height
    except InvalidInput as error:
        message = error.problems[0].message[:LONGEST_MESSAGE]
        return {"refused": type(error).__name__, "message": message}
    except MemoryError:
        return {"refused": OUT_OF_MEMORY}
    except Exception:
        return {"refused": BROKEN, "trace": traceback.format_exc()[-LONGEST_TRACE:]}
    return {"width": width, "height": height}


def _check(parent: Parent, kind: bytes, data: bytes, megapixels: int, shortest: int) -> decode.Checked:
    """Check a picture or a map and send its thumbnail, and the marks of a map."""
    check = decode.check_map if kind == CHECK_MAP else decode.check
    checked = check(data, "", megapixels, shortest)
    parent.send(THUMBNAIL, checked.thumbnail)
    if checked.marks:
        parent.send(MARKS, checked.marks.to_bytes())
    return checked


def _decode(
    parent: Parent, data: bytes, megapixels: int, shortest: int, channels: decode.Channels
) -> tuple[int, int]:
    """Decode a picture by `decode.open_to_size` and send its rows; return its width and height."""
    resized = decode.open_to_size(data, "", megapixels, parent.ask_size, shortest, channels)
    parent.send(CHANNELS, bytes([resized.channels]))
    for strip in resized.strips:
        parent.send(ROWS, strip.data.cast("B"))
    height, width = resized.sent
    return width, height


def reserve_output() -> BinaryIO:
    """Reserve the pipe to the parent, so that no library writes to it by mistake or for a picture."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def limit_itself(memory: int) -> list[str]:
    """Limit this process before its first picture, as far as the system has such limits.

    Returns:
        the layers of the sandbox that are in force.
    """
    in_force = []
    if sys.platform == "linux":
        memory += _measure_address_space()
        with suppress(OSError):  # when the machine is out of memory, this process is to go first
            Path("/proc/self/oom_score_adj").write_text("1000")
        in_force = sandbox.leave_root()
        prctl.end_with_parent(
            signal.SIGKILL
        )  # also in the middle of a picture; ended by a change of user
        prctl.forbid_new_privileges()
    if sys.platform != "win32":
        import resource

        for what, most in (
            (resource.RLIMIT_AS, memory),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, OPEN_FILES),
        ):
            with suppress(OSError, ValueError):  # macOS takes no limit of memory
                resource.setrlimit(what, (most, most))
    return in_force + sandbox.lock()


def _measure_address_space() -> int:
    """Measure the address space that interpreter and libraries take, bytes."""
    pages = Path("/proc/self/statm").read_text().split()[0]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def renew_cpu_limit(cpu_seconds: int) -> None:
    """Allow `cpu_seconds` on a processor from now on, whatever was used before."""
    if sys.platform != "win32":
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        end = math.ceil(usage.ru_utime + usage.ru_stime) + cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
