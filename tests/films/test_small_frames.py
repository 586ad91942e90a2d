"""Small pictures of a film's frames, made once."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farm.clips import turns
from farm.clips.turns import Turn
from farm.database import disk, sessions
from farm.database.films import FilmFrame
from farm.database.models import Upload
from farm.database.people import Person, Role, UploadOwner
from farm.errors import Busy, NoRoom, NotFound, QuotaTooSmall
from farm.films import small_frames
from farm.people import accounts, quotas
from farm.pictures.pixels import Pixels
from farm.recipe.picture_sizes import Size
from farm.storage import storage

CLIP = b"the bytes of a clip"


@pytest.fixture
def asked(farm_with_tables: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What is decoded of the clip, whose frames are grey, each a level brighter than the one before."""
    storage().mark()
    asked: list[list[int]] = []

    def read(data: bytes, numbers: Sequence[int], size: Size, turn: Turn) -> Iterator[Pixels]:
        assert data == CLIP
        asked.append(list(numbers))
        for number in numbers:
            yield np.full((*size, 3), number, np.uint8)

    monkeypatch.setattr(small_frames, "read_frames", read)
    return asked


def store_clip(frames: int) -> Upload:
    upload = Upload(
        sha256=hashlib.sha256(CLIP).hexdigest(), width=1920, height=1080, size_bytes=1, frames=frames
    )
    storage().put(upload.key, CLIP)
    with sessions.write_session() as session:
        session.add(upload)
    return upload


def store_painted() -> FilmFrame:
    frame = FilmFrame(film_id="f", number=7, job_id="a" * 32, attempt=2)
    file = io.BytesIO()
    Image.new("RGB", (1600, 800), (10, 200, 30)).save(file, "PNG")
    storage().put(frame.key, file.getvalue())
    return frame


def test_frames_of_a_clip_are_decoded_some_at_a_time_and_once(asked: list[list[int]]) -> None:
    upload = store_clip(small_frames.AT_ONCE + 8)
    for number in (small_frames.AT_ONCE + 3, 0, small_frames.AT_ONCE + 7):
        with Image.open(io.BytesIO(small_frames.provide_clip_frame(upload, number))) as image:
            assert image.size == (768, 432)
            assert image.getpixel((9, 9)) == pytest.approx((number,) * 3, abs=1)
    assert asked == [list(range(32, 40)), list(range(32))]


def test_the_frames_of_a_strip_are_decoded_in_one_go(asked: list[list[int]]) -> None:
    upload = store_clip(200)
    strip = small_frames.select_strip(range(200))
    assert (len(strip), strip[0], strip[-1]) == (50, 0, 196)
    for number in (100, 0, 196, 1):
        small_frames.provide_clip_frame(upload, number, "one", strip)
    assert asked == [list(strip), list(range(32))]


def test_clients_take_turns_at_frames_that_are_not_made_yet(
    asked: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.01)
    upload = store_clip(2 * small_frames.AT_ONCE)
    made = small_frames.provide_clip_frame(upload, 3, "one")
    with small_frames._decoding.take("one"):
        assert small_frames.provide_clip_frame(upload, 3, "one") == made
        with pytest.raises(Busy):
            small_frames.provide_clip_frame(upload, 40, "one")
        small_frames.provide_clip_frame(upload, 40, "two")
    assert asked == [list(range(32)), list(range(32, 64))]


def test_one_client_waits_with_a_strip_of_frames_at_most(
    asked: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, strip = store_clip(8), [Turn("one") for _ in range(small_frames.MAX_SLOTS)]
    monkeypatch.setattr(small_frames._decoding, "_waiting", strip)
    with pytest.raises(Busy):
        small_frames.provide_clip_frame(upload, 3, "one")
    assert len(strip) == small_frames.MAX_SLOTS
    strip.clear()
    small_frames.provide_clip_frame(upload, 3, "one")
    assert asked == [list(range(8))]


@pytest.mark.parametrize("number", [-1, 8])
def test_a_clip_has_no_other_frames(asked: list[list[int]], number: int) -> None:
    with pytest.raises(NotFound, match="has 8 frames"):
        small_frames.provide_clip_frame(store_clip(8), number)
    assert asked == []


def test_a_painted_frame_is_shrunk_once(asked: list[list[int]]) -> None:
    frame = store_painted()
    small = small_frames.provide_painted(frame)
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (768, 384)

    storage().delete(frame.key)
    assert small_frames.provide_painted(frame) == small


def test_frames_of_a_clip_count_among_its_owners_files(asked: list[list[int]]) -> None:
    # Given a person's clip, of which small frames are made
    with sessions.write_session() as session:
        ada = accounts.add(session, "Ada", Role.USER, by="a test")
    upload = store_clip(8)
    with sessions.write_session() as session:
        session.add(UploadOwner(upload_sha256=upload.sha256, person_id=ada.id))
    small_frames.provide_clip_frame(upload, 3, owner_id=ada.id)
    with sessions.read_session() as session:
        stored = quotas.measure(session, ada).stored_bytes.used
    assert stored == sum(storage().list_sizes("uploads").values())
    assert stored > len(CLIP)

    # When they may store no more, those that are made are shown, and no others
    with sessions.write_session() as session:
        session.get_one(Person, ada.id).max_stored_bytes = 1
    storage().delete(f"{upload.frames_folder}/5.jpg")
    small_frames.provide_clip_frame(upload, 3, owner_id=ada.id)
    with pytest.raises(QuotaTooSmall, match="Delete some of your jobs"):
        small_frames.provide_clip_frame(upload, 5, owner_id=ada.id)
    assert len(asked) == 1


def test_a_disk_that_is_nearly_full_keeps_no_small_frame(
    asked: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, frame = store_clip(8), store_painted()
    monkeypatch.setattr(disk, "describe_shortage", lambda: "The farm's disk is nearly full.")
    with pytest.raises(NoRoom, match="nearly full"):
        small_frames.provide_clip_frame(upload, 3)
    with Image.open(io.BytesIO(small_frames.provide_painted(frame))) as image:
        assert image.size == (768, 384)
    assert (asked, storage().exists(frame.small_key)) == ([], False)
