"""Pictures for decoding processes, and these processes as the system sees them."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import sys
import termios

import numpy as np
import psutil
from PIL import Image

from benchmarks.testbed.processes import wait_for
from farm.errors import InvalidInput
from farm.pictures import decode
from farm.pictures.decoder_pool import Pool
from farm.pictures.decoder_request import Limits, PictureFile

AMPLE = Limits(megapixels=100, memory=1_000_000_000, cpu_seconds=60, seconds=60)
LYING = {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}


def save(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def gradient(width: int, height: int, mode: str = "RGB") -> Image.Image:
    x, y = np.arange(width)[None], np.arange(height)[:, None]
    channels = (x * 255 // width, y * 255 // height, x % 256, y % 256)  # each of one row or one column
    pixels = np.empty((height, width, 4), np.uint8)
    for at, channel in enumerate(channels):
        pixels[..., at] = channel
    pixels[..., 2] += pixels[..., 3]  # (x + y) % 256
    pixels[..., 3] = x % 256
    picture = Image.fromarray(pixels)
    return picture if mode == "RGBA" else picture.convert("RGB").convert(mode)


def grey_16_bit(width: int, height: int) -> Image.Image:
    return Image.fromarray((np.arange(width * height) % 65536).reshape(height, width).astype(np.uint16))


SMALL = save(gradient(160, 120), "JPEG")


def one(pool: Pool, data: bytes, field: str = "content", shortest: int = 16) -> decode.Checked:
    (checked,) = pool.check([PictureFile(data, field, shortest)])
    return checked


def children() -> list[psutil.Process]:
    """This process's decoders."""
    mine = [child for child in psutil.Process().children() if not is_gone(child)]
    return [child for child in mine if "farm.pictures.decoder_process" in child.cmdline()]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def started(pool: Pool) -> psutil.Process:
    """Its one child, which waits for a picture."""
    one(pool, SMALL)
    (child,) = children()
    return child


def stopped(child: psutil.Process) -> psutil.Process:
    """It answers nothing any more: for as long as a test likes, it is in the middle of a picture."""
    child.send_signal(signal.SIGSTOP)
    wait_for(lambda: child.status() == psutil.STATUS_STOPPED, pause=0.01)
    return child


def asked_something(child: psutil.Process) -> bool:
    """Check whether a question lies in its pipe."""
    pipe = os.open(f"/proc/{child.pid}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    try:
        return bool(int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder))
    finally:
        os.close(pipe)


def refusal(act: object) -> InvalidInput | None:
    try:
        act()  # type: ignore[operator]
    except InvalidInput as error:
        return error
    return None
