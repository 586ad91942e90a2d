"""Resizing pictures that are held as bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from farm.engine.checkpoint import hash_inputs
from farm.engine.guides import Guides
from farm.engine.pyramid import Level, resize, resize_photograph, resize_style, to_tensor

CPU = torch.device("cpu")


def make_pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def to_floats(pixels: np.ndarray) -> np.ndarray:
    return np.divide(pixels, np.float32(255), dtype=np.float32)


@pytest.mark.parametrize(
    ("size", "to"),
    [
        ((401, 613), (100, 150)),
        ((65, 300), (128, 601)),
        ((700, 1300), (12, 20)),
        ((90, 70), (90, 70)),
        ((90, 70), (90, 35)),
    ],
)
def test_bytes_become_bit_for_bit_what_floats_become(size: tuple[int, int], to: tuple[int, int]) -> None:
    pixels = make_pixels(*size)
    found = resize(to_tensor(pixels, CPU), *to)
    expected = resize(to_tensor(to_floats(pixels), CPU), *to)
    assert found.is_contiguous()
    assert torch.equal(found, expected)


def test_a_picture_that_is_not_resized_stays_as_it_is() -> None:
    outside = torch.full((1, 3, 40, 50), 1.5)
    assert torch.equal(resize_photograph(outside, Level(40, 50, 1)), torch.ones(1, 3, 40, 50))
    assert torch.equal(resize_style(outside, Level(40, 50, 1), 1.0), torch.ones(1, 3, 40, 50))
    assert float(outside.min()) == 1.5


def test_the_digest_of_bytes_is_that_of_floats() -> None:
    # so that checkpoints of versions that held floats are known again
    pixels = make_pixels(130, 40)
    assert hash_inputs([pixels], Guides()) == hash_inputs([to_floats(pixels)], Guides())
    assert hash_inputs([pixels], Guides()) != hash_inputs([pixels[::-1].copy()], Guides())
