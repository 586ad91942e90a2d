"""Masks and the other guides of a rendering."""

from __future__ import annotations

import numpy as np

from farm.engine.checkpoint import hash_inputs
from farm.engine.guides import Guides

PIXELS = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def test_without_guides_the_digest_of_the_inputs_is_that_of_earlier_versions() -> None:
    of_0_3 = "5661f7f74facd9b6a5d9f380425d709e0c89114e8a43b019d493f82547df3c18"
    assert hash_inputs([PIXELS, PIXELS[::2]], Guides()) == of_0_3


def test_each_guide_makes_another_digest_of_the_inputs() -> None:
    left, right = (np.zeros((4, 6), np.uint8) for _ in range(2))
    left[:, :3], right[:, 3:] = 255, 255
    guides = [
        Guides(),
        Guides(masks=(left, right)),
        Guides(masks=(right, left)),
        Guides(masks=(left,), keep=right),
        Guides(keep=left),
        Guides(opaque=left),
        Guides(start=PIXELS),
    ]
    assert len({hash_inputs([PIXELS], each) for each in guides}) == len(guides)
