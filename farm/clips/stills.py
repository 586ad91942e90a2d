"""Clips that hold pictures: animated GIF, WebP and PNG, and archives of frames."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from PIL import GifImagePlugin, Image  # noqa: F401 - registered before the sandbox is closed

from farm.clips.frame_names import split_numbers
from farm.clips.frames import ClipLimits, Frame, check_frame_size, describe
from farm.errors import InvalidInput, NotAPicture, Problem, TooLarge
from farm.pictures import decode
from farm.pictures.pixels import Pixels

if TYPE_CHECKING:  # a process for one clip loads no models of recipes
    from farm.recipe.picture_sizes import Size

FRAMES_PER_SECOND = 24  # of pictures in an archive, which have no times
SHORTEST_MS = 20  # browsers show frames that ask for less for DEFAULT_MS, and so do we
DEFAULT_MS = 100
MAX_PICTURE_MB = 200  # of one picture in an archive
FORMATS = ("GIF", "PNG", "WEBP")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif")


@dataclass
class AnimationFrame:
    """A frame of an animation, over white."""

    time: Fraction
    seconds: Fraction
    picture: Image.Image

    def draw(self, size: Size) -> Pixels:
        """Draw it at a height and width, as `Frame` says."""
        return np.asarray(self.picture.resize(size[::-1], Image.Resampling.LANCZOS))

    def measure(self) -> Size:
        """Return height and width, px."""
        return self.picture.height, self.picture.width


@dataclass
class ArchivedFrame:
    """A picture in an archive, read when it is drawn."""

    time: Fraction
    seconds: Fraction
    archive: zipfile.ZipFile
    name: str
    megapixels: int
    sent: Size | None = None

    def draw(self, size: Size) -> Pixels:
        """Decode the picture to a height and width, as `Frame` says."""

        def keep_sent(sent: Size) -> Size:
            self.sent = sent
            return size

        try:
            return decode.decode_to_size(self._read(), "", self.megapixels, keep_sent).pixels
        except InvalidInput as error:
            raise type(error)(Problem("", f"{self._shown}: {error.problems[0].message}")) from None

    def measure(self) -> Size:
        """Return height and width as it was sent, px."""
        if self.sent is None:
            self.draw((decode.SHORTEST_SIDE, decode.SHORTEST_SIDE))
        assert self.sent
        return self.sent

    def _read(self) -> bytes:
        try:
            with self.archive.open(self.name) as file:
                data = file.read(MAX_PICTURE_MB * 1_000_000 + 1)
        except MemoryError:
            raise
        except (
            Exception
        ) as error:  # zipfile raises what it comes to: zlib.error, ValueError, EOFError ..
            raise NotAPicture(Problem("", f"cannot be unpacked ({describe(error)})")) from None
        if len(data) > MAX_PICTURE_MB * 1_000_000:
            raise TooLarge(Problem("", f"is larger than {MAX_PICTURE_MB} MB"))
        return data

    @property
    def _shown(self) -> str:
        return f"holds {PurePosixPath(self.name).name[:80]!r}, which"


def iterate_animation(data: bytes, limits: ClipLimits) -> Iterator[Frame]:
    """Yield the frames of an animated GIF, WebP or PNG.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it.
    """
    with decode.translate_errors(""), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        check_frame_size((picture.height, picture.width), limits.megapixels)
        time = Fraction(0)
        for number in range(int(picture.info.get("default_image", False)), limits.frames + 2):
            try:
                picture.seek(number)
            except EOFError:
                break
            shown = _lay_over_white(picture)
            seconds = _read_seconds(picture)
            yield AnimationFrame(time, seconds, shown)
            time += seconds


def _lay_over_white(picture: Image.Image) -> Image.Image:
    colours = picture.convert("RGBA")
    white = Image.new("RGBA", colours.size, "white")
    return Image.alpha_composite(white, colours).convert("RGB")


def _read_seconds(picture: Image.Image) -> Fraction:
    """Read how long the current frame is shown, s."""
    milliseconds = Fraction(picture.info.get("duration") or 0).limit_denominator(1000)
    return (milliseconds if milliseconds >= SHORTEST_MS else Fraction(DEFAULT_MS)) / 1000


def iterate_archive(data: bytes, limits: ClipLimits) -> Iterator[Frame]:
    """Yield the pictures of an archive in the order of their names, numbers in these by value.

    Raises:
        NotAPicture, InvalidInput: it cannot be read, or holds no picture.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise NotAPicture(Problem("", f"is a damaged or cut ZIP ({describe(error)})")) from None
    with archive:
        names = sorted(filter(_is_picture, archive.namelist()), key=split_numbers)
        if not names:
            raise InvalidInput(Problem("", "holds no pictures; a ZIP has a clip's frames as files"))
        seconds = Fraction(1, FRAMES_PER_SECOND)
        for number, name in enumerate(names):
            yield ArchivedFrame(number * seconds, seconds, archive, name, limits.megapixels)


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix.lower() in PICTURES
