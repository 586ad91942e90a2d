"""Painted frames of a film in a folder: what a film that was broken off goes on from."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from PIL import Image

from farm.errors import InvalidInput, Problem
from farm.files import replace_file
from farm.pictures.encode import read_result, write_eight_bit
from farm.pictures.frame_maps import read_maps, write_maps
from farm.pictures.pixels import Pixels
from farm.recipe.film_formats import name_frame

NOTE = "film.json"  # what the frames are of


class FrameFolder:
    """A folder of frames, PNG, each named for its number, and a note of what they were painted from.

    A frame is there whole or not at all. Files of other names are left alone. As a context it is one
    process's from `open` to the end of the block.

    Args:
        path: the folder. option: what named it, for messages.
    """

    def __init__(self, path: Path, option: str) -> None:
        self.path, self._option = path, option
        self._locked: int | None = None  # a descriptor of the folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        if self._locked is not None:
            os.close(self._locked)

    def open(self, film: dict[str, Any]) -> None:
        """Make the folder, or check that it is this film's and go on with it.

        Args:
            film: all that the frames depend on, by names for people; as JSON has it.

        Raises:
            InvalidInput: it cannot be made or written, holds something else than this film's frames, or
                another process paints in it.
        """
        note = self.path / NOTE
        try:
            self.path.mkdir(exist_ok=True)
            self._lock()
            if note.exists():
                self._check_same(json.loads(note.read_text()), film)
            elif found := next(self.path.iterdir(), None):
                raise self._refuse(f"holds {found.name}, which is no film's; name another folder")
            with replace_file(note) as part:
                part.write_text(json.dumps(film, indent=1))
        except OSError as error:
            raise self._refuse(f"cannot be used: {error.strerror}") from error
        except ValueError as error:
            raise self._refuse(f"holds a damaged {NOTE}; delete the folder, or name another") from error

    def has(self, number: int) -> bool:
        """Check whether a frame is painted."""
        return self.get_path(number).is_file()

    def read(self, number: int) -> Pixels:
        """Return a painted frame, (H, W, 3) sRGB.

        Raises:
            InvalidInput: its file is not as it was written.
        """
        path = self.get_path(number)
        with self._open(path, "delete it, and the same command paints it again") as file:
            return np.array(read_result(file)[0].convert("RGB"))  # one that may be written

    def write(self, number: int, frame: Pixels) -> None:
        """Store a frame, (H, W, 3) sRGB.

        Raises:
            InvalidInput: the disk does not take it.
        """
        write = partial(write_eight_bit, Image.fromarray(frame), "png")
        self._write(self.get_path(number), write, number)

    def read_maps(self, number: int, count: int) -> Pixels:
        """Return so many maps of an anchor, (count, H, W).

        Raises:
            InvalidInput: their file is not as it was written.
        """
        mending = f"delete {self.get_path(number).name}, and the same command makes both again"
        with self._open(self._get_maps_path(number), mending) as file:
            return read_maps(file, count)

    def write_maps(self, number: int, maps: Pixels) -> None:
        """Store the maps of an anchor, (n, H, W); before its frame.

        Raises:
            InvalidInput: the disk does not take them.
        """
        self._write(self._get_maps_path(number), partial(write_maps, maps), number)

    @contextmanager
    def _open(self, path: Path, mending: str) -> Iterator[BinaryIO]:
        """Open a file to be read; a person is told what mends it, should it not be as it was written."""
        try:
            with path.open("rb") as file:
                yield file
        except (OSError, SyntaxError) as error:
            message = f"{path} cannot be read; {mending}"
            raise InvalidInput(Problem(self._option, message)) from error

    def _write(self, path: Path, write: Callable[[BinaryIO], None], number: int) -> None:
        try:
            with replace_file(path) as part, part.open("wb") as file:
                write(file)
        except OSError as error:
            raise self._refuse(f"cannot take frame {number}: {error.strerror}") from error

    def _get_maps_path(self, number: int) -> Path:
        return self.path / f"maps_{self.get_path(number).name}"

    def get_path(self, number: int) -> Path:
        """Return the path of a frame's file."""
        return self.path / name_frame(number)

    def remove(self, numbers: Sequence[int]) -> None:
        """Delete these frames and the note, and the folder, if nothing else is in it."""
        maps = map(self._get_maps_path, numbers)
        for path in (self.path / NOTE, *map(self.get_path, numbers), *maps):
            path.unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def check_room(self, needed: int) -> None:
        """Check that the disk has room for so many bytes.

        Raises:
            InvalidInput: it has less.
        """
        free = shutil.disk_usage(self.path).free
        if free < needed:
            sizes = f"{free / 1e6:.0f} MB free for frames that may take {needed / 1e6:.0f} MB"
            raise self._refuse(f"has {sizes}; free some, or choose a smaller --size or fewer --frames")

    def _lock(self) -> None:
        """Lock the folder itself, which leaves no file behind.

        Raises:
            InvalidInput: another process has it. OSError: it cannot be opened.
        """
        self._locked = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = f"is in use: another farm film paints in it; wait, or name another {self._option}"
            raise self._refuse(other) from error
        except OSError:  # a file system without locks of folders
            return

    def _check_same(self, there: Any, film: dict[str, Any]) -> None:
        if there == film:
            return
        known = there if isinstance(there, dict) else {}
        names = [name for name, value in film.items() if known.get(name) != value]
        other = f"holds frames of another film (other {', '.join(names) or 'facts'})"
        raise self._refuse(f"{other}; delete it, or name another {self._option}")

    def _refuse(self, message: str) -> InvalidInput:
        return InvalidInput(Problem(self._option, f"{self.path} {message}"))
