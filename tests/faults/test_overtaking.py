"""Drafts overtake a larger picture, which goes on to the same file."""

from __future__ import annotations

import pytest

from benchmarks.overtaking import measure

pytestmark = pytest.mark.faults


@pytest.mark.usefixtures("weights_dir")
def test_a_larger_picture_makes_way_for_drafts_and_is_the_same() -> None:
    found = measure(size=1024, cells=2)
    assert found["same file"]
    assert found["attempts"] == 2
    assert found["first draft begun"] < found["large picture went on"]
