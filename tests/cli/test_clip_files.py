"""Clips as commands take them: told from photographs by content, and folders of frames."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from farm.cli.clip_files import is_clip, read_clip
from tests.conftest import SAMPLES


def test_a_folder_of_frames_is_a_clip_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"frame {number}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    packed = read_clip(tmp_path)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        frames = [Image.open(io.BytesIO(archive.read(name))) for name in sorted(archive.namelist())]
    assert [frame.tobytes()[0] for frame in frames] == [1, 9, 10]  # red
    assert packed == read_clip(tmp_path)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_pictures_that_move_are_clips(tmp_path: Path, format: str) -> None:
    one, other = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    path = tmp_path / "clip"
    one.save(path, format, save_all=True, append_images=[other])
    assert is_clip(path)
    one.save(path, format)
    assert is_clip(path) == (format == "GIF")  # of which none is a photograph


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x20ftypisom", True),
        (b"\0\0\0\x14ftypqt  ", True),
        (b"\0\0\0\x08wide\0\0\0\0mdat", True),
        (b"\x1aE\xdf\xa3\x01", True),
        (b"PK\x03\x04", True),
        (b"\0\0\0\x18ftypheic", False),
        (b"\0\0\0\x18ftypavif", False),
        (b"\0\0\0\x18ftypcrx ", False),
        (b"no picture", False),
        (b"", False),
    ],
)
def test_clips_are_told_from_photographs_by_how_they_begin(
    tmp_path: Path, head: bytes, expected: bool
) -> None:
    path = tmp_path / "anything"
    path.write_bytes(head)
    assert is_clip(path) == expected
    assert not is_clip(SAMPLES / "street.jpg")
