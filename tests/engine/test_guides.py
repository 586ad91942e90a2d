"""Masks and the other guides of a rendering."""

from __future__ import annotations

import numpy as np
import pytest

from farm.engine.checkpoint import hash_inputs
from farm.engine.guides import Guides
from farm.errors import InvalidInput

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


WHITE, BLACK = np.full((40, 60), 255, np.uint8), np.zeros((40, 60), np.uint8)
LEFT = np.where(np.arange(60) < 30, WHITE, BLACK)


@pytest.mark.parametrize(
    "guides",
    [
        Guides(),
        Guides(masks=(LEFT, 255 - LEFT), keep=LEFT, opaque=LEFT),
        Guides(masks=(WHITE, WHITE)),  # they overlap everywhere, and share
        Guides(keep=LEFT[::13, ::13]),  # 4 x 5 px, as near to 3 : 2 as it can be
        Guides(masks=(np.full((400, 604), 255, np.uint8), LEFT)),  # 0.7 % from it
    ],
)
def test_guides_that_go_with_the_photograph_pass(guides: Guides) -> None:
    guides.check((200, 300), 2)


@pytest.mark.parametrize(
    ("guides", "told"),
    [
        (Guides(masks=(LEFT,)), "mask: has 1 for 2 paintings; give one for each, or none"),
        (
            Guides(masks=(LEFT, np.full((40, 62), 255, np.uint8))),
            "mask 2: is 62 x 40 px, the photograph 300 x 200; it needs the same proportion, within 1 %",
        ),
        (Guides(keep=LEFT.T), "keep: is 40 x 60 px, the photograph 300 x 200; it needs"),
        (Guides(start=PIXELS[:, :4]), "init: is 4 x 5 px, the photograph 300 x 200; it needs"),
        (Guides(masks=(BLACK, LEFT)), "mask 1: is black all over, so that it marks nothing"),
        (Guides(keep=BLACK), "keep: is black all over, so that it marks nothing"),
        (Guides(keep=WHITE), "keep: is white all over, so that nothing is left to paint"),
        (Guides(opaque=BLACK), "content: is transparent all over; there is nothing to paint"),
    ],
)
def test_guides_that_do_not_go_with_it_are_refused(guides: Guides, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{told}"):
        guides.check((200, 300), 2)
