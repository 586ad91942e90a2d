"""Files by key behind one URL (FARM_STORAGE): uploads, previews, results. A file is whole or absent.

Any call may raise StorageAway: the disk is full, the object store fails or does not answer, or there is
no mark, a file by which a storage is told from an empty folder in whose place it should be mounted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from fsspec.core import url_to_fs

from farm.errors import FarmError, NotFound, StorageAway
from farm.files import replace_file
from farm.settings import settings

MARK = "style-farm-storage.txt"
_MARK_SAYS = b"A farm keeps its pictures here, and uses this place as long as this file is in it.\n"


@contextmanager
def _reaching() -> Iterator[None]:
    """Whatever a storage raises, as one error; of a missing file the caller knows more."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _refused(error) from error


class Storage:
    """Keys are relative paths of the farm's own making, never a user's."""

    def __init__(self, url: str, s3_keys: Mapping[str, str] | None = None) -> None:
        # What other machines stored is seen at once: no listing is remembered.
        options: dict[str, Any] = (
            {"auto_mkdir": True} if _is_local(url) else {"use_listings_cache": False}
        )
        if url.startswith("s3://"):
            options |= s3_keys or {}
        self._fs, self._root = url_to_fs(url, **options)

    def mark(self) -> None:
        """From now on this place is the farm's."""
        try:
            with _reaching():
                self._fs.pipe_file(self._path(MARK), _MARK_SAYS)
        except FileNotFoundError as error:  # a bucket is not made by writing into it
            raise StorageAway(f"There is no place {self._root} to store anything in.") from error

    def is_marked(self) -> bool:
        """Whether this is the farm's storage, and not an empty place."""
        return self.exists(MARK)

    def must_be_marked(self) -> None:
        """Raises StorageAway unless it is."""
        if not self.is_marked():
            raise StorageAway(f"The storage is not there: it has no file {MARK}.")

    def put(self, key: str, data: bytes) -> None:
        """Store; a reader sees the old file or the new one, never a part."""
        if "file" not in self._fs.protocol:
            self.must_be_marked()
            with _reaching():
                self._fs.pipe_file(self._path(key), data)
            return
        with self.writing(key) as file:
            file.write(data)

    @contextmanager
    def writing(self, key: str) -> Iterator[BinaryIO]:
        """A seekable file to write into, for what is too large to be held as bytes. It is stored when
        the block ends well; else nothing happened.

        Local: a temporary name beside it, on the disk for good before it is renamed. Object stores: a
        temporary file here, then one put, which is whole by itself. Its `name` is a path in both.
        """
        self.must_be_marked()
        path = self._path(key)
        try:
            if "file" in self._fs.protocol:
                with _open_local(Path(path)) as file:
                    yield file
                return
            with tempfile.NamedTemporaryFile() as here:
                yield cast(BinaryIO, here)
                here.flush()
                with _reaching():
                    self._fs.put_file(here.name, path)
        except OSError as error:
            raise _refused(error) from error

    def get(self, key: str) -> bytes:
        """The whole file.

        Raises:
            NotFound: there is none.
        """
        with self.open(key) as file, _reaching():
            return file.read()

    def get_whole(self, key: str, sha256: str) -> bytes:
        """The file that has this SHA-256.

        Raises:
            NotFound: there is none, or it has another.
        """
        data = self.get(key)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NotFound("This file was damaged in storage.")
        return data

    def open(self, key: str) -> BinaryIO:
        """For reading, to be closed by the caller.

        Raises:
            NotFound: there is none.
        """
        try:
            with _reaching():
                return cast(BinaryIO, self._fs.open(self._path(key), "rb"))
        except FileNotFoundError:
            raise self._missing() from None

    @contextmanager
    def at_hand(self, key: str) -> Iterator[Path]:
        """A file of this machine with the same bytes, while the block runs; it is not to be changed.

        Raises:
            NotFound: there is none.
        """
        if "file" in self._fs.protocol:
            if not self.exists(key):
                raise self._missing()
            yield Path(self._path(key))
            return
        with tempfile.NamedTemporaryFile() as here, self.open(key) as file:
            with _reaching():
                shutil.copyfileobj(file, here)
            here.flush()
            yield Path(here.name)

    @_reaching()
    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return bool(self._fs.exists(self._path(key)))

    @_reaching()
    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is fine."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(key))

    @_reaching()
    def delete_folder(self, key: str) -> None:
        """Remove all keys that begin with `key/`; none is fine."""
        with suppress(FileNotFoundError):
            self._fs.rm(self._path(key), recursive=True)

    @_reaching()
    def keys(self, folder: str = "") -> list[str]:
        """Every key, or every one that begins with `folder/`; sorted."""
        prefix = len(self._root) + 1
        found = (path[prefix:] for path in self._fs.find(self._path(folder).rstrip("/")))
        return sorted(key for key in found if key != MARK)

    @_reaching()
    def age_seconds(self, key: str) -> float:
        """Since it was written; 0 if it is not there (any more)."""
        try:
            written: datetime = self._fs.modified(self._path(key))
        except FileNotFoundError:
            return 0.0
        return (datetime.now(UTC) - written).total_seconds()

    def _missing(self) -> FarmError:
        """What it means that a file is not there."""
        self.must_be_marked()
        return NotFound("This file is no longer in storage.")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"


def _refused(error: Exception) -> StorageAway:
    """In words without addresses: people read them on a job's page, and the log has the rest."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return StorageAway(f"The storage refused: {reason}.")


@contextmanager
def _open_local(path: Path) -> Iterator[BinaryIO]:
    """Open a file under a name of its own, so that two may write the same key at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    with replace_file(path, part), part.open("wb") as file:
        yield file
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """So that a renamed file is still there after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def storage() -> Storage:
    """The storage of the settings."""
    wanted = settings()
    return Storage(wanted.storage, wanted.s3_keys)
