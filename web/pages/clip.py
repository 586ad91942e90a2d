"""A clip in the form: looked at when it is chosen, kept until the form is sent; three of its frames."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from farm.clips.clip import Clip
from farm.clips.look import check_clip, read_frames, take_turn
from farm.database import disk, sessions
from farm.database.models import Upload
from farm.database.people import UploadOwner
from farm.films.settings import FilmSettings
from farm.people import quotas
from farm.people.visitors import Visitor
from farm.pictures import uploads
from farm.pictures.uploads import CheckedUpload
from farm.recipe.picture_sizes import Size
from web import words


@dataclass(frozen=True)
class CheckedClip:
    """A clip that was looked at, and is kept for a while."""

    sha256: str
    clip: Clip
    # JPEG, as an address.
    thumbnail: str

    @property
    def words(self) -> str:
        """What is known of it, for a person."""
        return words.describe_clip(self.clip)


def check_and_store(data: bytes, visitor: Visitor) -> CheckedClip:
    """Look at a clip, and keep it for a while under its digest.

    Raises:
        InvalidInput and its kin: what is wrong with it. NoRoom: the disk is nearly full.
        QuotaReached: the visitor stores too much. SignedOut: the token was revoked meanwhile.
    """
    disk.check_room()
    found, thumbnail = check_clip(data, "clip")
    sha256 = hashlib.sha256(data).hexdigest()
    upload = Upload(
        sha256=sha256,
        width=found.width,
        height=found.height,
        frames=found.frames,
        size_bytes=len(data),
    )
    with sessions.read_session() as session:
        quotas.check(session, visitor, quotas.Request(0, 0, ((sha256, len(data)),)))
    uploads.store([CheckedUpload(data, upload, thumbnail)], visitor.person_id)
    shown = base64.b64encode(thumbnail).decode()
    return CheckedClip(sha256, found, f"data:image/jpeg;base64,{shown}")


def find_upload(sha256: str, visitor: Visitor) -> Upload | None:
    """Find a clip that a visitor has sent; None: there is none, or it is another person's."""
    with sessions.read_session() as session:
        found = session.get(Upload, sha256)
        person_id = visitor.person_id
        if person_id is not None and session.get(UploadOwner, (sha256, person_id)) is None:
            return None
        return found if found and found.frames > 1 else None


def draw_three(
    data: bytes, film: FilmSettings, longest: int, visitor: Visitor
) -> Iterator[tuple[int, bytes]]:
    """Yield number and PNG of the first, the middle and the last of a film's frames, made small.

    A clip that the visitor sent before was looked at then, and is not again.

    Args:
        longest: px, of twice which the frames have no more.

    Raises:
        InvalidInput and its kin: the clip cannot be decoded, or has none of these frames. Busy: it was
            not this client's turn in time.
    """
    known = find_upload(hashlib.sha256(data).hexdigest(), visitor) or check_clip(data, "clip")[0]
    frames = film.select_frames(known.frames)
    numbers = sorted({frames[0], frames[len(frames) // 2], frames[-1]})
    size = _shrink(known.size, 2 * longest)
    with take_turn() as turn:
        drawn = list(read_frames(data, numbers, size, turn=turn))
    for number, pixels in zip(numbers, drawn, strict=True):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        yield number, file.getvalue()


def _shrink(size: Size, longest: int) -> Size:
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
