"""Files of storage as one zip, written while it is sent."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from farm.errors import NotFound
from farm.storage import storage

BLOCK_BYTES = 1 << 20


class _Pipe(io.RawIOBase):
    """File that is written here and read there, piece by piece; it has no place to go back to."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._written = bytes(self._written), bytearray()
        return taken


def write_zip(files: Iterable[tuple[str, str, datetime]]) -> Iterator[bytes]:
    """Yield a zip of files that are compressed already; one that is gone is left out.

    Args:
        files: name in the zip, key in storage, and time of each.
    """
    pipe = _Pipe()
    with ZipFile(pipe, "w", ZIP_STORED) as archive:
        for name, key, made_at in files:
            try:
                file = storage().open(key)
            except NotFound:
                continue
            entry = ZipInfo(name, made_at.timetuple()[:6])
            with file, archive.open(entry, "w", force_zip64=True) as place:
                while block := file.read(BLOCK_BYTES):
                    place.write(block)
                    yield pipe.take()
    yield pipe.take()
