"""The file formats of results and uploads: the tables that recipe, form, commands and downloads read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from farm.errors import InvalidInput, Problem

Format = Literal["png", "png16", "jpeg", "webp", "tiff16"]


@dataclass(frozen=True)
class FileFormat:
    """A file format of results."""

    name: Format
    # For people.
    title: str
    # Of file names, our own first.
    suffixes: tuple[str, ...]
    mime: str
    # Of a channel.
    bits: int
    # Small and known to browsers, so that a page may show the file itself.
    light: bool = False
    # Whether it can be transparent.
    alpha: bool = True

    @property
    def suffix(self) -> str:
        """The suffix that the farm writes."""
        return self.suffixes[0]


FORMATS: dict[str, FileFormat] = {
    known.name: known
    for known in (
        FileFormat("png", "PNG", (".png",), "image/png", 8),
        FileFormat("png16", "PNG, 16 bit", (".png",), "image/png", 16),
        FileFormat("jpeg", "JPEG", (".jpg", ".jpeg"), "image/jpeg", 8, light=True, alpha=False),
        FileFormat("webp", "WebP", (".webp",), "image/webp", 8, light=True),
        FileFormat("tiff16", "TIFF, 16 bit", (".tif", ".tiff"), "image/tiff", 16),
    )
}
UPLOADED: dict[str, tuple[str, ...]] = {  # suffixes of the content types that are read
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/tiff": (".tif", ".tiff"),
    "image/avif": (".avif",),
    "image/heic": (".heic", ".heif", ".hif"),
}
SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS.values() for suffix in known.suffixes))


def find_format(suffix: str, wanted: Format | None = None) -> FileFormat:
    """Find the format of a suffix: the one wanted, or else the first that has this suffix.

    Raises:
        InvalidInput: no format has this suffix, or not the one wanted.
    """
    fitting = [known for known in FORMATS.values() if suffix.lower() in known.suffixes]
    if not fitting:
        message = f"ends in {suffix or 'nothing'}; it must be one of {', '.join(SUFFIXES)}"
        raise InvalidInput(Problem("output", message))
    if wanted is None:
        return fitting[0]
    if FORMATS[wanted] not in fitting:
        endings = " or ".join(FORMATS[wanted].suffixes)
        message = f"{wanted} goes into a file that ends in {endings}; the output ends in {suffix}"
        raise InvalidInput(Problem("format", message))
    return FORMATS[wanted]


PREVIEW_PIXELS = 1280  # longest side
