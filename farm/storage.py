"""Files by key behind one URL (FARM_STORAGE): uploads, previews, results. A file is whole or absent.

Any call may raise StorageAway: the disk is full, the object store fails or does not answer, or there is
no mark, a file that distinguishes a storage from an empty folder in whose place it should be mounted.
"""

from __future__ import annotations

import errno
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
from fsspec.implementations.local import LocalFileSystem

from farm.errors import FarmError, NotFound, StorageAway
from farm.files import replace_file
from farm.settings import settings

KEPT_FREE = 16 << 20  # bytes of a local disk that pictures leave to the database and the logs
S3_TRIES = 1  # of s3fs; boto beneath it has its own, and five times five would last for minutes
S3_PAGE = 1000  # objects in one listing; S3 gives no more
MARK = "style-farm-storage.txt"
_MARK_TEXT = b"A farm keeps its pictures here, and uses this place as long as this file is in it.\n"


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise whatever a storage raises as StorageAway; of a missing file the caller knows more."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _refused(error) from error


class Storage:
    """Files by key. Keys are relative paths of the farm's own making, never a user's."""

    def __init__(self, url: str, s3_keys: Mapping[str, str] | None = None) -> None:
        self._is_local = _is_local(url)
        # What other machines stored is seen at once: no listing is remembered.
        options: dict[str, Any] = (
            {"auto_mkdir": True} if self._is_local else {"use_listings_cache": False}
        )
        if url.startswith("s3://"):
            options |= s3_keys or {}
        if self._is_local:  # as it is: fsspec would take some characters of a folder's name for its own
            self._fs, self._root = (
                LocalFileSystem(**options),
                str(Path(url.removeprefix("file://")).absolute()),
            )
        else:
            self._fs, self._root = url_to_fs(url, **options)
            self._fs.retries = S3_TRIES

    def mark(self) -> None:
        """Mark this place as the farm's from now on."""
        try:
            with _translate_errors():
                self._fs.pipe_file(self._build_path(MARK), _MARK_TEXT)
        except FileNotFoundError as error:  # a bucket is not made by writing into it
            raise StorageAway(f"There is no place {self._root} to store anything in.") from error

    def is_marked(self) -> bool:
        """Check whether this is the farm's storage, and not an empty place."""
        return self.exists(MARK)

    def check_mark(self) -> None:
        """Check that this is the farm's storage.

        Raises:
            StorageAway: it has no mark.
        """
        if not self.is_marked():
            raise StorageAway(f"The storage is not there: it has no file {MARK}.")

    def put(self, key: str, data: bytes) -> None:
        """Store; a reader sees the old file or the new one, never a part."""
        if not self._is_local:
            self.check_mark()
            with _translate_errors():
                self._fs.pipe_file(self._build_path(key), data)
            return
        with self.open_writer(key) as file:
            file.write(data)

    @contextmanager
    def open_writer(self, key: str) -> Iterator[BinaryIO]:
        """Open a seekable file to write, for what is too large to be held as bytes.

        It is stored when the block ends; if the block raises, nothing is stored. Local: a temporary name
        beside it, synced to the disk before it is renamed. Object stores: a temporary file here, then
        one put, which is whole by itself. Its `name` is a path in both.
        """
        self.check_mark()
        path = self._build_path(key)
        try:
            if self._is_local:
                with _open_local(Path(path)) as file:
                    yield file
                return
            with tempfile.NamedTemporaryFile() as here:
                yield cast(BinaryIO, here)
                here.flush()
                with _translate_errors():
                    self._fs.put_file(here.name, path)
        except OSError as error:
            raise _refused(error) from error

    def get(self, key: str) -> bytes:
        """Return the whole file.

        Raises:
            NotFound: there is none.
        """
        with self.open(key) as file, _translate_errors():
            return file.read()

    def get_whole(self, key: str, sha256: str) -> bytes:
        """Return the whole file, checked against its SHA-256.

        Raises:
            NotFound: there is none, or it has another.
        """
        data = self.get(key)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise NotFound("This file was damaged in storage.")
        return data

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading; the caller closes it.

        Raises:
            NotFound: there is none.
        """
        try:
            with _translate_errors():
                return cast(BinaryIO, self._fs.open(self._build_path(key), "rb"))
        except FileNotFoundError:
            raise self._explain_missing() from None

    @contextmanager
    def provide_file(self, key: str) -> Iterator[Path]:
        """Provide a local file with the same bytes, while the block runs; it must not be changed.

        Raises:
            NotFound: there is none.
        """
        if self._is_local:
            if not self.exists(key):
                raise self._explain_missing()
            yield Path(self._build_path(key))
            return
        with tempfile.NamedTemporaryFile() as here, self.open(key) as file:
            with _translate_errors():
                shutil.copyfileobj(file, here)
            here.flush()
            yield Path(here.name)

    @_translate_errors()
    def exists(self, key: str) -> bool:
        """Check whether there is such a file."""
        return bool(self._fs.exists(self._build_path(key)))

    @_translate_errors()
    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is fine."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._build_path(key))

    @_translate_errors()
    def delete_folder(self, key: str) -> None:
        """Remove all keys that begin with `key/`; none is fine."""
        with suppress(FileNotFoundError):
            if self._is_local:
                shutil.rmtree(self._build_path(key))
            else:
                self._fs.rm(self._build_path(key), recursive=True)

    def list_keys(self, folder: str = "") -> list[str]:
        """List all keys, or all that begin with `folder/`, sorted."""
        return sorted(self.list_sizes(folder))

    def list_sizes(self, folder: str = "") -> dict[str, int]:
        """Return the bytes of all files by key, or of all whose keys begin with `folder/`."""
        return dict(self.iterate_sizes(folder))

    def iterate_sizes(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and bytes of each file, or of each whose key begins with `folder/`; those of one
        folder come together. However many there are, few are held at a time."""
        path, prefix = self._build_path(folder).rstrip("/"), len(self._root) + 1
        with _translate_errors():
            for found, size in self._iterate_local(path) if self._is_local else self._iterate_s3(path):
                if (key := found[prefix:]) != MARK:
                    yield key, size

    def _iterate_local(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield path and bytes of each file; of folders that are removed meanwhile what was found."""
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from self._iterate_local(entry.path)
                    continue
                with suppress(FileNotFoundError):
                    size = entry.stat().st_size
                    yield entry.path, size

    def _iterate_s3(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield path and bytes of each object, page after page."""
        bucket, _, prefix = f"{folder}/".partition("/")
        after: dict[str, str] = {}
        while True:
            page = self._fs.call_s3(
                "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=S3_PAGE, **after
            )
            for found in page.get("Contents", ()):
                yield f"{bucket}/{found['Key']}", int(found["Size"])
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    @_translate_errors()
    def compute_age(self, key: str) -> float:
        """Return the seconds since a file was written; 0 if there is none."""
        try:
            written: datetime = self._fs.modified(self._build_path(key))
        except FileNotFoundError:
            return 0.0
        return (datetime.now(UTC) - written).total_seconds()

    def _explain_missing(self) -> FarmError:
        """Return the error for a missing file.

        Raises:
            StorageAway: the whole storage is missing.
        """
        self.check_mark()
        return NotFound("This file is no longer in storage.")

    def _build_path(self, key: str) -> str:
        return f"{self._root}/{key}"


def _refused(error: Exception) -> StorageAway:
    """Return the error without addresses: people read it on a job's page, and the log has the rest."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return StorageAway(f"The storage refused: {reason}.")


@contextmanager
def _open_local(path: Path) -> Iterator[BinaryIO]:
    """Open a file under a name of its own, so that two may write the same key at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(path.parent)
    if disk.free < min(KEPT_FREE, disk.total // 16):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    with replace_file(path, part), part.open("wb") as file:
        yield file
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a renamed file is still there after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def find_local_folder(url: str) -> Path | None:
    """Return the folder of a storage on this machine; None: it is elsewhere."""
    return Path(url.removeprefix("file://")) if _is_local(url) else None


def format_bytes(count: float) -> str:
    """Return bytes as a person counts them: `12 kB`, `512 MB`, `1.5 GB`, `80 GB`, `2.1 TB`."""
    if count < 999.5e3:
        return f"{count / 1e3:.0f} kB"
    if count < 999.5e6:
        return f"{count / 1e6:.0f} MB"
    unit, size = ("GB", 1e9) if count < 999.5e9 else ("TB", 1e12)
    return f"{count / size:.1f} {unit}" if count < 9.95 * size else f"{count / size:.0f} {unit}"


def _is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def storage() -> Storage:
    """The storage of the settings."""
    wanted = settings()
    return Storage(wanted.storage, wanted.s3_keys)
