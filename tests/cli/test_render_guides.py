"""`farm render --mask .. --keep ..`: masks that go with the photograph, and each kind that does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from farm.cli import main
from tests.conftest import SAMPLES

SMALL = ["--size", "64", "--start-size", "64", "--iterations", "1", "--features", "vgg16"]
STREET = (1280, 960)


def render(folder: Path, *options: str) -> Result:
    """One iteration of a tiny picture in this folder, after two paintings."""
    pictures = [str(SAMPLES / f"{name}.jpg") for name in ("street", "brushwork", "mosaic")]
    return CliRunner().invoke(
        main, ["render", *pictures, "-o", str(folder / "out.png"), *SMALL, *options]
    )


def draw(folder: Path, name: str, size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> str:
    """Write a black map with white boxes; return its path."""
    image = Image.new("L", size)
    for box in boxes:
        image.paste(255, box)
    image.save(folder / name)
    return str(folder / name)


@pytest.mark.usefixtures("weights_dir")
def test_masks_of_another_size_are_scaled_and_what_is_kept_is_the_photographs(tmp_path: Path) -> None:
    left = draw(tmp_path, "left.png", (128, 96), (0, 0, 64, 96))
    right = draw(tmp_path, "right.png", STREET, (640, 0, 1280, 960))
    keep = draw(tmp_path, "keep.png", (640, 480), (0, 0, 640, 240))
    done = render(tmp_path, "--mask", left, "--mask", right, "--keep", keep)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "out.png") as made, Image.open(SAMPLES / "street.jpg") as photograph:
        top = np.asarray(made)[:20].astype(int)
        expected = np.asarray(photograph.resize(made.size, Image.Resampling.BICUBIC))[:20]
    assert np.abs(top - expected).mean() < 2  # but for what two ways of resizing differ by


@pytest.mark.parametrize(
    ("sizes", "boxes", "said"),
    [
        ([STREET], [(0, 0, 9, 9)], "mask: has 1 for 2 paintings; give one for each, or none"),
        (
            [STREET, (960, 960)],
            [(0, 0, 900, 900)] * 2,
            "mask 2: is 960 x 960 px, the photograph 1280 x 960; it needs the same proportion",
        ),
        ([STREET, STREET], [(0, 0, 900, 900), (0, 0, 0, 0)], "mask 2: is black all over"),
    ],
)
def test_masks_that_do_not_go_with_it_are_refused_before_any_work(
    tmp_path: Path,
    sizes: list[tuple[int, int]],
    boxes: list[tuple[int, int, int, int]],
    said: str,
) -> None:
    masks = [
        draw(tmp_path, f"{i}.png", size, box)
        for i, (size, box) in enumerate(zip(sizes, boxes, strict=True))
    ]
    done = render(tmp_path, *(word for mask in masks for word in ("--mask", mask)))
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "out.png").exists()


def test_a_mask_that_is_no_picture_and_a_keep_that_is_all_white_are_named(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no picture")
    done = render(tmp_path, "--keep", str(tmp_path / "words.png"))
    assert "words.png: is not a JPEG, PNG" in " ".join(done.output.split())
    done = render(tmp_path, "--keep", draw(tmp_path, "white.png", STREET, (0, 0, *STREET)))
    assert "keep: is white all over, so that nothing is left to paint" in " ".join(done.output.split())


def test_a_mask_within_what_stays_is_named_with_it(tmp_path: Path) -> None:
    half = draw(tmp_path, "half.png", STREET, (0, 0, STREET[0] // 2, STREET[1]))
    done = render(tmp_path, "--mask", half, "--keep", half)
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "mask: paints only where the photograph stays" in said
    assert "keep: is white wherever a mask paints, so that nothing is left to paint" in said
