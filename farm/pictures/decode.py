"""Pictures in: bytes -> numpy (H, W, 3), sRGB, float32 in [0, 1] or bytes.

Decoding trusts nothing: the size is checked from the header before a pixel is read, only the formats of
`kinds.py` are tried, and a picture is decoded to its end before it is accepted.

An 8K picture is 400 MB as float32. All that is done to one is done strip by strip, so that besides
it there is at most one picture in the samples of its file.
"""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from farm.counts import format_count
from farm.errors import InvalidInput, NotAPicture, Problem, TooLarge
from farm.pictures.colour import SRGB, Unsupported
from farm.pictures.jpeg import encode_jpeg
from farm.pictures.kinds import HEAD, find_kind, name_other
from farm.pictures.marks import Marks
from farm.pictures.pixels import (
    STRIP,
    Picture,
    Pixels,
    Raster,
    convert_to_image,
    convert_to_map,
    convert_to_straight,
    is_transparent,
    iterate_srgb,
    iterate_straight,
    quantise,
    shows_nothing,
    turn_upright,
)

if TYPE_CHECKING:  # the process that decodes uploads needs no recipe, which takes a tenth of a second
    from farm.recipe.picture_sizes import Size

LONGEST_SIDE = 30_000  # px; what libraries below Pillow are sure to hold
SHORTEST_SIDE = 16  # px, unless something larger is asked for
LONGEST_RATIO = 20  # of the sides; beyond it, a level would be less than a pixel high
THUMBNAIL = 960  # px, longest side
NOTHING_SHOWN = "is transparent all over, so that there is nothing to see"
DRAFT = (
    2  # times the sides that are wanted: as many a JPEG is read at, whose own shrinking is a coarse one
)
ON_ITS_SIDE = (5, 6, 7, 8)  # of EXIF's orientation

Image.MAX_IMAGE_PIXELS = None  # `decode` checks the header against its own limit, by field
ImageFile.LOAD_TRUNCATED_IMAGES = False


class Channels(enum.StrEnum):
    """Choice of a picture's samples."""

    COLOUR = "colour"  # transparency over white
    COLOUR_AND_ALPHA = "colour and alpha"  # apart from each other, where anything is less than opaque
    MAP = "map"  # grey: where it holds, see `convert_to_map`


@dataclass(frozen=True)
class Checked:
    """An upload that was decoded to its end."""

    # px, after EXIF orientation.
    width: int
    height: int
    # JPEG.
    thumbnail: bytes
    # Of a map.
    marks: Marks | None = None


def check(data: bytes, field: str, megapixels: int, shortest: int = SHORTEST_SIDE) -> Checked:
    """Decode an upload to its end.

    Args:
        data: the file. field: its name in the form, for messages. megapixels: maximum.
        shortest: minimum of its shorter side, px.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it, naming the field and the limit; it is
            transparent all over.
        MemoryError: there is not enough for it.
    """
    with translate_errors(field):
        raster, (width, height) = _open(data, field, megapixels, shortest, lambda *_: 2 * THUMBNAIL)
        if shows_nothing(raster):
            raise InvalidInput(Problem(field, NOTHING_SHOWN))
        thumbnail = encode_jpeg(_shrink_to_thumbnail(raster), quality=85)
    return Checked(width, height, thumbnail)


def check_map(data: bytes, field: str, megapixels: int, shortest: int = SHORTEST_SIDE) -> Checked:
    """Decode an upload that is a map, see `convert_to_map`, to its end; its thumbnail shows the map.

    Raises:
        InvalidInput: it marks nothing. NotAPicture, TooLarge, InvalidInput, MemoryError: as `check`.
    """
    with translate_errors(field):
        raster, (width, height) = _open(data, field, megapixels, shortest)
        marked = convert_to_map(raster)
        if marked.getextrema() == (0, 0):
            raise InvalidInput(Problem(field, "is black all over, so that it marks nothing"))
        marks = Marks.from_levels(np.asarray(marked))
        marked.thumbnail((THUMBNAIL, THUMBNAIL))
        thumbnail = encode_jpeg(marked.convert("RGB"), quality=85)
    return Checked(width, height, thumbnail, marks)


def decode(data: bytes, field: str, megapixels: int, shortest: int = 1) -> Picture:
    """Decode to float32 (H, W, 3) sRGB in [0, 1], upright, transparency over white.

    Raises:
        NotAPicture, TooLarge, InvalidInput, MemoryError: as `check`.
    """
    with translate_errors(field):
        raster, (width, height) = _open(data, field, megapixels, shortest)
        picture, top = np.empty((height, width, 3), np.float32), 0
        for strip in iterate_srgb(raster):
            picture[top : top + len(strip)] = strip
            top += len(strip)
            del strip  # before the next is made
    return picture


@dataclass(frozen=True)
class Decoded:
    """A picture as a rendering holds it."""

    # (H, W, 3) sRGB.
    pixels: Pixels
    # Height and width as it was sent, upright.
    sent: Size
    # (H, W), where it was asked for and any of it is less than opaque; the pixels are then as they are
    # under it, and white where nothing of them shows.
    alpha: Pixels | None = None

    @classmethod
    def from_samples(cls, samples: Pixels, sent: Size) -> Decoded:
        """Make one of (H, W, 3), or of (H, W, 4) whose last channel is alpha."""
        if samples.shape[2] == 3:
            return cls(samples, sent)
        colours, alpha = (np.ascontiguousarray(each) for each in (samples[..., :3], samples[..., 3]))
        return cls(colours, sent, alpha)


def decode_to_size(
    data: bytes,
    field: str,
    megapixels: int,
    compute_size: Callable[[Size], Size],
    shortest: int = 1,
    channels: Channels = Channels.COLOUR,
) -> Decoded:
    """Decode to bytes in sRGB, upright, smaller on the way, and low-passed.

    Args:
        compute_size: returns height and width that suffice, for those as sent.
        channels: COLOUR: transparency over white; COLOUR_AND_ALPHA: apart, if there is any.

    Raises:
        NotAPicture, TooLarge, InvalidInput, MemoryError: as `check`.
    """
    resized = open_to_size(data, field, megapixels, compute_size, shortest, channels)
    return Decoded.from_samples(resized.assemble(), resized.sent)


def decode_map_to_size(
    data: bytes, field: str, megapixels: int, compute_size: Callable[[Size], Size], shortest: int = 1
) -> Pixels:
    """Decode a map, see `convert_to_map`, to bytes (H, W), upright, averaged down on the way.

    Raises:
        NotAPicture, TooLarge, InvalidInput, MemoryError: as `check`.
    """
    resized = open_to_size(data, field, megapixels, compute_size, shortest, Channels.MAP)
    return resized.assemble()[..., 0]


@dataclass(frozen=True)
class Resized:
    """A picture that is given out strip by strip, so that no second whole one is held."""

    # Height and width as it was sent, upright.
    sent: Size
    # Those of the strips together.
    size: Size
    # Of each pixel: 3, sRGB; 4, with alpha; 1, of a map.
    channels: int
    # (rows, W, channels), from top to bottom, C-contiguous. Raises as `check`.
    strips: Iterator[Pixels]

    def assemble(self) -> Pixels:
        """Return all strips as one array, (H, W, channels)."""
        pixels, top = np.empty((*self.size, self.channels), np.uint8), 0
        for strip in self.strips:
            pixels[top : top + len(strip)] = strip
            top += len(strip)
        return pixels


def open_to_size(
    data: bytes,
    field: str,
    megapixels: int,
    compute_size: Callable[[Size], Size],
    shortest: int = 1,
    channels: Channels = Channels.COLOUR,
) -> Resized:
    """Decode to the end and shrink; see `decode_to_size`, which converts to sRGB, too."""

    def enough(width: int, height: int) -> int:
        return DRAFT * max(compute_size((height, width)))

    with translate_errors(field):
        raster, (width, height) = _open(data, field, megapixels, shortest, enough)
        sent = height, width
        small = compute_size(sent)
        if channels is Channels.MAP:
            marked = convert_to_map(raster).resize(small[::-1], Image.Resampling.BOX)
            return Resized(sent, small, 1, _iterate_map(marked))
        straight = channels is Channels.COLOUR_AND_ALPHA and is_transparent(raster)
        raster = _shrink(raster, small[1], small[0], Image.Resampling.LANCZOS, straight=straight)
    return Resized(sent, small, 4 if straight else 3, _iterate_bytes(raster, field, straight))


def _iterate_bytes(raster: Raster, field: str, straight: bool) -> Iterator[Pixels]:
    with translate_errors(field):
        for strip in iterate_straight(raster) if straight else iterate_srgb(raster):
            yield quantise(strip)


def _iterate_map(marked: Image.Image) -> Iterator[Pixels]:
    for top in range(0, marked.height, STRIP):
        rows = marked.crop((0, top, marked.width, min(top + STRIP, marked.height)))
        yield np.asarray(rows)[..., None]


@contextmanager
def translate_errors(field: str) -> Iterator[None]:
    """Raise whatever Pillow's decoders raise (OSError, SyntaxError, struct.error ..) as NotAPicture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd but readable metadata
            yield
    except (InvalidInput, MemoryError):
        raise
    except Unsupported as error:
        raise NotAPicture(Problem(field, str(error))) from None
    except UnidentifiedImageError:
        raise NotAPicture(
            Problem(field, "is damaged or incomplete: its header makes no sense")
        ) from None
    except Exception as error:
        why = " ".join(str(error).split())
        message = f"is damaged or incomplete and cannot be read to its end ({why})"
        raise NotAPicture(Problem(field, message)) from error


def _open(
    data: bytes,
    field: str,
    megapixels: int,
    shortest: int,
    enough: Callable[[int, int], int] | None = None,
) -> tuple[Raster, tuple[int, int]]:
    """Decode to the end; return the picture upright, in its own samples, and its width and height.

    Args:
        enough: returns px of the longest side that suffice, for width and height. A JPEG that has more
            than twice as many is then read at a half, a quarter or an eighth: every code in it, but
            into fewer pixels.
    """
    if not data:
        raise InvalidInput(Problem(field, "is empty; choose a picture"))
    if (kind := find_kind(data[:HEAD])) is None:
        raise NotAPicture(Problem(field, name_other(data[:HEAD])))
    opened = kind.open(data)
    check_size(*opened.size, field, megapixels, shortest)
    if opened.is_several:
        raise InvalidInput(Problem(field, "is animated or has several pages; send one picture"))
    raster, orientation = opened.read(enough(*opened.size) if enough else None)
    size = opened.size[::-1] if orientation in ON_ITS_SIDE else opened.size
    return turn_upright(raster, orientation), size


def check_size(width: int, height: int, field: str, megapixels: int, shortest: int) -> None:
    """Check the size of a picture, px.

    Raises:
        TooLarge, InvalidInput: a picture may not have this size.
    """
    size = f"is {width} x {height} px"
    if width * height > megapixels * 1e6 or max(width, height) > LONGEST_SIDE:
        large = f"{width * height / 1e6:.1f}".removesuffix(".0")
        limit = format_count(megapixels, "megapixel")
        message = f"{size} ({large} megapixels); the limit is {limit} and {LONGEST_SIDE} px a side"
        raise TooLarge(Problem(field, message))
    if min(width, height) < shortest:
        raise InvalidInput(Problem(field, f"{size}; it needs at least {shortest} px a side"))
    if max(width, height) > LONGEST_RATIO * min(width, height):
        raise InvalidInput(Problem(field, f"{size}; sides may be 1 : {LONGEST_RATIO} at most"))


def _shrink_to_thumbnail(raster: Raster) -> Image.Image:
    """Shrink to the thumbnail: by whole factors to twice its size, then resampled; RGB in sRGB."""
    scale = THUMBNAIL / max(raster.size)
    width, height = (max(1, round(side * scale)) for side in raster.size)
    return convert_to_image(_shrink(raster, width, height, Image.Resampling.LANCZOS, reducing_gap=2.0))


def _shrink(
    raster: Raster,
    width: int,
    height: int,
    resampling: Image.Resampling,
    reducing_gap: float | None = None,
    *,
    straight: bool = False,
) -> Raster:
    """Shrink in the samples of the file, which are few bytes; those that have no averages in sRGB."""
    if raster.size == (width, height):
        return raster
    image, colour = raster.samples, raster.colour
    if not isinstance(image, Image.Image) or image.mode == "LAB":
        image, colour = convert_to_straight(raster) if straight else convert_to_image(raster), SRGB
    return Raster(image.resize((width, height), resampling, reducing_gap=reducing_gap), colour)
