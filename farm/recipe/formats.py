"""The file formats of a result: the one table that recipe, form, commands and downloads read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from farm.errors import InvalidInput, Problem

Format = Literal["png", "png16", "jpeg", "webp", "tiff16"]


@dataclass(frozen=True)
class FileFormat:
    """One format.

    suffixes: endings of file names, our own first. bits: of a channel. light: small and known to
    browsers, so that a page may show the file itself.
    """

    name: Format
    title: str
    suffixes: tuple[str, ...]
    mime: str
    bits: int
    light: bool = False

    @property
    def suffix(self) -> str:
        """The ending that the farm gives it."""
        return self.suffixes[0]


FORMATS: dict[str, FileFormat] = {
    known.name: known
    for known in (
        FileFormat("png", "PNG", (".png",), "image/png", 8),
        FileFormat("png16", "PNG, 16 bit", (".png",), "image/png", 16),
        FileFormat("jpeg", "JPEG", (".jpg", ".jpeg"), "image/jpeg", 8, light=True),
        FileFormat("webp", "WebP", (".webp",), "image/webp", 8, light=True),
        FileFormat("tiff16", "TIFF, 16 bit", (".tif", ".tiff"), "image/tiff", 16),
    )
}
SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS.values() for suffix in known.suffixes))


def of_ending(suffix: str, wanted: Format | None = None) -> FileFormat:
    """The format of a file that ends so: the one wanted, or else the first that has this ending.

    Raises:
        InvalidInput: no format ends so, or not the one wanted.
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


def suffix_of(mime: str) -> str:
    """The ending for a content type; none for one that is not ours."""
    return next((known.suffix for known in FORMATS.values() if known.mime == mime), "")


PREVIEW_PIXELS = 1280  # longest side
