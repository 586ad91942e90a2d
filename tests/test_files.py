"""A file that is replaced: there is the old one or the new one, and never a rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.files import replace_file


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
