"""Pictures in and out: bytes <-> float32 numpy (H, W, 3), sRGB, in [0, 1].

Decoding trusts nothing: the size is checked from the header before a pixel is read, only four
formats are tried, and a picture is decoded to its end before it is accepted.

An 8K picture is 400 MB as float32. All that is done to one is done strip by strip, so that besides
it there is at most one picture of 8 bits.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from farm.errors import InvalidInput, NotAPicture, Problem, TooLarge
from farm.pictures.jpeg import encode_jpeg
from farm.pictures.pixels import STRIP, Picture, convert_to_srgb, simplify

READ = ("JPEG", "PNG", "WEBP", "TIFF")  # Pillow's names
ACCEPTED = "JPEG, PNG, WebP or TIFF"
LONGEST_SIDE = 30_000  # px; what libraries below Pillow are sure to hold
SHORTEST_SIDE = 16  # px, unless something larger is asked for
LONGEST_RATIO = 20  # of the sides; beyond it, a level would be less than a pixel high
THUMBNAIL = 960  # px, longest side

Image.MAX_IMAGE_PIXELS = None  # `decode` checks the header against its own limit, by field
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True)
class Checked:
    """An upload that was decoded to its end."""

    # px, after EXIF orientation.
    width: int
    height: int
    # JPEG.
    thumbnail: bytes


def check(data: bytes, field: str, megapixels: int, shortest: int = SHORTEST_SIDE) -> Checked:
    """Decode an upload to its end.

    Args:
        data: the file. field: its name in the form, for messages. megapixels: maximum.
        shortest: minimum of its shorter side, px.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it, naming the field and the limit.
        MemoryError: there is not enough for it.
    """
    with _translate_errors(field):
        image, (width, height) = _open(data, field, megapixels, shortest, enough=2 * THUMBNAIL)
        small = convert_to_srgb(_shrink_to_thumbnail(simplify(image)))
    return Checked(width, height, encode_jpeg(small, quality=85))


def decode(data: bytes, field: str, megapixels: int, shortest: int = 1) -> Picture:
    """Decode to float32 (H, W, 3) sRGB in [0, 1], upright, transparency over white.

    Raises:
        NotAPicture, TooLarge, InvalidInput, MemoryError: as `check`.
    """
    with _translate_errors(field):
        image = convert_to_srgb(simplify(_open(data, field, megapixels, shortest)[0]))
    width, height = image.size
    picture = np.empty((height, width, 3), np.float32)
    for top in range(0, height, STRIP):
        rows = np.asarray(image.crop((0, top, width, min(top + STRIP, height))))
        np.divide(rows, np.float32(255), out=picture[top : top + STRIP])
    return picture


@contextmanager
def _translate_errors(field: str) -> Iterator[None]:
    """Raise whatever Pillow's decoders raise (OSError, SyntaxError, struct.error ..) as NotAPicture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd but readable metadata
            yield
    except (InvalidInput, MemoryError):
        raise
    except UnidentifiedImageError:
        raise NotAPicture(Problem(field, f"is not a {ACCEPTED} picture")) from None
    except Exception as error:
        message = f"is damaged or incomplete and cannot be read to its end ({error})"
        raise NotAPicture(Problem(field, message)) from error


def _open(
    data: bytes, field: str, megapixels: int, shortest: int, enough: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode to the end; return the picture upright, in its own mode, and its width and height.

    Args:
        enough: px of the longest side that suffice. A JPEG that has more than twice as many is then
            read at a half, a quarter or an eighth: every code in it, but into fewer pixels.
    """
    if not data:
        raise InvalidInput(Problem(field, "is empty; choose a picture"))
    with Image.open(io.BytesIO(data), formats=READ) as image:
        _check_header(image, field, megapixels, shortest)
        size = image.size
        if enough:
            image.draft(None, (size[0] * enough // max(size), size[1] * enough // max(size)))
        try:
            image.load()
        except OSError:
            if image.size == size:
                raise
            return _open(data, field, megapixels, shortest)  # a lossless JPEG has one size only
        on_its_side = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        ImageOps.exif_transpose(image, in_place=True)
        return image, size[::-1] if on_its_side else size


def _check_header(image: Image.Image, field: str, megapixels: int, shortest: int) -> None:
    """Check size and number of pages before a pixel is decoded."""
    check_size(*image.size, field, megapixels, shortest)
    # Cameras add a preview or a second view to a JPEG (CIPA DC-007); the picture is the first.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise InvalidInput(Problem(field, "is animated or has several pages; send one picture"))


def check_size(width: int, height: int, field: str, megapixels: int, shortest: int) -> None:
    """Check the size of a picture, px.

    Raises:
        TooLarge, InvalidInput: a picture may not have this size.
    """
    size = f"is {width} x {height} px"
    if width * height > megapixels * 1e6 or max(width, height) > LONGEST_SIDE:
        large = f"{width * height / 1e6:.1f}".removesuffix(".0")
        message = f"{size} ({large} megapixels); the limit is {megapixels}"
        raise TooLarge(Problem(field, f"{message} megapixels and {LONGEST_SIDE} px a side"))
    if min(width, height) < shortest:
        raise InvalidInput(Problem(field, f"{size}; it needs at least {shortest} px a side"))
    if max(width, height) > LONGEST_RATIO * min(width, height):
        raise InvalidInput(Problem(field, f"{size}; sides may be 1 : {LONGEST_RATIO} at most"))


def _shrink_to_thumbnail(image: Image.Image) -> Image.Image:
    """Shrink to the thumbnail's size: by whole factors to twice the size, then resampled."""
    scale = THUMBNAIL / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
