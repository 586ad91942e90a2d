"""Pictures that people sent: looked at, and kept once under the SHA-256 of their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Upload
from farm.pictures import decoder_pool
from farm.pictures.decode import check_size
from farm.pictures.decoder_pool import Asked
from farm.settings import settings
from farm.storage import storage


@dataclass(frozen=True)
class Picture:
    """A file that was checked, with its row, which may not be stored yet.

    thumbnail: JPEG; None: it lies in storage, as the same bytes came before.
    """

    data: bytes
    upload: Upload
    thumbnail: bytes | None


def check(asked: Sequence[Asked]) -> Generator[Picture]:
    """What is known of each, in this order. Bytes that came before are not decoded again.

    Raises:
        InvalidInput and its kin: what is wrong with the next one.
    """
    digests = [hashlib.sha256(each.data).hexdigest() for each in asked]
    known = _known(digests)
    new = [each for each, sha256 in zip(asked, digests, strict=True) if sha256 not in known]
    with closing(decoder_pool.check(new)) as answers:
        for each, sha256 in zip(asked, digests, strict=True):
            if upload := known.get(sha256):
                most = settings().max_upload_megapixels
                check_size(upload.width, upload.height, each.field, most, each.shortest)
                yield Picture(each.data, upload, None)
            else:
                found = next(answers)
                upload = Upload(
                    sha256=sha256, width=found.width, height=found.height, size_bytes=len(each.data)
                )
                yield Picture(each.data, upload, found.thumbnail)


def store(pictures: Sequence[Picture]) -> None:
    """The pictures' rows, so that no file lies in storage that no row knows; then their files, also if
    they are there: what lies there may be damaged."""
    with sessions.writing() as session:
        # In one order, or two submissions would wait for each other.
        for upload in sorted((each.upload for each in pictures), key=lambda upload: upload.sha256):
            while not _sent_again(session, upload.sha256):
                try:
                    with session.begin_nested():
                        session.add(upload)
                    break
                except IntegrityError:  # somebody else sends it at this moment
                    continue
    for each in pictures:
        storage().put(each.upload.key, each.data)
        if each.thumbnail is not None:
            storage().put(each.upload.thumbnail_key, each.thumbnail)


def _known(digests: Sequence[str]) -> dict[str, Upload]:
    """Those that came before and are all there. They are kept for a while from now on."""
    with sessions.writing() as session:
        again = [sha256 for sha256 in sorted(set(digests)) if _sent_again(session, sha256)]
        found = session.scalars(select(Upload).where(Upload.sha256.in_(again))).all() if again else []
    return {each.sha256: each for each in found if storage().exists(each.thumbnail_key)}


def _sent_again(session: Session, sha256: str) -> bool:
    """Whether it came before; if so it is kept for a while from now on."""
    again = update(Upload).where(Upload.sha256 == sha256).values(sent_at=sessions.clock(session))
    return bool(sessions.changed(session, again))
