"""An attempt at a part of a film: what it works with, and its files in storage."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select

from farm.clips.clip import Clip
from farm.database import sessions
from farm.database.films import Film, FilmFrame
from farm.database.models import Job
from farm.errors import NotFound, RenderFailed
from farm.films import missing
from farm.films.settings import FilmSettings
from farm.jobs.states import Claim
from farm.people import quotas
from farm.pictures.encode import read_result
from farm.pictures.frame_maps import read_maps
from farm.pictures.pixels import Pixels
from farm.recipe import Recipe
from farm.recipe.film import Part
from farm.storage import Storage
from workers import retries
from workers.interrupts import StorageWait
from workers.reporter import Reports


@dataclass(frozen=True)
class PartTask:
    """An attempt at a part with all that it works with."""

    claim: Claim
    part: Part
    film: Film
    settings: FilmSettings
    clip: Clip
    recipe: Recipe
    # The clip's file.
    source: bytes
    store: Storage
    # Called while the storage is away.
    storage_wait: StorageWait
    on_progress: Callable[[], None]
    reports: Reports

    @property
    def job(self) -> Job:
        """The part's job."""
        return self.claim.job

    def read_painted(self, number: int) -> Pixels:
        """Return a painted frame, (H, W, 3) sRGB.

        Raises:
            RenderFailed: it is not there, or its file is damaged.
        """
        frame = self._find_frame(number)
        with self._open(frame, frame.key, f"The painted frame {number + 1} of the clip is") as file:
            return np.asarray(read_result(file)[0].convert("RGB"))

    def read_maps(self, number: int) -> Pixels:
        """Return the maps of an anchor, (n, H, W).

        Raises:
            RenderFailed: they are not there, or their file is damaged.
        """
        count = len(self.job.masks) + (self.job.keep is not None)
        frame = self._find_frame(number)
        name = f"The masks of the painted frame {number + 1} of the clip are"
        with self._open(frame, frame.maps_key, name) as file:
            return read_maps(file, count)

    def _find_frame(self, number: int) -> FilmFrame:
        with sessions.read_session() as session:
            frame = session.get(FilmFrame, (self.film.id, number))
        if frame is None:
            raise RenderFailed(f"Frame {number + 1} of the clip is not painted.")
        return frame

    @contextmanager
    def _open(self, frame: FilmFrame, key: str, name: str) -> Iterator[io.BytesIO]:
        """Open a file of a frame in storage; errors call it by a name, and the frame is forgotten."""
        try:
            yield io.BytesIO(retries.call_storage(lambda: self.store.get(key), self.storage_wait))
        except (NotFound, OSError, SyntaxError) as error:
            retries.write(lambda session: missing.forget_frames(session, [frame]))
            message = f"{name} gone from storage, or damaged. Retried, the film paints it again."
            raise RenderFailed(message) from error

    def check_storage_left(self) -> None:
        """Check, before a frame, that the film's owner may store more.

        Raises:
            QuotaTooSmall: the frames that are painted stay, and a retry goes on after them.
        """
        with sessions.read_session() as session:
            quotas.check_storage_left(session, self.film.owner_id)

    def list_kept(self) -> dict[str, int]:
        """Return the bytes of the frames that earlier attempts left, by their keys."""
        with sessions.read_session() as session:
            mine = session.scalars(select(FilmFrame).where(FilmFrame.job_id == self.job.id)).all()
        if not mine:
            return {}
        stored = retries.call_storage(lambda: self.store.list_sizes(self.job.folder), self.storage_wait)
        kept = {key for frame in mine for key in frame.keys}
        return {key: size for key, size in stored.items() if key in kept}

    def put(self, key: str, write: Callable[[Any], None], sizes: dict[str, int]) -> None:
        """Store a file.

        Args:
            write: writes it, once more if the storage was away. sizes: is given its bytes by its key.
        """

        def put() -> None:
            with self.store.open_writer(key) as file:
                write(file)
                sizes[key] = file.seek(0, os.SEEK_END)

        retries.call_storage(put, self.storage_wait)
