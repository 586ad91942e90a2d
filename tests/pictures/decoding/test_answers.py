"""Answers of a decoding process: as this process would, and never believed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farm.errors import InvalidInput, NotAPicture, TooLarge
from farm.pictures import decode
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_pool import Pool
from farm.pictures.decoder_request import PictureFile
from tests.pictures.decoding.children import (
    AMPLE,
    LYING,
    SMALL,
    gradient,
    grey_16_bit,
    one,
    refusal,
    save,
)
from tests.pictures.test_readers import HEIC

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")


@cache
def make_formats() -> dict[str, bytes]:
    """Return a picture in each format, by its name."""
    return {
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


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """A process that these tests share; one that broke is followed by another."""
    made = Child()
    yield made
    made.end()


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """A pool that these tests share."""
    with closing(Pool(AMPLE)) as made:
        yield made


@pytest.mark.slow
def test_every_format_is_answered_as_in_this_process(pool: Pool) -> None:
    asked = [PictureFile(data, "content") for data in make_formats().values()]
    expected = [decode.check(data, "content", 100) for data in make_formats().values()]
    assert list(pool.check(asked)) == expected


@pytest.mark.parametrize("size", [None, (61, 83)], ids=["as sent", "smaller"])
def test_every_format_has_the_pixels_of_this_process(size: tuple[int, int] | None, child: Child) -> None:
    for name, data in make_formats().items():
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
    child = Child()
    with pytest.raises(InvalidInput, match=r"painting: (cannot be decoded .* it broke|is 1 x 40000)"):
        child.decode(PictureFile(SMALL, "painting"), AMPLE, lambda sent: sent)
    child.end()


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
