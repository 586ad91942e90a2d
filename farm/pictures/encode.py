"""Pictures out: result files with their recipe, views and previews."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from farm.pictures import sixteen_bit
from farm.pictures.jpeg import SRGB, encode_jpeg, write_jpeg
from farm.pictures.pixels import STRIP, Picture
from farm.recipe import Recipe
from farm.recipe.formats import PREVIEW_PIXELS, Format

RECIPE_TAG = "style-farm recipe"  # PNG text keyword
WRITTEN = ("PNG", "JPEG", "WEBP", "TIFF")  # Pillow's names
EXIF_DESCRIPTION = 0x010E


def to_image(picture: Picture, shrink: int = 1) -> Image.Image:
    """Convert float32 (H, W, 3) in [0, 1] to 8 bit, rounded to nearest, sides `shrink` times smaller."""
    height, width, _ = picture.shape
    image = Image.new("RGB", (-(-width // shrink), -(-height // shrink)))
    for number, strip in enumerate(_quantise_strips(picture, STRIP * shrink, np.uint8)):
        rows = Image.fromarray(strip)
        image.paste(rows.reduce(shrink) if shrink > 1 else rows, (0, number * STRIP))
    return image


def _quantise_strips(
    picture: Picture, rows: int, kind: type[np.unsignedinteger[Any]]
) -> Iterator[NDArray[Any]]:
    """Yield float32 (H, W, 3) in [0, 1] as strips (`rows`, W, 3) in the range of `kind`, rounded."""
    for top in range(0, len(picture), rows):
        strip = np.clip(picture[top : top + rows], 0, 1)
        strip *= np.iinfo(kind).max
        strip += 0.5
        yield strip.astype(kind)


def encode_picture(picture: Picture, format: Format, recipe: str | None = None) -> bytes:
    """Return the file that `write` writes."""
    buffer = io.BytesIO()
    write(picture, format, buffer, recipe)
    return buffer.getvalue()


def write_result(picture: Picture, recipe: Recipe, file: BinaryIO) -> None:
    """Write a finished picture in the format of its recipe, which goes into the file.

    Args:
        picture: float32 (H, W, 3) sRGB in [0, 1].
        recipe: as it was followed, see `Engine.resolve`.
        file: seekable for TIFF.
    """
    write(picture, recipe.format, file, recipe.model_dump_json())


def write(picture: Picture, format: Format, file: BinaryIO, recipe: str | None = None) -> None:
    """Write a file with an sRGB profile and, if given, the recipe (JSON): PNG text, EXIF or TIFF
    description.

    Args:
        picture: float32 (H, W, 3) sRGB in [0, 1]; rounded to the nearest value that the format has.
        file: seekable for TIFF.
    """
    height, width, _ = picture.shape
    match format:
        case "png16":
            strips = _quantise_strips(picture, STRIP, np.uint16)
            text = {RECIPE_TAG: recipe} if recipe else {}
            sixteen_bit.write_png(file, width, height, strips, SRGB, text)
        case "tiff16":
            strips = _quantise_strips(picture, STRIP, np.uint16)
            sixteen_bit.write_tiff(file, width, height, strips, STRIP, SRGB, recipe or "")
        case _:
            write_eight_bit(to_image(picture), format, file, recipe)


def write_eight_bit(image: Image.Image, format: str, file: BinaryIO, recipe: str | None = None) -> None:
    """Write 8-bit RGB in sRGB as `write` does, for the formats of 8 bits."""
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


def write_view(picture: Picture, file: BinaryIO) -> None:
    """Write a JPEG at full size for browsers: a tenth of the PNG's bytes and the same to the eye."""
    write_jpeg(to_image(picture), file, quality=90)


def encode_preview(picture: Picture, longest: int = PREVIEW_PIXELS) -> bytes:
    """Encode float32 (H, W, 3) in [0, 1] as a JPEG of at most `longest` px for pages."""
    image = to_image(picture, max(1, max(picture.shape) // (2 * longest)))
    if max(image.size) > longest:
        image = ImageOps.contain(image, (longest, longest), Image.Resampling.LANCZOS)
    return encode_jpeg(image, quality=88)


def read_embedded_recipe(data: bytes) -> str | None:
    """Read the recipe (JSON) that a result file carries."""
    return read_result(io.BytesIO(data))[1]


def read_result(file: BinaryIO) -> tuple[Image.Image, str | None]:
    """Read a result file of any of our formats: 8-bit RGB, and the recipe (JSON) that it carries."""
    with Image.open(file, formats=WRITTEN) as image:
        image.load()
        carried = image.info.get(RECIPE_TAG) if image.format == "PNG" else None
        return image.convert("RGB"), cast(str | None, carried or image.getexif().get(EXIF_DESCRIPTION))
