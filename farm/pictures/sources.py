"""Uploads as they leave the farm: pixels and what they mean, without comments, text and camera data.

Each is made when it is first asked for, then kept beside the upload.
"""

from __future__ import annotations

import threading

import structlog

from farm.database.models import Upload
from farm.errors import NotFound
from farm.pictures import kinds
from farm.storage import storage

_cleaning = threading.BoundedSemaphore(1)  # a file is held twice meanwhile

log = structlog.get_logger()


def provide_clean(upload: Upload) -> tuple[str, str]:
    """Make the clean file of an upload, unless that was done before; return its key and content type.

    Raises:
        NotFound: the upload is gone, or cannot be told apart from what else its file holds.
    """
    with _cleaning:
        if not storage().exists(upload.clean_key):
            storage().put(upload.clean_key, _clean(upload))
    with storage().open(upload.clean_key) as file:
        kind = kinds.find_kind(file.read(kinds.HEAD))
    assert kind
    return upload.clean_key, kind.mime


def _clean(upload: Upload) -> bytes:
    data = storage().get_whole(upload.key, upload.sha256)
    try:
        kind = kinds.find_kind(data[: kinds.HEAD])
        if kind is None:
            raise ValueError("nobody knows this format any more")
        return kind.clean(data)
    except Exception as error:  # pure parsing of bytes that a stranger sent
        log.exception("upload not cleaned", sha256=upload.sha256)
        raise NotFound("This picture cannot be given out without what else its file holds.") from error
