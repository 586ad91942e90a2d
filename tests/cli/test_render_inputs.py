"""Inputs of `farm render`, decoded to less than a file has unless a checkpoint wants all; its output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from farm.cli import main, render_files
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


def test_a_rendering_in_a_folder_is_named_for_its_photograph_and_takes_no_files_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(content: Path, styles: object, output: Path, *_: object, **__: object) -> dict[str, int]:
        output.touch()
        return {"width": 1, "height": 1, "seconds": 0}

    monkeypatch.setattr(render_files, "render_files", render)
    pictures = [str(SAMPLES / "street.jpg"), str(SAMPLES / "brushwork.jpg")]
    arguments = ["render", *pictures, "--format", "jpeg"]
    for name in ("street.jpg", "street-2.jpg", "street-3.jpg"):
        done = CliRunner().invoke(main, [*arguments, "-o", f"{tmp_path}/new/"])
        assert done.exit_code == 0, done.output
        assert (tmp_path / "new" / name).exists()


def render(folder: Path, init: str, *options: str) -> Result:
    """One iteration of a tiny picture in this folder."""
    pictures = [str(SAMPLES / "street.jpg"), str(SAMPLES / "brushwork.jpg")]
    small = ["--size", "64", "--start-size", "64", "--iterations", "1", "--features", "vgg16"]
    output = ["-o", str(folder / "out.png"), "--init", init]
    return CliRunner().invoke(main, ["render", *pictures, *output, *small, *options])


@pytest.mark.usefixtures("weights_dir")
def test_a_rendering_begins_from_a_file(tmp_path: Path) -> None:
    own = tmp_path / "own.png"
    Image.new("RGB", (200, 150), (250, 250, 250)).save(own)
    done = render(tmp_path, str(own))
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "out.png") as made:
        assert np.asarray(made).mean() > 230  # the street is far darker

    Image.new("RGB", (200, 200)).save(own)
    done = render(tmp_path, str(own))
    assert done.exit_code == 1
    assert "init: is 200 x 200 px, the photograph 1280 x 960" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (
            "sketch.png",
            "init: must be content, photograph, recoloured, picture, noise, gray or a picture",
        ),
        ("picture", "init: is picture, and no picture to begin from came with it"),
    ],
)
def test_a_start_that_is_not_there_is_named(init: str, said: str, tmp_path: Path) -> None:
    done = render(tmp_path, init)
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
