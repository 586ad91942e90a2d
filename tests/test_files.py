"""A file that is replaced: there is the old one or the new one, and never a rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.files import MAX_NAME_BYTES, build_file_name, replace_file


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")
    with replace_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")

    def write_half() -> None:
        with replace_file(path, tmp_path / "half") as part:
            part.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_temporary_file_that_was_never_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replace_file(tmp_path / "picture.png"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("西湖秋日黄昏", "西湖秋日黄昏.png"),
        ("हिन्दी", "हिन्दी.png"),
        ("../a/b:c", "a-b-c.png"),
        ("...", "picture.png"),
        ("湖" * 120, "湖" * 65 + ".png"),
        ("é" * 120, "é" * 98 + ".png"),
    ],
)
def test_a_file_is_named_in_any_script_and_not_too_long(name: str, file: str) -> None:
    assert build_file_name(name, ".png") == file
    assert len(file.encode()) <= MAX_NAME_BYTES
