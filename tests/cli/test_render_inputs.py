"""Inputs of `farm render`, decoded: less than a file has, unless a checkpoint wants all of it."""

from __future__ import annotations

import pytest

from farm.cli.render_files import _decode_inputs
from farm.recipe import Recipe, picture_sizes
from tests.conftest import SAMPLES


@pytest.mark.parametrize(("whole", "longest"), [(False, 256), (True, 1280)])
def test_pictures_are_decoded_whole_only_for_checkpoints_that_were_made_so(
    whole: bool, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_sizes, "KEPT_PIXELS", 1000)
    street, brushwork = SAMPLES / "street.jpg", SAMPLES / "brushwork.jpg"
    photograph, (painting,) = _decode_inputs(street, [brushwork], Recipe(size=128), whole)
    assert max(photograph.pixels.shape) == longest
    assert photograph.sent == (960, 1280)
    assert painting.shape == ((820, 1024, 3) if whole else (198, 248, 3))
