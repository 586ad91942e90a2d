"""Files that are sent to a farm: photograph, paintings, and what else steers a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farm.errors import InvalidInput, Problem


@dataclass(frozen=True)
class Guides:
    """Files that steer a picture besides photograph and paintings."""

    # Where each painting paints, in their order; empty: everywhere.
    masks: tuple[Path, ...] = ()
    # Where the photograph stays.
    keep: Path | None = None
    # What the picture begins from.
    init: Path | None = None

    def list_files(self) -> list[tuple[str, Path]]:
        """List them, each under its field of a request."""
        files = [("mask", mask) for mask in self.masks]
        others = (("keep", self.keep), ("init", self.init))
        return files + [(name, path) for name, path in others if path is not None]


NO_GUIDES = Guides()


def read_picture(field: str, path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        InvalidInput: it cannot be read; names the field and the file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(Problem(field, f"{path} cannot be read: {error.strerror}")) from error


def read_files(
    content: Path | None, styles: list[Path], guides: Guides
) -> list[tuple[str, tuple[str, bytes]]]:
    """Return the parts of a request that hold pictures.

    Raises:
        InvalidInput: a file cannot be read.
    """
    named = [("content", content)] if content else []
    named += [*(("style", style) for style in styles), *guides.list_files()]
    return [(field, (clean_name(path), read_picture(field, path))) for field, path in named]


def clean_name(path: Path) -> str:
    """Return a file's name, with question marks for bytes that are no text."""
    return path.name.encode(errors="replace").decode()
