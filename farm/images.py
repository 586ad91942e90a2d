"""Pictures in and out: bytes <-> float32 numpy (H, W, 3), sRGB, in [0, 1].

Decoding believes nothing: the size is checked from the header before a pixel is read, only four
formats are tried, and a picture is decoded to its end before it is accepted.

An 8K picture is 400 MB as float32. All that is done to one is done strip by strip, so that besides
it there is at most one picture of 8 bits.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

from farm import sixteen
from farm.errors import InvalidInput, NotAPicture, Problem, TooLarge
from farm.formats import Format

Picture = NDArray[np.float32]

READ = ("JPEG", "PNG", "WEBP", "TIFF")  # Pillow's names
ACCEPTED = "JPEG, PNG, WebP or TIFF"
LONGEST_SIDE = 30_000  # px; what libraries below Pillow are sure to hold
SHORTEST_SIDE = 16  # px, unless something larger is asked for
LONGEST_RATIO = 20  # of the sides; beyond it, a level would be less than a pixel high
THUMBNAIL = 960  # px, longest side
PREVIEW_PIXELS = 1280  # longest side
STRIP = 64  # rows that are worked on at once
RECIPE_TAG = "style-farm recipe"  # PNG text keyword
EXIF_DESCRIPTION = 0x010E

Image.MAX_IMAGE_PIXELS = None  # `decode` checks the header against its own limit, by field
ImageFile.LOAD_TRUNCATED_IMAGES = False


@dataclass(frozen=True)
class Checked:
    """What is known of an upload once it is decoded: its size after EXIF orientation, a thumbnail."""

    width: int
    height: int
    thumbnail: bytes  # JPEG


def check(data: bytes, field: str, megapixels: int, shortest: int = SHORTEST_SIDE) -> Checked:
    """Decode an upload to its end.

    Args:
        data: the file. field: its name in the form, for messages. megapixels: the most it may have.
        shortest: the least its shorter side may have, px.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it, naming the field and the limit.
        MemoryError: there is not enough for it.
    """
    with _naming(field):
        image, (width, height) = _open(data, field, megapixels, shortest, enough=2 * THUMBNAIL)
        small = _in_srgb(_thumbnail(_plain(image)))
    return Checked(width, height, _small_jpeg(small, quality=85))


def decode(data: bytes, field: str, megapixels: int, shortest: int = 1) -> Picture:
    """float32 (H, W, 3) sRGB in [0, 1], upright, its transparency over white.

    Raises:
        NotAPicture, TooLarge, InvalidInput, MemoryError: as `check`.
    """
    with _naming(field):
        image = _in_srgb(_plain(_open(data, field, megapixels, shortest)[0]))
    width, height = image.size
    picture = np.empty((height, width, 3), np.float32)
    for top in range(0, height, STRIP):
        rows = np.asarray(image.crop((0, top, width, min(top + STRIP, height))))
        np.divide(rows, np.float32(255), out=picture[top : top + STRIP])
    return picture


def to_image(picture: Picture, shrink: int = 1) -> Image.Image:
    """float32 (H, W, 3) in [0, 1] -> 8 bit, rounded to nearest, each side `shrink` times smaller."""
    height, width, _ = picture.shape
    image = Image.new("RGB", (-(-width // shrink), -(-height // shrink)))
    for number, strip in enumerate(_strips(picture, STRIP * shrink, np.uint8)):
        rows = Image.fromarray(strip)
        image.paste(rows.reduce(shrink) if shrink > 1 else rows, (0, number * STRIP))
    return image


def _strips(picture: Picture, rows: int, kind: type[np.unsignedinteger[Any]]) -> Iterator[NDArray[Any]]:
    """float32 (H, W, 3) in [0, 1] as (`rows`, W, 3) of all that `kind` holds, rounded to nearest."""
    for top in range(0, len(picture), rows):
        strip = np.clip(picture[top : top + rows], 0, 1)
        strip *= np.iinfo(kind).max
        strip += 0.5
        yield strip.astype(kind)


def encode(picture: Picture, format: Format, recipe: str | None = None) -> bytes:
    """The file that `write` writes."""
    buffer = io.BytesIO()
    write(picture, format, buffer, recipe)
    return buffer.getvalue()


def write(picture: Picture, format: Format, file: BinaryIO, recipe: str | None = None) -> None:
    """A file with an sRGB profile and, if given, the recipe (JSON): PNG text, EXIF or TIFF description.

    Args:
        picture: float32 (H, W, 3) sRGB in [0, 1]; rounded to the nearest value that the format has.
        file: seekable for TIFF.
    """
    height, width, _ = picture.shape
    match format:
        case "png16":
            strips = _strips(picture, STRIP, np.uint16)
            text = {RECIPE_TAG: recipe} if recipe else {}
            sixteen.write_png(file, width, height, strips, SRGB, text)
        case "tiff16":
            strips = _strips(picture, STRIP, np.uint16)
            sixteen.write_tiff(file, width, height, strips, STRIP, SRGB, recipe or "")
        case _:
            write_eight(to_image(picture), format, file, recipe)


def write_eight(image: Image.Image, format: str, file: BinaryIO, recipe: str | None = None) -> None:
    """The same of 8-bit RGB in sRGB, for the formats of 8 bits."""
    exif = Image.Exif()
    info = PngImagePlugin.PngInfo()
    if recipe:
        exif[EXIF_DESCRIPTION] = recipe
        info.add_itxt(RECIPE_TAG, recipe)
    match format:
        case "png":
            image.save(file, "PNG", pnginfo=info, icc_profile=SRGB, compress_level=4)
        case "jpeg":
            write_jpeg(image, file, quality=95, subsampling=0, exif=exif)
        case "webp":
            image.save(file, "WEBP", quality=92, icc_profile=SRGB, exif=exif)


def write_jpeg(image: Image.Image, file: BinaryIO, quality: int, **options: Any) -> None:
    """A JPEG with an sRGB profile; `options` are Pillow's."""
    image.save(file, "JPEG", quality=quality, icc_profile=SRGB, **options)


def view(picture: Picture, file: BinaryIO) -> None:
    """A JPEG at full size, to be looked at: a tenth of the PNG's bytes and the same to the eye."""
    write_jpeg(to_image(picture), file, quality=90)


def preview(picture: Picture, longest: int = PREVIEW_PIXELS) -> bytes:
    """A JPEG of at most `longest` px for the page, from float32 (H, W, 3) in [0, 1]."""
    image = to_image(picture, max(1, max(picture.shape) // (2 * longest)))
    if max(image.size) > longest:
        image = ImageOps.contain(image, (longest, longest), Image.Resampling.LANCZOS)
    return _small_jpeg(image, quality=88)


def _small_jpeg(image: Image.Image, quality: int) -> bytes:
    """A JPEG for a page."""
    buffer = io.BytesIO()
    write_jpeg(image, buffer, quality, optimize=True)
    return buffer.getvalue()


def embedded_recipe(data: bytes) -> str | None:
    """The recipe a file of ours carries, as JSON."""
    return result(io.BytesIO(data))[1]


def result(file: BinaryIO) -> tuple[Image.Image, str | None]:
    """A file of ours, whatever its format, as 8-bit RGB, and the recipe (JSON) that it carries."""
    with Image.open(file, formats=READ) as image:
        image.load()
        carried = image.info.get(RECIPE_TAG) if image.format == "PNG" else None
        return image.convert("RGB"), cast(str | None, carried or image.getexif().get(EXIF_DESCRIPTION))


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Whatever Pillow's decoders raise (OSError, SyntaxError, struct.error and more) as one error."""
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
    """Decoded to its end, upright, in whatever mode it has; and its width and height.

    Args:
        enough: px of the longest side that will do. A JPEG that has more than twice as many is then
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
    """Before a pixel is decoded."""
    check_size(*image.size, field, megapixels, shortest)
    # Cameras add a preview or a second view to a JPEG (CIPA DC-007); the picture is the first.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise InvalidInput(Problem(field, "is animated or has several pages; send one picture"))


def check_size(width: int, height: int, field: str, megapixels: int, shortest: int) -> None:
    """
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


def _plain(image: Image.Image) -> Image.Image:
    """8 bits a channel, transparency as a channel of its own: pixels that can be averaged."""
    image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _thumbnail(image: Image.Image) -> Image.Image:
    """A large picture is averaged down to twice the size by whole factors, then resampled well."""
    scale = THUMBNAIL / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _in_srgb(image: Image.Image) -> Image.Image:
    """RGB in sRGB of a plain picture with any profile; transparency over white."""
    profile = image.info.get("icc_profile")
    rgb = _apply_profile(image, profile) if profile else None
    if rgb is None:
        rgb = image if image.mode == "RGB" else image.convert("RGB")  # which copies even RGB
    if image.mode == "RGBA":
        white = Image.new("RGB", rgb.size, "white")
        return Image.composite(rgb, white, image.getchannel("A"))
    return rgb


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey rescaled (Pillow's own conversion clips it), palettes resolved."""
    if image.mode.startswith("I"):
        return _grey(image, lambda values: (np.clip(values, 0, 65535).astype(np.uint32) + 128) // 257)
    if image.mode == "F":  # TIFF: white is 1, or whatever is brightest
        top = max(1.0, *(float(_finite(values).max(initial=0.0)) for values in _rows(image)))
        return _grey(image, lambda values: np.clip(_finite(values) / top, 0, 1) * 255 + 0.5)
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image


def _rows(image: Image.Image) -> Iterator[NDArray[Any]]:
    """One channel in strips (rows, W)."""
    for top in range(0, image.height, STRIP):
        yield np.asarray(image.crop((0, top, image.width, min(top + STRIP, image.height))))


def _grey(image: Image.Image, to_bytes: Callable[[NDArray[Any]], NDArray[Any]]) -> Image.Image:
    """8-bit grey of one channel of anything."""
    grey = Image.new("L", image.size)
    for number, values in enumerate(_rows(image)):
        grey.paste(Image.fromarray(to_bytes(values).astype(np.uint8)), (0, number * STRIP))
    return grey


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isfinite(values), values, 0)


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture's colours in sRGB, in place if it is RGB; None if the profile is broken or for
    another mode."""
    source = image.convert("RGB") if image.mode == "RGBA" else image
    in_place = source.mode == "RGB"
    try:
        converted = ImageCms.profileToProfile(
            source,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
            inPlace=in_place,
        )
        return source if in_place else converted
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _srgb_profile() -> bytes:
    """An sRGB profile without the moment it was made (header bytes 24 to 35, ICC.1:2010, 7.2.1), so
    that the same picture gives the same file."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


SRGB = _srgb_profile()
