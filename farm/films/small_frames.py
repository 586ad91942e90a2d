"""Small pictures of a film's frames, for pages: the clip's and painted ones.

Each is made when it is first asked for. A clip is decoded from its start, so that some of its frames are
made at a time, those of a page's strip all at once, and kept beside the upload; painted ones are kept
beside the frame. Both count among the files of the film's owner.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from PIL import Image, ImageOps
from sqlalchemy import update

from farm.clips.look import read_frames
from farm.clips.turns import Turn, Turns
from farm.counts import format_count
from farm.database import disk, sessions
from farm.database.films import FilmFrame
from farm.database.models import Upload
from farm.errors import NotFound
from farm.people import quotas
from farm.pictures.jpeg import encode_jpeg
from farm.recipe.picture_sizes import Size
from farm.storage import storage

LONGEST = 768  # px
QUALITY = 86  # of JPEG
AT_ONCE = 32  # frames of a clip that are decoded together
MAX_SLOTS = 60  # frames in a strip; of a longer film every nth

# Who comes meanwhile finds what the client's first one made. As many may wait as a strip has: by HTTP/2
# a browser asks for a whole one at one moment, and never again for what was refused. More would hold all
# threads of the web part.
_decoding = Turns(most_waiting=MAX_SLOTS)
_shrinking = threading.BoundedSemaphore(2)  # a frame of 4K takes 25 MB meanwhile


def compute_small_size(size: Size) -> Size:
    """Return height and width of a small picture of something of this size, px."""
    shrink = min(1.0, LONGEST / max(size))
    height, width = (max(1, round(side * shrink)) for side in size)
    return height, width


def provide_painted(frame: FilmFrame) -> bytes:
    """Return a painted frame as a small JPEG, which is kept if there is room.

    Raises:
        NotFound: its file is gone.
    """
    with _shrinking:
        if storage().exists(frame.small_key):
            return storage().get(frame.small_key)
        with storage().open(frame.key) as file, Image.open(file) as image:
            height, width = compute_small_size((image.height, image.width))
            small = ImageOps.contain(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)
        data = encode_jpeg(small, quality=QUALITY)
        if disk.describe_shortage() is None:
            storage().put(frame.small_key, data)
    return data


def select_strip(numbers: Sequence[int]) -> Sequence[int]:
    """Return those of a film's frames that its strip shows."""
    return numbers[:: -(-len(numbers) // MAX_SLOTS)]


def provide_clip_frame(
    upload: Upload,
    number: int,
    client: str = "",
    strip: Sequence[int] = (),
    owner_id: int | None = None,
) -> bytes:
    """Return a frame of a clip as a small JPEG, in the clip's own proportions.

    Args:
        owner_id: the person whose film it is, and among whose files it counts.
        client: who asks; clients take turns at having clips decoded.
        strip: frames that are asked for together, rising, perhaps this one among them.

    Raises:
        NotFound: it has no such frame, or its file is gone. InvalidInput and its kin: nobody can decode
            it. Busy: it was not this client's turn in time. NoRoom, QuotaTooSmall: it cannot be kept,
            and to decode a clip for each look at a page would take too long.
    """
    if not 0 <= number < upload.frames:
        raise NotFound(f"This clip has {format_count(upload.frames, 'frame')}, counted from 0.")
    key = _build_key(upload, number)
    if not storage().exists(key):
        disk.check_room()
        with sessions.read_session() as session:
            quotas.check_storage_left(session, owner_id)
        with _decoding.take(client) as turn:
            if not storage().exists(key):
                begin = number - number % AT_ONCE
                near = range(begin, min(begin + AT_ONCE, upload.frames))
                numbers = strip if number in strip else near
                _make_clip_frames(upload, numbers, compute_small_size(upload.size), turn)
    return storage().get(key)


def _make_clip_frames(upload: Upload, numbers: Sequence[int], size: Size, turn: Turn) -> None:
    data = storage().get_whole(upload.key, upload.sha256)
    frames = read_frames(data, numbers, size, turn=turn)
    for number, pixels in zip(numbers, frames, strict=True):
        small = encode_jpeg(Image.fromarray(pixels), quality=QUALITY)
        storage().put(_build_key(upload, number), small)
    stored = len(data) + sum(storage().list_sizes(upload.frames_folder).values())
    with sessions.write_session() as session:
        mine = update(Upload).where(Upload.sha256 == upload.sha256)
        sessions.execute_count(session, mine.values(size_bytes=stored))


def _build_key(upload: Upload, number: int) -> str:
    return f"{upload.frames_folder}/{number}.jpg"
