"""Clips as commands take them: folders of frames."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image

from farm.cli.clip_files import read_clip


def test_a_folder_of_frames_is_a_clip_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"frame {number}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    packed = read_clip(tmp_path)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        frames = [Image.open(io.BytesIO(archive.read(name))) for name in sorted(archive.namelist())]
    assert [frame.tobytes()[0] for frame in frames] == [1, 9, 10]  # red
    assert packed == read_clip(tmp_path)
