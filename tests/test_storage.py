"""Storage: a file is whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm import images
from farm.errors import NotFound
from farm.formats import FORMATS, Format
from farm.storage import Storage


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A local folder, and fsspec's own object store in memory."""
    if request.param == "folder":
        return Storage(f"file://{tmp_path}/storage")
    return Storage(f"memory://{tmp_path.name}")


def test_what_was_put_is_got_again(store: Storage) -> None:
    store.put("jobs/1/result.png", b"picture")
    assert store.get("jobs/1/result.png") == b"picture"
    assert store.exists("jobs/1/result.png")
    assert store.keys() == ["jobs/1/result.png"]


def test_a_second_put_replaces_the_first(store: Storage) -> None:
    store.put("a", b"old")
    store.put("a", b"new")
    assert store.get("a") == b"new"
    assert store.keys() == ["a"]


def test_a_large_file_is_written_piece_by_piece(store: Storage) -> None:
    with store.writing("jobs/1/result.tif") as file:
        file.write(b"....picture")
        file.seek(0)
        file.write(b"some")
        assert not store.exists("jobs/1/result.tif")
    assert store.get("jobs/1/result.tif") == b"somepicture"
    assert store.keys() == ["jobs/1/result.tif"]


def test_a_large_file_that_breaks_off_leaves_the_old_one(store: Storage) -> None:
    store.put("a", b"old")
    with pytest.raises(TypeError), store.writing("a") as file:
        file.write(b"new" + "not bytes")  # type: ignore[operator]
    assert store.get("a") == b"old"
    assert store.keys() == ["a"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_written_straight_into_storage(store: Storage, format: Format) -> None:
    picture = np.full((20, 30, 3), 0.5, np.float32)
    with store.writing("a") as file:
        images.write(picture, format, file, "{}")
    assert store.get("a") == images.encode(picture, format, "{}")


def test_a_missing_file_is_a_clear_error(store: Storage) -> None:
    with pytest.raises(NotFound, match="no longer in storage"):
        store.get("nothing")


def test_deleting_twice_is_fine(store: Storage) -> None:
    store.put("a", b"1")
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")


def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    store = Storage(f"file://{tmp_path}/storage")
    store.put("a", b"old")
    with pytest.raises(TypeError):
        store.put("a", "not bytes")  # type: ignore[arg-type]
    assert store.get("a") == b"old"
    assert store.keys() == ["a"]
