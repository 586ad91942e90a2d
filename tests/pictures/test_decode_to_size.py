"""Uploads that are made smaller while they are decoded."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from farm.engine.pyramid import Level, resize_photograph, to_tensor
from farm.pictures.decode import Decoded, decode, decode_to_size
from farm.recipe.picture_sizes import Size
from tests.conftest import SAMPLES


def save(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def keep(size: Size) -> Size:
    return size


def decoded(data: bytes, size: Size | None = None) -> Decoded:
    return decode_to_size(data, "painting", 100, keep if size is None else lambda sent: size)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_a_picture_that_is_kept_is_what_it_was(mode: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (70, 90, 4), dtype=np.uint8)
    data = save(Image.fromarray(noise).convert("RGB").convert(mode), "PNG")
    found = decoded(data)
    assert found.sent == (70, 90)
    assert found.pixels.dtype == np.uint8
    assert np.array_equal(found.pixels, np.rint(decode(data, "painting", 1) * 255))


def test_the_size_as_sent_is_that_of_the_upright_picture() -> None:
    on_its_side = Image.new("RGB", (300, 200), "red")
    exif = on_its_side.getexif()
    exif[0x0112] = 6
    asked = []
    found = decode_to_size(
        save(on_its_side, "JPEG", exif=exif), "painting", 1, lambda sent: asked.append(sent) or (30, 20)
    )
    assert found.sent == (300, 200)
    assert found.pixels.shape == (30, 20, 3)
    assert asked[-1] == (300, 200)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_what_is_too_fine_for_the_smaller_picture_is_averaged(format: str) -> None:
    board = np.kron(np.indices((400, 400)).sum(axis=0) % 2, np.ones((2, 2)))  # of 2 px, ten to one left
    data = save(Image.fromarray((board * 255).astype(np.uint8)).convert("RGB"), format)
    found = decoded(data, (40, 40)).pixels
    assert np.abs(found[4:-4, 4:-4].astype(int) - 128).max() <= 3


def test_sixteen_bits_and_transparency_are_made_smaller_too() -> None:
    grey = Image.fromarray(np.full((400, 300), 32768, np.uint16))
    assert np.abs(decoded(save(grey, "PNG"), (40, 30)).pixels.astype(int) - 128).max() <= 1
    clear = Image.new("RGBA", (400, 300), (255, 0, 0, 0))
    assert (decoded(save(clear, "PNG"), (40, 30)).pixels == 255).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "format"), [("street", "JPEG"), ("brushwork", "JPEG"), ("street", "PNG")]
)
def test_a_level_made_of_the_smaller_picture_is_hardly_another(name: str, format: str) -> None:
    # at twice the level's sides, the least that is held
    path: Path = SAMPLES / f"{name}.jpg"
    data = path.read_bytes() if format == "JPEG" else save(Image.open(path), "PNG", compress_level=1)
    whole = decoded(data).pixels
    height, width = (side // 4 for side in whole.shape[:2])
    small = decoded(data, (2 * height, 2 * width)).pixels
    resized = partial(resize_photograph, level=Level(height, width, 1))
    apart = 255 * (
        resized(to_tensor(whole, torch.device("cpu"))) - resized(to_tensor(small, torch.device("cpu")))
    )
    assert float(apart.square().mean().sqrt()) < 0.3
    assert float(apart.abs().max()) < 10
