"""The file formats of clips and of films: the tables that form, commands, downloads and encoder read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from farm.errors import InvalidInput, Problem

FRAME_BYTES_PER_PIXEL = 3  # of a frame as PNG, hardly ever more
FilmKind = Literal["mp4", "webm", "mov", "zip"]


@dataclass(frozen=True)
class FilmFormat:
    """A file format of films."""

    name: FilmKind
    # For people.
    title: str
    # Of file names.
    suffix: str
    mime: str
    # Whether browsers play it.
    plays: bool = False


FILM_FORMATS: dict[FilmKind, FilmFormat] = {
    known.name: known
    for known in (
        FilmFormat("mp4", "MP4 (H.264)", ".mp4", "video/mp4", plays=True),
        FilmFormat("webm", "WebM (VP9)", ".webm", "video/webm", plays=True),
        FilmFormat("mov", "QuickTime (ProRes, 10 bit)", ".mov", "video/quicktime"),
        FilmFormat("zip", "ZIP of PNGs, without sound", ".zip", "application/zip"),
    )
}
CLIPS: dict[str, tuple[str, ...]] = {  # suffixes of the content types that are read as clips
    "video/mp4": (".mp4", ".m4v"),
    "video/quicktime": (".mov",),
    "video/webm": (".webm",),
    "video/x-matroska": (".mkv",),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "image/png": (".png", ".apng"),
    "application/zip": (".zip",),
}


def name_frame(number: int) -> str:
    """Return `frame_000024.png`: a painted frame's file name, by its number in the clip from 0."""
    return f"frame_{number:06d}.png"


def find_film_format(suffix: str) -> FilmFormat:
    """Find the format of a film by its file's suffix.

    Raises:
        InvalidInput: no format has this suffix.
    """
    for known in FILM_FORMATS.values():
        if known.suffix == suffix.lower():
            return known
    endings = ", ".join(known.suffix for known in FILM_FORMATS.values())
    message = f"ends in {suffix or 'nothing'}; a film's file must end in one of {endings}"
    raise InvalidInput(Problem("output", message))
