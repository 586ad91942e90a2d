"""Pictures that came before, on both databases: known again without being decoded, and mended."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Sequence

import numpy as np
import pytest
from PIL import Image

from farm.database.models import Upload
from farm.errors import InvalidInput, NotFound, TooLarge
from farm.pictures import decoder_pool, sources, uploads
from farm.pictures.decode import Checked
from farm.pictures.decoder_request import PictureFile
from farm.pictures.uploads import CheckedUpload
from farm.storage import storage
from tests.conftest import fresh_settings

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files that were decoded, as they are."""
    seen: list[bytes] = []
    check = decoder_pool.check

    def seeing(pictures: Sequence[PictureFile]) -> Generator[Checked]:
        seen.extend(each.data for each in pictures)
        return check(pictures)

    monkeypatch.setattr(decoder_pool, "check", seeing)
    return seen


def picture(seed: int, width: int = 80, height: int = 60) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def send(*asked: PictureFile) -> list[CheckedUpload]:
    pictures = list(uploads.check(asked))
    uploads.store(pictures)
    return pictures


def test_only_what_is_new_is_decoded_and_each_answer_is_in_its_place(decoded: list[bytes]) -> None:
    # Given one picture that came before
    old, new, newer = picture(0, 80), picture(1, 90), picture(2, 100)
    send(PictureFile(old, "content"))
    decoded.clear()
    # When it comes again among others, one of them twice
    found = send(
        PictureFile(new, "content"),
        PictureFile(old, "style"),
        PictureFile(newer, "style"),
        PictureFile(old, "style"),
    )
    # Then the others alone are decoded
    assert decoded == [new, newer]
    assert [(each.data, each.upload.width) for each in found] == [
        (new, 90),
        (old, 80),
        (newer, 100),
        (old, 80),
    ]


def test_an_upload_leaves_the_farm_without_what_else_its_file_holds() -> None:
    # Given a photograph with a comment, and what nobody can take apart
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(3))).save(buffer, "JPEG", comment="taken at home")
    (sent,) = send(PictureFile(buffer.getvalue(), "content"))
    broken = Upload(sha256=hashlib.sha256(b"II*").hexdigest(), width=80, height=60, size_bytes=3)
    storage().put(broken.key, b"II*")

    # Then the one is given out without it, and the other is not
    key, mime = sources.provide_clean(sent.upload)
    assert mime == "image/jpeg"
    assert b"taken at home" not in storage().get(key)
    assert b"taken at home" in storage().get(sent.upload.key)
    with pytest.raises(NotFound, match="cannot be given out"):
        sources.provide_clean(broken)


def test_a_picture_whose_thumbnail_is_gone_is_decoded_again_and_has_one(decoded: list[bytes]) -> None:
    (first,) = send(PictureFile(picture(0), "content"))
    thumbnail = storage().get(first.upload.thumbnail_key)
    storage().delete(first.upload.thumbnail_key)
    decoded.clear()
    send(PictureFile(picture(0), "content"))
    assert decoded == [picture(0)]
    assert storage().get(first.upload.thumbnail_key) == thumbnail


def test_a_picture_that_came_before_is_held_to_the_limits_of_today(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given pictures that were allowed, and a lower limit since
    large, narrow = picture(0, 1500, 1000), picture(1, 80, 40)
    send(PictureFile(large, "content"), PictureFile(narrow, "content"))
    monkeypatch.setenv("FARM_MAX_UPLOAD_MEGAPIXELS", "1")
    fresh_settings()
    # Then they are refused as if they were new
    with pytest.raises(
        TooLarge, match=r"content: is 1500 x 1000 px \(1\.5 megapixels\); the limit is 1 "
    ):
        send(PictureFile(large, "content"))
    with pytest.raises(InvalidInput, match="style: is 80 x 40 px; it needs at least 64 px a side"):
        send(PictureFile(narrow, "style", shortest=64))


def test_a_wrong_picture_before_one_that_is_known_is_told_of(decoded: list[bytes]) -> None:
    send(PictureFile(picture(0), "style"))
    decoded.clear()
    with pytest.raises(InvalidInput, match="content: is not a"):
        send(PictureFile(b"no picture", "content"), PictureFile(picture(0), "style"))
    assert decoded == [b"no picture"]
