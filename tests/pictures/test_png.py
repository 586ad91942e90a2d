"""Our PNGs, read by what others read them with; their strips are compressed by several threads."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

from farm.pictures import deflate, encode, jpeg, png
from farm.pictures.pixels import Picture
from farm.recipe.formats import Format
from tests.conftest import load_sample
from tests.pictures.test_images import paeth, values_of

# The pixels of a PNG in base64, as a canvas shows them: RGBA of 8 bits, one after the other.
READ_PIXELS = """async data => {
    const picture = new Image();
    picture.src = "data:image/png;base64," + data;
    await picture.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
}"""


@pytest.fixture
def picture(monkeypatch: pytest.MonkeyPatch) -> Picture:
    """Smooth places, strokes and noise in strips of a few rows; the last one is lower."""
    monkeypatch.setattr(deflate, "STRIP_BYTES", 5000)
    painted = load_sample("brushwork", 150)
    noise = np.random.default_rng(0).normal(0, 0.02, painted.shape)
    out = np.clip(painted + noise, 0, 1).astype(np.float32)
    out[20:40] = np.linspace(0, 1, out.shape[1], dtype=np.float32)[:, None]
    assert len(out) % deflate.choose_strip_rows(3 * out.shape[1])
    return out


def eight_bits(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(encode.to_image(picture))


def test_a_picture_comes_back_by_pillow(picture: Picture) -> None:
    data = encode.encode_picture(picture, "png", "{}")
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.info["icc_profile"], image.info[encode.RECIPE_TAG]) == (jpeg.SRGB, "{}")
        assert np.array_equal(np.asarray(image), eight_bits(picture))


@pytest.mark.parametrize("format", ["png", "png16"])
def test_libpngs_own_tools_find_nothing_wrong(picture: Picture, format: Format, tmp_path: Path) -> None:
    for tool in ("pngfix", "pngtopnm"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}: install the packages libpng-tools and netpbm")
    path = tmp_path / "picture.png"
    path.write_bytes(encode.encode_picture(picture, format, "{}"))

    # Then its stream, its checksum and its chunks need no repair
    found = subprocess.run(["pngfix", "--strip=none", path], capture_output=True, text=True)
    assert [line[:8] for line in found.stdout.splitlines()] == ["iCCP OK ", "IDAT OK "], found

    # And its pixels are ours
    pnm = subprocess.run(["pngtopnm", path], capture_output=True, check=True).stdout
    kind = ">u2" if format == "png16" else "u1"
    values = np.frombuffer(pnm[-picture.size * np.dtype(kind).itemsize :], kind).reshape(picture.shape)
    assert np.array_equal(values, values_of(path.read_bytes(), format))


@pytest.mark.browser
@pytest.mark.parametrize("format", ["png", "png16"])
def test_a_browser_shows_the_same_pixels(picture: Picture, format: Format, page: Page) -> None:
    data = base64.b64encode(encode.encode_picture(picture, format, "{}")).decode()
    shown = np.array(page.evaluate(READ_PIXELS, data)).reshape(*picture.shape[:2], 4)
    assert (shown[..., 3] == 255).all()
    off = np.abs(shown[..., :3] - eight_bits(picture).astype(int))
    assert off.max() <= (format == "png16")  # of which a browser makes 8 bits as it likes


def test_a_prediction_is_the_standards_at_all_orders_of_three_bytes() -> None:
    some = np.array([*range(0, 256, 5), 1, 2, 126, 127, 128, 129, 253, 254], np.uint8)
    left, up, corner = (axis.ravel() for axis in np.meshgrid(some, some, some))
    nearest = [paeth(*three) for three in zip(left.tolist(), up.tolist(), corner.tolist(), strict=True)]
    assert png.predict_paeth(left, up, corner).tolist() == nearest
    means = (left.astype(int) + up) // 2
    assert png.predict_average(left, up).tolist() == means.tolist()


@pytest.mark.parametrize("format", ["png", "png16", "tiff16"])
def test_any_number_of_threads_writes_the_same_file(
    picture: Picture, format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = set()
    for threads in (1, 2, 5):
        monkeypatch.setattr(deflate, "count_threads", lambda threads=threads: threads)
        files.add(encode.encode_picture(picture, format))
    assert len(files) == 1


def test_a_full_disk_ends_all_threads(picture: Picture) -> None:
    class FullDisk(io.BytesIO):
        def write(self, data: object) -> int:
            if self.tell() > 10_000:
                raise OSError(28, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]

    with pytest.raises(OSError, match="No space left"):
        encode.write(picture, "png", FullDisk())
    assert [thread.name for thread in threading.enumerate() if "strips" in thread.name] == []


def test_what_breaks_in_a_thread_is_raised(picture: Picture) -> None:
    def read_rows(top: int, bottom: int) -> NDArray[np.uint8]:
        if top > 50:
            raise MemoryError
        return eight_bits(picture[top:bottom])

    height, width, _ = picture.shape
    with pytest.raises(MemoryError):
        png.write_png(io.BytesIO(), width, height, 8, read_rows, jpeg.SRGB, {})


def test_results_that_wait_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two threads, and somebody who takes results slowly
    monkeypatch.setattr(deflate, "count_threads", lambda: 2)
    begun: list[int] = []
    results = deflate.map_in_order(begun.append, range(1000))
    # When some were taken
    for _ in range(10):
        next(results)
    # Then hardly more were begun
    assert len(begun) <= 10 + 2 * 2
    results.close()  # type: ignore[attr-defined]
