"""Pictures decoded in child processes: real ones, which are killed, stopped, starved and left alone.

Tests that start a parent for them, too, or keep them at work for seconds are no part of the fast lane.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from contextvars import copy_context
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.testbed.processes import FARM, answers, free_port, sample_files, wait_for
from farm.database.setup import install
from farm.errors import Busy, InvalidInput, NotAPicture, TooLarge
from farm.pictures import decode, decoder_child, decoder_pool, sandbox
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_pool import Pool
from farm.pictures.decoder_request import Limits, PictureFile
from farm.pictures.sandbox import LANDLOCK, SECCOMP
from tests.pictures.chart import chunk, png, tiff
from tests.pictures.test_readers import HEIC
from workers import decoding

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")

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


@pytest.fixture(autouse=True)
def no_decoders_of_others() -> None:
    """End those that a test before this one, of other pictures, left to this process."""
    decoder_pool.close()
    decoding.close()


@pytest.fixture
def make_pool() -> Iterator[Callable[..., Pool]]:
    """A pool with limits like the ample ones, but for what a test says; closed afterwards."""
    with ExitStack() as pools:

        def make(wait_seconds: float = decoder_pool.WAIT_SECONDS, **limits: float) -> Pool:
            made = Pool(replace(AMPLE, **limits), wait_seconds)  # type: ignore[arg-type]
            return pools.enter_context(closing(made))

        yield make


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool()


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
    """Whether a question lies in its pipe."""
    pipe = os.open(f"/proc/{child.pid}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    try:
        return bool(int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder))
    finally:
        os.close(pipe)


FORMATS = {
    "JPEG": SMALL,
    "a large JPEG": save(gradient(4100, 300), "JPEG"),
    "a progressive JPEG": save(gradient(400, 300), "JPEG", progressive=True),
    "a JPEG on its side": save(gradient(4100, 300), "JPEG", **LYING),
    "CMYK JPEG": save(gradient(400, 300, "CMYK"), "JPEG"),
    "PNG": save(gradient(400, 300), "PNG"),
    "RGBA PNG": save(gradient(1000, 800, "RGBA"), "PNG"),
    "palette PNG": save(gradient(400, 300, "P"), "PNG", transparency=3),
    "16-bit grey PNG": save(grey_16_bit(400, 300), "PNG"),
    "WebP": save(gradient(400, 300), "WEBP"),
    "TIFF": save(gradient(400, 300), "TIFF", compression="tiff_lzw"),
    "fax": save(gradient(400, 300, "1"), "TIFF", compression="group3"),
    "float TIFF": save(gradient(400, 300, "F"), "TIFF"),
    "AVIF": save(gradient(400, 300), "AVIF"),
    "HEIC": HEIC,
}


def test_every_format_is_answered_as_in_this_process(pool: Pool) -> None:
    asked = [PictureFile(data, "content") for data in FORMATS.values()]
    expected = [decode.check(data, "content", 100) for data in FORMATS.values()]
    assert list(pool.check(asked)) == expected


@pytest.fixture
def child() -> Iterator[Child]:
    """A process for a worker's pictures."""
    made = Child()
    yield made
    made.end()


@pytest.mark.parametrize("size", [None, (61, 83)], ids=["as sent", "smaller"])
def test_every_format_has_the_pixels_of_this_process(size: tuple[int, int] | None, child: Child) -> None:
    for name, data in FORMATS.items():
        asked: list[tuple[int, int]] = []

        def compute(sent: tuple[int, int]) -> tuple[int, int]:
            asked.append(sent)  # noqa: B023
            return size or sent

        here = decode.decode_to_size(data, "painting", 100, compute)
        there = child.decode(PictureFile(data, "painting"), AMPLE, compute)
        assert there.sent == here.sent, name
        assert there.pixels.dtype == np.uint8
        assert np.array_equal(there.pixels, here.pixels), name
        assert asked[len(asked) // 2 :] == asked[: len(asked) // 2], name


def test_a_picture_that_cannot_be_decoded_is_refused_as_in_this_process(child: Child) -> None:
    for bad in (b"", b"Dear farm", SMALL[:600], save(Image.new("1", (30_001, 2_000)), "PNG")):
        here = refusal(lambda bad=bad: decode.decode_to_size(bad, "painting", 100, lambda sent: sent))
        asked = PictureFile(bad, "painting", shortest=1)
        there = refusal(lambda asked=asked: child.decode(asked, AMPLE, lambda sent: sent))
        assert (type(there), there and there.problems) == (type(here), here and here.problems)
        assert here is not None


def test_an_error_at_this_end_leaves_no_process_in_the_middle_of_an_answer(child: Child) -> None:
    def fail(sent: tuple[int, int]) -> tuple[int, int]:
        raise RuntimeError("no size")

    with pytest.raises(RuntimeError, match="no size"):
        child.decode(PictureFile(SMALL, "painting"), AMPLE, fail)
    found = child.decode(PictureFile(SMALL, "painting"), AMPLE, lambda sent: (12, 16))
    assert found.pixels.shape == (12, 16, 3)


@pytest.mark.parametrize(
    ("size", "rows"), [((40, 30), 40), ((40, 30), 39), ((30, 40), 41), ((40_000, 1), 1)], ids=str
)
def test_what_a_decoder_taken_over_answers_is_not_trusted(
    size: tuple[int, int],
    rows: int,
    tmp_path: Path,
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a decoder that asks for one size and sends pixels of another, or a size that may not be
    lines = (
        "import numpy as np",
        "from farm.pictures import decode",
        "def lie(data, field, megapixels, compute_size, shortest, channels):",
        f"    compute_size({size})",
        f"    rows = np.zeros(({rows}, 31, 3), np.uint8)",
        "    return decode.Resized((40, 30), (1, 1), 3, iter([rows]))",
        "decode.open_to_size = lie",
    )
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidInput, match=r"painting: (cannot be decoded .* it broke|is 1 x 40000)"):
        child.decode(PictureFile(SMALL, "painting"), AMPLE, lambda sent: sent)


DECODE_LARGE = """
import sys
from pathlib import Path
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_request import Limits, PictureFile

def peak():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

child, small = Child(), Path(sys.argv[1]).read_bytes()
child.decode(PictureFile(small, "painting"), Limits.from_settings(), lambda sent: sent)
before, large = peak(), Path(sys.argv[2]).read_bytes()
found = child.decode(PictureFile(large, "painting"), Limits.from_settings(), lambda sent: (2000, 2000))
child.end()
print(found.pixels.nbytes, peak() - before - len(large))
"""


@pytest.mark.processes
def test_this_process_holds_no_more_of_a_picture_than_the_pixels_that_it_keeps(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(SMALL)
    large.write_bytes(save(Image.radial_gradient("L").resize((5000, 5000)), "PNG", compress_level=1))
    command = [sys.executable, "-c", DECODE_LARGE, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, grown = map(int, done.stdout.split()[-2:])
    assert kept == 12_000_000
    assert grown < kept + 3_000_000


@pytest.mark.parametrize("shortest", [16, 64])
def test_refusals_are_those_of_this_process(pool: Pool, shortest: int) -> None:
    bad = [
        b"",
        b"Dear farm",
        SMALL[:600],
        save(gradient(20, 20), "PNG"),
        save(gradient(640, 20), "PNG"),
        save(Image.new("1", (30_001, 2_000)), "PNG"),
        save(gradient(40, 40), "PNG", save_all=True, append_images=[gradient(40, 40, "L")]),
    ]
    kinds = set()
    for data in bad:
        here = refusal(lambda data=data: decode.check(data, "style", 100, shortest))
        there = refusal(lambda data=data: one(pool, data, "style", shortest))
        assert (type(there), there and there.problems) == (type(here), here and here.problems)
        kinds.add(type(there))
    assert kinds >= {NotAPicture, TooLarge, InvalidInput}


def refusal(act: object) -> InvalidInput | None:
    try:
        act()  # type: ignore[operator]
    except InvalidInput as error:
        return error
    return None


def test_pictures_are_told_of_in_order_until_the_first_that_is_wrong(pool: Pool) -> None:
    wide = save(gradient(200, 100), "PNG")
    asked = [
        PictureFile(wide, "content"),
        PictureFile(SMALL, "style"),
        PictureFile(b"no", "style"),
        PictureFile(b"", "style"),
    ]
    told = pool.check(asked)
    assert [next(told).width, next(told).width] == [200, 160]
    with pytest.raises(NotAPicture, match="style: is not a"):
        next(told)


def test_a_child_that_is_killed_refuses_its_picture_and_the_next_one_gets_a_fresh_child(
    pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a child in the middle of a picture
    child = stopped(started(pool))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(one, pool, SMALL, "style")
        wait_for(lambda: asked_something(child), pause=0.01)

        # When it is killed
        child.kill()

        # Then that picture is refused, and the log says why
        with pytest.raises(InvalidInput, match=r"^style: was not decoded: .* was killed") as caught:
            asked.result(120)
    assert type(caught.value) is InvalidInput
    assert "SIGKILL" in capsys.readouterr().out

    # And the next one is looked at
    assert one(pool, SMALL).width == 160
    assert started(pool).pid != child.pid


@pytest.mark.parametrize(
    ("instead", "logged"),
    [
        ("raise ZeroDivisionError('of a decoder')", "ZeroDivisionError: of a decoder"),
        ("os._exit(3)", "exit status 3"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
    ],
)
def test_the_log_tells_how_a_child_broke(
    instead: str,
    logged: str,
    tmp_path: Path,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given children whose decoder breaks in one of three ways
    lines = ("import os", "from farm.pictures import decode", "def check(*_):", f"    {instead}")
    (tmp_path / "sitecustomize.py").write_text("\n".join((*lines, "decode.check = check")))
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InvalidInput, match=r"content: cannot be decoded .* it broke the program"):
        one(pool, SMALL)
    said = capsys.readouterr().out
    assert logged in said
    assert "SIGKILL" not in said


def test_a_child_that_died_while_it_waited_costs_nobody_anything(pool: Pool) -> None:
    child = started(pool)
    child.kill()
    wait_for(lambda: child.status() == psutil.STATUS_ZOMBIE, pause=0.01)
    assert one(pool, SMALL).width == 160


def test_a_picture_may_take_so_much_memory_and_no_more(make_pool: Callable[..., Pool]) -> None:
    # Given 25 megapixels, which are 100 MB when they are decoded, and 60 MB
    pool = make_pool(memory=60_000_000)
    child = started(pool)

    # Then it is refused, and the child lives on
    with pytest.raises(InvalidInput, match=r"content: cannot be decoded .* too much memory"):
        one(pool, save(Image.new("RGB", (5000, 5000)), "PNG"))
    assert started(pool).pid == child.pid


SIDE = 2000  # px


def neediest() -> Iterator[bytes]:
    """Of each kind that is told apart on the way the one that takes most, as measured."""
    turned = {"compress_level": 1, **LYING}
    transparent = gradient(SIDE, SIDE, "RGBA")
    yield save(transparent, "WEBP", lossless=True, method=0, quality=0, **LYING)
    yield save(transparent, "PNG", **turned)
    yield save(transparent.convert("LA"), "PNG", **turned)
    yield save(transparent.convert("CMYK"), "JPEG", progressive=True, subsampling=0, **LYING)
    yield save(gradient(SIDE, SIDE, "P"), "PNG", transparency=bytes(range(256)), **turned)
    yield save(grey_16_bit(SIDE, SIDE), "PNG", **turned)
    yield save(gradient(SIDE, SIDE, "F"), "TIFF")
    deep = np.asarray(transparent, np.uint16) * np.uint16(257)
    yield png(deep, chunk(b"eXIf", LYING["exif"][6:]))
    floats = zlib.compress((deep / 65535).astype(np.float32).tobytes(), 1)
    yield tiff([floats], (SIDE, SIDE), 32, 4, 2, tag_259=8, tag_338=2, tag_339=(3, 3, 3, 3))
    yield save(gradient(SIDE, SIDE, "1"), "TIFF", compression="group4")


@pytest.mark.processes
def test_the_largest_picture_of_each_kind_is_taken_by_one_child_after_another(
    make_pool: Callable[..., Pool], child: Child
) -> None:
    pictures = list(neediest())
    megabytes = -(-max(map(len, pictures)) // 1_000_000)
    enough = Limits.from_largest_upload(SIDE * SIDE // 1_000_000, megabytes)
    limits = replace(enough, cpu_seconds=600, seconds=600.0)  # on a busy machine it takes its time
    pool = make_pool(**asdict(limits))
    alive = [started(pool).pid, child.start(limits).pid]
    for data in pictures:
        assert one(pool, data).width == SIDE
        found = child.decode(PictureFile(data, "painting"), limits, lambda sent: sent)
        assert found.sent == (SIDE, SIDE)
        assert sorted(each.pid for each in children()) == sorted(alive)


def test_a_picture_that_takes_too_long_is_refused(make_pool: Callable[..., Pool]) -> None:
    # Given a child that answers nothing any more
    pool = make_pool(seconds=1)
    stopped(started(pool))

    # Then the picture is refused, even if it is too large for the pipe, and the next one looked at
    with pytest.raises(InvalidInput, match=r"content: cannot be decoded .* takes longer than 1 s"):
        one(pool, SMALL + bytes(10_000_000))
    assert one(pool, SMALL).width == 160


def repeat_last_scan(jpeg: bytes, times: int) -> bytes:
    return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xc4") : -2] * times + jpeg[-2:]


def test_a_jpeg_of_repeated_scans_is_refused_before_it_is_decoded(
    make_pool: Callable[..., Pool],
) -> None:
    whole = save(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True)
    pool = make_pool(cpu_seconds=1)
    with pytest.raises(NotAPicture, match=r"content: has \d+ scans; the limit is 100"):
        one(pool, repeat_last_scan(whole, 14_000))
    assert one(pool, whole).width == 3000


def test_clients_take_turns(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two processes in the middle of a picture, and one client who asks for many more
    busy, went_on = threading.Semaphore(0), threading.Semaphore(0)
    order: list[str] = []

    def check(picture: PictureFile, _key: object) -> decode.Checked:
        busy.acquire()
        order.append(picture.field)
        went_on.release()
        return decode.Checked(1, 1, b"")

    monkeypatch.setattr(pool, "_check_one", check)

    def ask(client: str, number: int) -> list[decode.Checked]:
        decoder_pool.set_client(client)
        named = [PictureFile(SMALL, f"{client}{at}") for at in range(number)]
        return list(pool.check(named))

    with ThreadPoolExecutor(2) as clients:
        many = clients.submit(ask, "many", 8)
        wait_for(lambda: len(pool._turns._waiting.get("many", ())) == 6, pause=0.01)

        # When another asks for two, then those come before most of the many
        few = clients.submit(ask, "few", 2)
        wait_for(lambda: len(pool._turns._waiting.get("few", ())) == 2, pause=0.01)
        for _ in range(10):
            busy.release()
            assert went_on.acquire(timeout=60)
        assert len(many.result(60)) == 8
        assert len(few.result(60)) == 2
    assert max(order.index("few0"), order.index("few1")) <= 6


def test_a_client_of_a_slow_picture_has_one_process_at_a_time(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(client: str, number: int) -> list[decode.Checked]:
        decoder_pool.set_client(client)
        return list(pool.check([PictureFile(SMALL, f"{client}{at}") for at in range(number)]))

    # Given a client whose picture was slow, who asks for three more
    monkeypatch.setattr(decoder_pool, "SLOW_SECONDS", -1.0)
    copy_context().run(ask, "slow", 1)
    monkeypatch.setattr(decoder_pool, "SLOW_SECONDS", 600.0)
    held, begun = threading.Event(), threading.Semaphore(0)

    def check(picture: PictureFile, _key: object) -> decode.Checked:
        if picture.field.startswith("slow"):
            begun.release()
            assert held.wait(60)
        return decode.Checked(1, 1, b"")

    monkeypatch.setattr(pool, "_check_one", check)
    with ThreadPoolExecutor(2) as clients:
        slow = clients.submit(ask, "slow", 3)
        assert begun.acquire(timeout=60)

        # When one of them is at work, another client's are checked, and two still wait
        assert len(clients.submit(ask, "other", 4).result(60)) == 4
        assert len(pool._turns._waiting["slow"]) == 2

        # And in the end all are
        held.set()
        assert len(slow.result(60)) == 3


def test_a_closed_pool_keeps_nobody_waiting(make_pool: Callable[..., Pool]) -> None:
    # Given two processes in the middle of a picture, and two more pictures
    pool = make_pool()
    pool.warm()
    wait_for(lambda: pool._idle.qsize() == len(children()) == 2, pause=0.01)
    for child in children():
        stopped(child)
    pictures = [save(gradient(160, 120 + number), "PNG") for number in range(4)]
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(one, pool, picture) for picture in pictures]
        # two are taken and two wait; without the first, two that nobody has taken yet would do
        wait_for(
            lambda: sum(pool._turns._running.values()) == pool._threads._work_queue.qsize() == 2,
            pause=0.01,
        )

        # When the pool is closed, all have an answer
        pool.close()
        for each in asked:
            with pytest.raises((InvalidInput, CancelledError)):
                each.result(60)


def test_a_file_that_was_refused_takes_no_process_again(pool: Pool) -> None:
    # Given a file that was refused, and children that answer nothing any more
    with pytest.raises(NotAPicture) as first:
        one(pool, SMALL[:600])
    stopped(children()[0])

    # Then it is refused in the same words, under the field it comes in now
    with pytest.raises(NotAPicture) as again:
        one(pool, SMALL[:600], "style")
    assert str(again.value) == str(first.value).replace("content", "style")
    children()[0].send_signal(signal.SIGCONT)
    assert one(pool, SMALL).width == 160


def test_refusals_are_forgotten_after_a_while_and_the_oldest_first(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_pool, "REFUSED_FILES", 2)
    bad = [SMALL[:600] + bytes([number]) for number in range(3)]
    for data in bad:
        with pytest.raises(NotAPicture):
            one(pool, data)
    assert [key[0] for key in pool._refusals._known] == [sha256(data).digest() for data in bad[1:]]
    key = next(iter(pool._refusals._known))
    monkeypatch.setattr(decoder_pool, "monotonic", lambda: time.monotonic() + 601)
    assert pool._refusals.find(key, "content") is None


@pytest.mark.processes
def test_a_picture_may_take_so_much_of_a_processor_and_no_more(make_pool: Callable[..., Pool]) -> None:
    # Given a large JPEG with as many scans as it may have, so that decoding it takes long
    hostile = repeat_last_scan(save(Image.new("RGB", (6000, 6000)), "JPEG", progressive=True), 85)
    pool = make_pool(cpu_seconds=1)

    with pytest.raises(InvalidInput, match=r"content: cannot be decoded .* 1 s of a processor"):
        one(pool, hostile)
    assert one(pool, SMALL).width == 160


def test_a_child_has_no_secret_and_none_of_the_farms_settings(
    monkeypatch: pytest.MonkeyPatch, pool: Pool
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://farm:secret@db/farm")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("FARM_WEBHOOK_SECRET", "another secret of ours")
    seen = started(pool).environ()
    assert "secret" not in "".join(seen.values())
    assert not [name for name in seen if name.startswith(("FARM_", "AWS_", "DATABASE", "REDIS"))]
    assert set(seen) <= {*decoder_child.PASSED_ON, "PYTHONPATH", "OPENBLAS_NUM_THREADS", "LC_CTYPE"}


def test_a_child_is_limited_before_the_first_picture(pool: Pool) -> None:
    child = started(pool)
    soft, hard = child.rlimit(psutil.RLIMIT_AS)
    assert soft == hard
    assert AMPLE.memory < hard < AMPLE.memory + 500_000_000
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_NOFILE) == (16, 16)
    assert child.rlimit(psutil.RLIMIT_CPU)[0] in range(60, 70)
    assert re.search(r"NoNewPrivs:\s+1", Path(f"/proc/{child.pid}/status").read_text())
    held = {opened.path for opened in child.open_files()}
    assert held == set()


PROBE = """
import ctypes, errno, json, os, socket, threading
from pathlib import Path
from farm.errors import InvalidInput, Problem
from farm.pictures import decode

home, parent, libc = Path({home!r}), {parent}, ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def write():
    (home / "new").touch()

attempts = dict(
    read=lambda: (home / "secret").read_bytes(),
    look=lambda: os.listdir(home),
    write=write,
    remove=lambda: (home / "secret").unlink(),
    mode=lambda: (home / "secret").chmod(0),
    environ=lambda: Path(f"/proc/{{parent}}/environ").read_bytes(),
    socket=socket.socket,
    pair=socket.socketpair,
    execute=lambda: os.execv("/bin/true", ["true"]),
    fork=os.fork,
    signal=lambda: os.kill(parent, 0),
    ptrace=lambda: call("ptrace", 16, parent, None, None),
    memory=lambda: call("process_vm_readv", parent, None, 0, None, 0, 0),
    thread=lambda: threading.Thread(target=int).start(),
    itself=lambda: os.kill(os.getpid(), 0),
)

def attempt(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def check(*_):
    found = {{name: attempt(what) for name, what in attempts.items()}}
    raise InvalidInput(Problem("", json.dumps(found)))

decode.check = check
"""
LAYERS = "from farm import prctl; from farm.pictures import sandbox; prctl.forbid_new_privileges(); {}"
REFUSED_BY = {
    SECCOMP: {"mode", "socket", "pair", "execute", "fork", "signal", "ptrace", "memory"},
    LANDLOCK: {"read", "look", "write", "remove", "environ"},
}


@pytest.fixture
def layers() -> list[str]:
    """Those of the sandbox that this machine has."""
    code = LAYERS.format("print(*sandbox.lock())")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_a_decoder_taken_over_reaches_no_file_no_process_and_no_network(
    layers: list[str],
    farm_home: Path,
    tmp_path: Path,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a secret, and a decoder that a picture has taken over
    farm_home.mkdir()
    (farm_home / "secret").write_text("the key")
    probe = PROBE.format(home=str(farm_home), parent=os.getpid())
    (tmp_path / "sitecustomize.py").write_text(probe)
    monkeypatch.syspath_prepend(tmp_path)

    # When it tries what it likes
    with pytest.raises(InvalidInput) as caught:
        one(pool, SMALL)
    found = json.loads(caught.value.problems[0].message)

    # Then all but threads and signals to itself is refused, as far as this kernel has the means
    for layer in layers:
        reached = {name: found[name] for name in REFUSED_BY[layer] if found[name] == "done"}
        assert reached == {}, layer
    assert found["thread"] == found["itself"] == "done"


def test_packages_that_read_pictures_are_found_wherever_they_lie(tmp_path, monkeypatch) -> None:
    # As with `pip install --target` and PYTHONPATH, beside what is nobody's business.
    package = tmp_path / "tifffile"
    package.mkdir()
    (package / "__init__.py").touch()
    (tmp_path / "secret-key").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tifffile", raising=False)
    found = sandbox._find_readable()
    assert str(package) in found
    assert str(tmp_path) not in found


def test_the_log_tells_once_which_layers_of_the_sandbox_are_in_force(
    layers: list[str], make_pool: Callable[..., Pool], capsys: pytest.CaptureFixture[str]
) -> None:
    decoder_child._log_sandbox.cache_clear()
    for _ in range(2):
        pool = make_pool()
        one(pool, SMALL)
        pool.close()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "sandbox" in line]
    in_force, missing = line.split("in_force=")[1].split("missing=")
    assert all(repr(layer) in in_force for layer in layers)
    assert all((repr(layer) in missing) == (layer not in layers) for layer in REFUSED_BY)


@pytest.mark.parametrize("fails", ["_restrict_files", "_restrict_calls"])
def test_a_kernel_that_lacks_a_layer_has_the_other(
    fails: str, layers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a kernel that refuses the system calls of one layer
    code = f"def fail(): raise OSError(38, 'lacking')\nsandbox.{fails} = fail\nprint(*sandbox.lock())"
    given = LAYERS.format("") + "\n" + code
    found = subprocess.run([sys.executable, "-c", given], capture_output=True, text=True, check=True)
    lacking = LANDLOCK if fails == "_restrict_files" else SECCOMP
    assert found.stdout.split() == [layer for layer in layers if layer != lacking]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize(("mode", "user"), [(0o755, 65534), (0o700, 0)])
def test_a_child_of_root_becomes_nobody_where_nobody_can_read_its_libraries(
    mode: int, user: int
) -> None:
    with TemporaryDirectory() as libraries:  # below /tmp, which everybody may enter
        Path(libraries).chmod(mode)
        become = f"sandbox._find_readable = lambda: [{libraries!r}]; print(*sandbox.leave_root())"
        then = "import os; print(*os.getresuid(), *os.getresgid(), *os.getgroups()[:1])"
        before = subprocess.run([sys.executable, "-c", then], capture_output=True, text=True, check=True)
        code = LAYERS.format(f"{become}; {then}")
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    nobody = ["user", " ".join(["65534"] * 6)]
    assert found.stdout.strip().splitlines() == (nobody if user else [before.stdout.strip()])


def test_a_child_imports_little() -> None:
    heavy = {"torch", "sqlalchemy", "celery", "flask", "pydantic", "structlog", "redis"}
    code = f"import sys, farm.pictures.decoder_process; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


ONE_PICTURE = """
import os, sys, time
from pathlib import Path
from farm import log
from farm.pictures import decoder_pool
from farm.pictures.decoder_request import PictureFile

log.configure()

def look():
    data = Path(sys.argv[1]).read_bytes()
    (checked,) = decoder_pool.check([PictureFile(data, "content")])
    print(checked.width, flush=True)

look()
"""


@contextmanager
def other_process(folder: Path, then: str) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """A process that has a child of its own and goes on with something else, and that child."""
    (folder / "picture").write_bytes(SMALL)
    command = [sys.executable, "-W", "error", "-c", ONE_PICTURE + then, str(folder / "picture")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"160\n"
        yield parent, psutil.Process(parent.pid).children()[0]
        parent.kill()


@pytest.mark.processes
def test_a_child_dies_with_its_parent_even_in_the_middle_of_a_picture(tmp_path: Path) -> None:
    with other_process(tmp_path, "time.sleep(60)") as (parent, child):
        stopped(child)
        parent.kill()
        wait_for(lambda: is_gone(child), pause=0.02)


@pytest.mark.processes
def test_a_process_that_ends_leaves_no_child(tmp_path: Path) -> None:
    with other_process(tmp_path, "time.sleep(0.5)") as (parent, child):
        assert parent.wait(120) == 0
        assert is_gone(child)


@pytest.mark.processes
def test_a_forked_process_has_children_of_its_own(tmp_path: Path) -> None:
    then = "pid = os.fork()\nlook()\nif pid: os.waitpid(pid, 0)"
    with other_process(tmp_path, then) as (parent, _):
        assert parent.wait(120) == 0
        assert parent.stdout
        assert parent.stdout.read() == b"160\n160\n"


@pytest.mark.processes
def test_the_web_part_that_is_stopped_leaves_no_child(farm_home: Path) -> None:
    # Given a web part that has taken a job
    install()
    port = free_port()
    environment = os.environ | {"PORT": str(port), "REDIS_URL": ""}
    web = subprocess.Popen([*FARM, "web"], env=environment)
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: answers(url), pause=0.05)
    assert httpx.post(f"{url}/api/v1/jobs", files=sample_files(), timeout=120).status_code == 202
    family = psutil.Process(web.pid).children(recursive=True)
    assert any("farm.pictures.decoder_process" in child.cmdline() for child in family)

    # When it is stopped, nothing of it is left
    web.terminate()
    web.wait(120)
    wait_for(lambda: all(is_gone(child) for child in family), pause=0.02)


def test_a_closed_pool_leaves_neither_process_nor_thread_nor_file() -> None:
    before = (threading.active_count(), psutil.Process().num_fds())
    pool = Pool(AMPLE)
    started(pool)
    pool.close()
    assert children() == []
    assert (threading.active_count(), psutil.Process().num_fds()) == before


def test_many_threads_share_two_children(pool: Pool) -> None:
    sizes = [(100 + number, 90) for number in range(24)]
    pictures = [save(gradient(*size), "PNG") for size in sizes]
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda data: one(pool, data), pictures))
    assert [(checked.width, checked.height) for checked in found] == sizes
    assert len(children()) == 2


def test_nobody_waits_for_ever(make_pool: Callable[..., Pool]) -> None:
    # Given two children in the middle of pictures
    pool = make_pool(wait_seconds=0.2)
    list(pool.check([PictureFile(SMALL, "content")] * 2))
    both = [stopped(child) for child in children()]
    assert len(both) == 2
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(lambda: list(pool.check([PictureFile(SMALL, "content")] * 2)))
        wait_for(lambda: all(map(asked_something, both)), pause=0.01)

        # Then a third is told so
        with pytest.raises(Busy) as caught:
            one(pool, SMALL)
        assert caught.value.status == 503

        # And those that have begun are not disturbed
        for child in both:
            child.send_signal(signal.SIGCONT)
        assert [checked.width for checked in busy.result(120)] == [160, 160]
