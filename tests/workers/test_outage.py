"""A worker goes on when the storage was away for a while."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from farm.errors import NotFound, StorageAway
from farm.storage import Storage
from tests.conftest import fresh_settings
from workers import retries


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A storage's folder, in the place of which there is a file."""
    place = tmp_path / "storage"
    place.write_bytes(b"")
    return place


def put(place: Path) -> None:
    Storage(f"file://{place}").put("jobs/1/a", b"picture")


def test_a_storage_that_comes_back_has_been_waited_for(away: Path) -> None:
    def come_back() -> None:
        away.unlink()
        Storage(f"file://{away}").mark()

    back = threading.Timer(1.0, come_back)
    back.start()
    retries.call_storage(lambda: put(away))
    assert (away / "jobs/1/a").read_bytes() == b"picture"


def test_one_that_stays_away_is_given_up(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_OUTAGE_SECONDS", "1")
    fresh_settings()
    with pytest.raises(StorageAway, match="not there: it has no file"):
        retries.call_storage(lambda: put(away))


def test_a_file_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    tries = []
    store = Storage(f"file://{tmp_path}/storage")
    store.mark()

    def fetch() -> bytes:
        tries.append(1)
        return store.get("a")

    with pytest.raises(NotFound):
        retries.call_storage(fetch)
    assert len(tries) == 1
