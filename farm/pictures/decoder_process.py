"""`python -m farm.pictures.decoder_process MEMORY CPU_SECONDS`: pictures in, their sizes and thumbnails
out, one by one.

`decoder_pool.py` starts it and sends the pictures. It reads untrusted files with decoders written in C,
so it runs in a process of its own that has little to lose: no secrets, no files to write, limited
memory, limited time, and what `sandbox.py` takes from it. It trusts its parent; its parent does not
trust it.
"""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import sys
import traceback
from contextlib import suppress
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

REQUEST = struct.Struct(">QII")  # bytes of the file, most megapixels, least px of the shorter side
ANSWER = struct.Struct(">II")  # bytes of the JSON, bytes of the thumbnail
READY = b"ready"  # then the layers of the sandbox that are in force, and the end of the line
OUT_OF_MEMORY = "MemoryError"  # beside the names of the exceptions of `decode.check`
BROKEN = "Exception"  # any other; its traceback is for the log

LONGEST_MESSAGE = 500  # characters; Pillow's may hold anything
LONGEST_TRACE = 4000  # characters, from the end
OPEN_FILES = 16


def main() -> None:
    """Answer until the parent goes away."""
    memory, cpu_seconds = (int(argument) for argument in sys.argv[1:])
    questions, answers = sys.stdin.buffer, _reserve_output()
    in_force = _limit_itself(memory)
    answers.write(b" ".join((READY, *(layer.encode() for layer in in_force))) + b"\n")
    answers.flush()
    while len(request := questions.read(REQUEST.size)) == REQUEST.size:
        size, megapixels, shortest = REQUEST.unpack(request)
        data = questions.read(size)
        if len(data) < size:
            return
        _renew_cpu_limit(cpu_seconds)
        known, thumbnail = check_picture(data, megapixels, shortest)
        head = json.dumps(known).encode()
        answers.write(ANSWER.pack(len(head), len(thumbnail)) + head + thumbnail)
        answers.flush()


def check_picture(data: bytes, megapixels: int, shortest: int) -> tuple[dict[str, Any], bytes]:
    """Check a picture by `decode.check`; return plain values and the thumbnail (empty if refused)."""
    try:
        checked = decode.check(data, "", megapixels, shortest)
    except InvalidInput as error:
        message = error.problems[0].message[:LONGEST_MESSAGE]
        return {"refused": type(error).__name__, "message": message}, b""
    except MemoryError:
        return {"refused": OUT_OF_MEMORY}, b""
    except Exception:
        return {"refused": BROKEN, "trace": traceback.format_exc()[-LONGEST_TRACE:]}, b""
    return {"width": checked.width, "height": checked.height}, checked.thumbnail


def _reserve_output() -> BinaryIO:
    """Reserve the pipe to the parent, so that no library writes to it by mistake or for a picture."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _limit_itself(memory: int) -> list[str]:
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


def _renew_cpu_limit(cpu_seconds: int) -> None:
    """Allow `cpu_seconds` on a processor from now on, whatever was used before."""
    if sys.platform != "win32":
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        end = math.ceil(usage.ru_utime + usage.ru_stime) + cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
