"""Pictures in and out: bytes <-> float32 numpy (H, W, 3), sRGB, in [0, 1].

Decoding believes nothing: the size is checked from the header before a pixel is read, only four
formats are tried, and a picture is decoded to its end before it is accepted.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

from farm.errors import InvalidInput, NotAPicture, Problem, TooLarge

Picture = NDArray[np.float32]

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
ACCEPTED = "JPEG, PNG, WebP or TIFF"
LONGEST_SIDE = 30_000  # px; what libraries below Pillow are sure to hold
LONGEST_RATIO = 20  # of the sides; beyond it, a level would be less than a pixel high
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
THUMBNAIL = 960  # px, longest side
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


def check(data: bytes, field: str, megapixels: int, shortest: int = 16) -> Checked:
    """Decode an upload to its end.

    Args:
        data: the file. field: its name in the form, for messages. megapixels: the most it may have.
        shortest: the least its shorter side may have, px.

    Raises:
        NotAPicture, TooLarge, InvalidInput: what is wrong with it, naming the field and the limit.
    """
    image = _open(data, field, megapixels, shortest)
    thumbnail = ImageOps.contain(image, (THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return Checked(image.width, image.height, encode_jpeg(thumbnail, quality=85))


def decode(data: bytes, field: str, megapixels: int, shortest: int = 1) -> Picture:
    """float32 (H, W, 3) sRGB in [0, 1], upright, its transparency over white.

    Raises:
        NotAPicture, TooLarge, InvalidInput: as `check`.
    """
    image = _open(data, field, megapixels, shortest)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def to_image(picture: Picture) -> Image.Image:
    """float32 (H, W, 3) in [0, 1] -> 8 bit, rounded to nearest."""
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def check_suffix(suffix: str) -> None:
    """Raises:
    InvalidInput: no format is written under this ending.
    """
    if suffix.lower() not in SUFFIXES:
        message = f"ends in {suffix or 'nothing'}; it must be one of {', '.join(SUFFIXES)}"
        raise InvalidInput(Problem("output", message))


def encode(image: Image.Image, suffix: str, recipe: str | None = None) -> bytes:
    """A file with an sRGB profile and, if given, the recipe (JSON) as PNG text or EXIF description.

    Args:
        suffix: one of `SUFFIXES`.

    Raises:
        InvalidInput: another suffix.
    """
    check_suffix(suffix)
    buffer = io.BytesIO()
    exif = Image.Exif()
    if recipe:
        exif[EXIF_DESCRIPTION] = recipe
    match suffix.lower():
        case ".png":
            text = PngImagePlugin.PngInfo()
            if recipe:
                text.add_itxt(RECIPE_TAG, recipe)
            image.save(buffer, "PNG", pnginfo=text, icc_profile=SRGB, compress_level=4)
        case ".jpg" | ".jpeg":
            image.save(buffer, "JPEG", quality=95, subsampling=0, icc_profile=SRGB, exif=exif)
        case ".webp":
            image.save(buffer, "WEBP", quality=92, icc_profile=SRGB, exif=exif)
        case ".tif" | ".tiff":
            image.save(buffer, "TIFF", compression="tiff_lzw", icc_profile=SRGB, exif=exif)
    return buffer.getvalue()


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """A JPEG for a page."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True, icc_profile=SRGB)
    return buffer.getvalue()


def preview(picture: Picture, longest: int) -> bytes:
    """A JPEG of at most `longest` px for the page, from float32 (H, W, 3) in [0, 1]."""
    image = to_image(picture)
    if max(image.size) > longest:
        image = ImageOps.contain(image, (longest, longest), Image.Resampling.LANCZOS)
    return encode_jpeg(image, quality=88)


def embedded_recipe(data: bytes) -> str | None:
    """The recipe a file of ours carries, as JSON."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.format == "PNG":
            image.load()
            return cast(str | None, image.info.get(RECIPE_TAG))
        return cast(str | None, image.getexif().get(EXIF_DESCRIPTION))


def _open(data: bytes, field: str, megapixels: int, shortest: int) -> Image.Image:
    """Decoded to its end: RGB, 8 bit, sRGB, upright."""
    if not data:
        raise InvalidInput(Problem(field, "is empty; choose a picture"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd but readable metadata
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_header(image, field, megapixels, shortest)
                image.load()
                return _to_srgb(ImageOps.exif_transpose(image))
    except InvalidInput:
        raise
    except UnidentifiedImageError:
        raise NotAPicture(Problem(field, f"is not a {ACCEPTED} picture")) from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and more
        message = f"is damaged or incomplete and cannot be read to its end ({error})"
        raise NotAPicture(Problem(field, message)) from error


def _check_header(image: Image.Image, field: str, megapixels: int, shortest: int) -> None:
    """Before a pixel is decoded."""
    width, height = image.size
    size = f"is {width} x {height} px"
    if width * height > megapixels * 1e6 or max(width, height) > LONGEST_SIDE:
        message = f"{size} ({width * height / 1e6:.0f} megapixels); the limit is {megapixels}"
        raise TooLarge(Problem(field, f"{message} megapixels and {LONGEST_SIDE} px a side"))
    if min(width, height) < shortest:
        raise InvalidInput(Problem(field, f"{size}; it needs at least {shortest} px a side"))
    if max(width, height) > LONGEST_RATIO * min(width, height):
        raise InvalidInput(Problem(field, f"{size}; sides may be 1 : {LONGEST_RATIO} at most"))
    if getattr(image, "is_animated", False):
        raise InvalidInput(Problem(field, "is animated or has several pages; send one picture"))


def _to_srgb(image: Image.Image) -> Image.Image:
    """Any mode and profile -> RGB in sRGB; transparency over white."""
    image = _eight_bits(image)
    alpha = None
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    profile = image.info.get("icc_profile")
    rgb = _apply_profile(image, profile) if profile else None
    if rgb is None:
        rgb = image.convert("RGB")
    if alpha is not None:
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
    return rgb


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey rescaled (Pillow's own conversion clips it), palettes resolved."""
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode == "F":  # TIFF: white is 1, or whatever is brightest
        finite = np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0)
        top = max(1.0, float(finite.max(initial=0.0)))
        return Image.fromarray((np.clip(finite / top, 0, 1) * 255 + 0.5).astype(np.uint8))
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture's colours in sRGB; None if the profile is broken or for another mode."""
    source = image.convert("RGB") if image.mode == "RGBA" else image
    try:
        return ImageCms.profileToProfile(
            source,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _srgb_profile() -> bytes:
    """An sRGB profile without the moment it was made (header bytes 24 to 35, ICC.1:2010, 7.2.1), so
    that the same picture gives the same file."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


SRGB = _srgb_profile()
