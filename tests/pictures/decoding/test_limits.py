"""Limits of a decoding process: its memory, its time, and what its end costs others."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.testbed.processes import wait_for
from farm.errors import InvalidInput, NotAPicture
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_pool import Pool
from farm.pictures.decoder_request import Limits, PictureFile
from tests.pictures.chart import chunk, png, tiff
from tests.pictures.decoding.children import (
    AMPLE,
    LYING,
    SMALL,
    asked_something,
    children,
    gradient,
    grey_16_bit,
    one,
    save,
    started,
    stopped,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")


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
        one(pool, save(Image.new("RGB", (5000, 5000)), "PNG", compress_level=1))
    assert started(pool).pid == child.pid


SIDE = 2000  # px


def neediest() -> Iterator[bytes]:
    """Return, of each kind that is told apart on the way, the one that takes most, as measured."""
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


def repeat_scans(jpeg: bytes, times: int) -> bytes:
    """The file with all of its scans several times."""
    return jpeg[:-2] + jpeg[jpeg.index(b"\xff\xc4") : -2] * (times - 1) + jpeg[-2:]


def test_a_jpeg_of_repeated_scans_is_refused_before_it_is_decoded(
    make_pool: Callable[..., Pool],
) -> None:
    whole = save(Image.new("RGB", (1500, 1500)), "JPEG", progressive=True)
    pool = make_pool(cpu_seconds=1)
    with pytest.raises(NotAPicture, match=r"content: has \d+ scans; the limit is 100"):
        one(pool, repeat_scans(whole, 1400))
    assert one(pool, whole).width == 1500


@pytest.mark.processes
def test_a_picture_may_take_so_much_of_a_processor_and_no_more(make_pool: Callable[..., Pool]) -> None:
    # Given a large JPEG with as many scans as it may have, so that decoding it takes long
    hostile = repeat_scans(save(Image.new("RGB", (6000, 6000)), "JPEG", progressive=True), 10)
    pool = make_pool(cpu_seconds=1)

    with pytest.raises(InvalidInput, match=r"content: cannot be decoded .* 1 s of a processor"):
        one(pool, hostile)
    assert one(pool, SMALL).width == 160


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
