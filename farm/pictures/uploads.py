"""Pictures that people sent: checked, and stored once under the SHA-256 of their bytes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Upload
from farm.database.people import UploadOwner
from farm.pictures import decoder_pool
from farm.pictures.decode import Channels, check_size
from farm.pictures.decoder_request import PictureFile
from farm.pictures.marks import Marks
from farm.settings import settings
from farm.storage import storage


@dataclass(frozen=True)
class CheckedUpload:
    """A file that was checked."""

    data: bytes
    # Its row, which may not be stored yet.
    upload: Upload
    # JPEG; None: it lies in storage, as the same bytes came before.
    thumbnail: bytes | None
    # Of a map.
    marks: Marks | None = None


def check(asked: Sequence[PictureFile]) -> Generator[CheckedUpload]:
    """Check files and yield the results in their order. Bytes that came before are not decoded again,
    but for maps, which as a picture may have been something else, and for clips.

    Raises:
        InvalidInput and its kin: what is wrong with the next one.
    """
    digests = [each.sha256 for each in asked]
    known = _find_known(digests)
    is_map = [each.channels is Channels.MAP for each in asked]
    new = [
        each
        for each, sha256, always in zip(asked, digests, is_map, strict=True)
        if always or sha256 not in known
    ]
    with closing(decoder_pool.check(new)) as answers:
        for each, sha256, always in zip(asked, digests, is_map, strict=True):
            if upload := known.get(sha256):
                marks = next(answers).marks if always else None
                most = settings().max_upload_megapixels
                check_size(upload.width, upload.height, each.field, most, each.shortest)
                yield CheckedUpload(each.data, upload, None, marks)
            else:
                found = next(answers)
                upload = Upload(
                    sha256=sha256,
                    width=found.width,
                    height=found.height,
                    frames=1,
                    size_bytes=len(each.data),
                )
                yield CheckedUpload(each.data, upload, found.thumbnail, found.marks)


def store(pictures: Sequence[CheckedUpload], owner_id: int | None = None) -> None:
    """Store the pictures' rows, so that no file lies in storage without a row; then their files, also
    if they are there: what lies there may be damaged.

    Args:
        owner_id: the person who sent them; None: nobody who is known.
    """
    with sessions.write_session() as session:
        # In one order, or two submissions would wait for each other.
        for upload in sorted((each.upload for each in pictures), key=lambda upload: upload.sha256):
            while not _renew(session, upload.sha256):
                try:
                    with session.begin_nested():
                        session.add(upload)
                    break
                except IntegrityError:  # somebody else sends it at this moment
                    continue
            if upload.frames > 1:  # it may have been a picture before
                clip = update(Upload).where(Upload.sha256 == upload.sha256)
                sessions.execute_count(session, clip.values(frames=upload.frames))
            if owner_id is not None:
                _add_owner(session, upload.sha256, owner_id)
    for each in pictures:
        storage().put(each.upload.key, each.data)
        if each.thumbnail is not None:
            storage().put(each.upload.thumbnail_key, each.thumbnail)


def _add_owner(session: Session, sha256: str, person_id: int) -> None:
    """Note who sent an upload, unless that is known."""
    if session.get(UploadOwner, (sha256, person_id)) is None:
        # The same upload by the same person at this moment, or a person who was just removed.
        with suppress(IntegrityError), session.begin_nested():
            session.add(UploadOwner(upload_sha256=sha256, person_id=person_id))


def _find_known(digests: Sequence[str]) -> dict[str, Upload]:
    """Find the uploads that came before and whose files exist; keep them for a while from now on."""
    with sessions.write_session() as session:
        again = [sha256 for sha256 in sorted(set(digests)) if _renew(session, sha256)]
        found = session.scalars(select(Upload).where(Upload.sha256.in_(again))).all() if again else []
    pictures = [each for each in found if each.frames == 1]  # a clip may be no picture
    return {each.sha256: each for each in pictures if storage().exists(each.thumbnail_key)}


def _renew(session: Session, sha256: str) -> bool:
    """Keep an upload for a while from now on; return False if there is none."""
    again = update(Upload).where(Upload.sha256 == sha256).values(sent_at=sessions.read_clock(session))
    return bool(sessions.execute_count(session, again))
