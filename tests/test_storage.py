"""Storage: a file is whole or absent."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from farm.errors import NotFound
from farm.pictures import encode
from farm.pictures.encode import encode_picture
from farm.recipe.formats import FORMATS, Format
from farm.storage import Storage
from tests.conftest import BOTH_STORAGES


@pytest.fixture(params=BOTH_STORAGES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A local folder, and a bucket behind an S3 API on a socket."""
    folder = f"file://{tmp_path}/storage"
    store = Storage(folder if request.param == "folder" else request.getfixturevalue("bucket"))
    store.mark()
    return store


def test_what_was_put_is_got_again(store: Storage) -> None:
    store.put("jobs/1/result.png", b"picture")
    assert store.get("jobs/1/result.png") == b"picture"
    assert store.exists("jobs/1/result.png")
    assert store.list_keys() == ["jobs/1/result.png"]


def test_a_second_put_replaces_the_first(store: Storage) -> None:
    store.put("a", b"old")
    store.put("a", b"new")
    assert store.get("a") == b"new"
    assert store.list_keys() == ["a"]


def test_a_large_file_is_written_piece_by_piece(store: Storage) -> None:
    with store.open_writer("jobs/1/result.tif") as file:
        file.write(b"....picture")
        file.seek(0)
        file.write(b"some")
        assert not store.exists("jobs/1/result.tif")
    assert store.get("jobs/1/result.tif") == b"somepicture"
    assert store.list_keys() == ["jobs/1/result.tif"]


def test_a_large_file_that_breaks_off_leaves_the_old_one(store: Storage) -> None:
    store.put("a", b"old")
    with pytest.raises(TypeError), store.open_writer("a") as file:
        file.write(b"new" + "not bytes")  # type: ignore[operator]
    assert store.get("a") == b"old"
    assert store.list_keys() == ["a"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_written_straight_into_storage(store: Storage, format: Format) -> None:
    picture = np.full((20, 30, 3), 0.5, np.float32)
    with store.open_writer("a") as file:
        encode.write(picture, format, file, "{}")
    assert store.get("a") == encode_picture(picture, format, "{}")


def test_a_missing_file_is_a_clear_error(store: Storage) -> None:
    with pytest.raises(NotFound, match="no longer in storage"):
        store.get("nothing")


def test_a_file_is_at_hand_as_a_path_while_it_is_wanted(store: Storage) -> None:
    with pytest.raises(NotFound), store.provide_file("a"):
        pass
    store.put("a", b"1234")
    with store.provide_file("a") as path:
        assert path.read_bytes() == b"1234"
    assert store.get("a") == b"1234"


def test_a_folder_is_listed_and_deleted_alone(store: Storage) -> None:
    for key in ("jobs/1/a", "jobs/1/2/b", "jobs/12/c", "d"):
        store.put(key, b"1")
    assert store.list_keys("jobs/1") == ["jobs/1/2/b", "jobs/1/a"]
    assert store.list_sizes("jobs/1") == {"jobs/1/a": 1, "jobs/1/2/b": 1}
    store.delete_folder("jobs/1")
    store.delete_folder("jobs/1")
    assert store.list_keys() == ["d", "jobs/12/c"]
    assert store.list_keys("jobs/1") == []


def test_the_files_of_a_folder_come_together_however_many_pages_there_are(
    store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.storage.S3_PAGE", 2)
    keys = ["jobs/1-/a", "jobs/1/1/a", "jobs/1/1/b", "jobs/1/c", "jobs/12/a", "jobs/2/a", "z"]
    for key in keys:
        store.put(key, b"12")
    found = list(store.iterate_sizes())
    assert sorted(found) == [(key, 2) for key in keys]
    folders = [key.split("/")[1] for key, _ in found if "/" in key]
    assert len(list(groupby(folders))) == 4


def test_the_age_of_a_file_is_since_it_was_written(store: Storage) -> None:
    store.put("a", b"1")
    assert 0 <= store.compute_age("a") < 60
    assert store.compute_age("nothing") == 0


def test_deleting_twice_is_fine(store: Storage) -> None:
    store.put("a", b"1")
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")


def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    store = Storage(f"file://{tmp_path}/storage")
    store.mark()
    store.put("a", b"old")
    with pytest.raises(TypeError):
        store.put("a", "not bytes")  # type: ignore[arg-type]
    assert store.get("a") == b"old"
    assert store.list_keys() == ["a"]
