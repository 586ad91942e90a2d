"""Pictures out: result files with their recipe, views and previews."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from farm.pictures import png, tiff
from farm.pictures.deflate import ReadRows
from farm.pictures.jpeg import SRGB, encode_jpeg, write_jpeg
from farm.pictures.pixels import STRIP, Picture, Pixels
from farm.recipe import Recipe
from farm.recipe.formats import PREVIEW_PIXELS, Format

RECIPE_TAG = "style-farm recipe"  # PNG text keyword
WRITTEN = ("PNG", "JPEG", "WEBP", "TIFF")  # Pillow's names
RECIPE_EXIF = 65432  # TIFF and EXIF tag, among those left to private use
EXIF_DESCRIPTION = 0x010E  # 0.1 kept the recipe here


def to_image(picture: Picture, shrink: int = 1, alpha: Pixels | None = None) -> Image.Image:
    """Convert float32 (H, W, 3) in [0, 1] to 8 bit, rounded to nearest, sides `shrink` times smaller.

    Args:
        alpha: (H, W); what is transparent lies over white. None: all is opaque.
    """
    height, width, _ = picture.shape
    image = Image.new("RGB", (-(-width // shrink), -(-height // shrink)))
    for number, top in enumerate(range(0, height, STRIP * shrink)):
        strip = picture[top : top + STRIP * shrink]
        if alpha is not None:
            strip = _lay_over_white(strip, alpha[top : top + STRIP * shrink])
        rows = Image.fromarray(_quantise(strip, np.uint8))
        image.paste(rows.reduce(shrink) if shrink > 1 else rows, (0, number * STRIP))
    return image


def _lay_over_white(picture: Picture, alpha: Pixels) -> Picture:
    share = np.divide(alpha, 255, dtype=np.float32)[..., None]
    return np.asarray(picture * share + (1 - share))


def _fit(alpha: Pixels | None, picture: Picture) -> Pixels | None:
    """Return alpha at the size of a picture."""
    height, width, _ = picture.shape
    if alpha is None or alpha.shape == (height, width):
        return alpha
    return np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.BILINEAR))


def _quantise(
    picture: Picture, kind: type[np.unsignedinteger[Any]], alpha: Pixels | None = None
) -> NDArray[Any]:
    """Convert float32 in [0, 1] to the range of `kind`, rounded to nearest; with alpha to (H, W, 4)."""
    most = np.iinfo(kind).max
    values = np.clip(picture, 0, 1)
    values *= most
    values += 0.5
    if alpha is None:
        return values.astype(kind)
    return np.dstack((values.astype(kind), alpha.astype(kind) * kind(most // 255)))


def compose_description(photograph: str | None, paintings: Sequence[str | None]) -> str:
    """Return a sentence for people on a picture made from files of these names; None: not known."""
    *others, last = [name or "a painting" for name in paintings] or ["a painting"]
    style = f"{', '.join(others)} and {last}" if others else last
    return f"{photograph or 'A photograph'} in the style of {style}, made with Style Farm"


def encode_picture(
    picture: Picture,
    format: Format,
    recipe: str | None = None,
    description: str | None = None,
    alpha: Pixels | None = None,
) -> bytes:
    """Return the file that `write` writes."""
    buffer = io.BytesIO()
    write(picture, format, buffer, recipe, description, alpha)
    return buffer.getvalue()


def write_result(
    picture: Picture,
    recipe: Recipe,
    file: BinaryIO,
    description: str,
    alpha: Pixels | None = None,
) -> None:
    """Write a finished picture in the format of its recipe, which goes into the file.

    Args:
        picture: float32 (H, W, 3) sRGB in [0, 1].
        recipe: as it was followed, see `Engine.resolve`.
        file: seekable for TIFF.
        description: see `compose_description`.
        alpha: see `write`.
    """
    write(picture, recipe.format, file, recipe.model_dump_json(), description, alpha)


def write(
    picture: Picture,
    format: Format,
    file: BinaryIO,
    recipe: str | None = None,
    description: str | None = None,
    alpha: Pixels | None = None,
) -> None:
    """Write a file with an sRGB profile and, if given, the recipe (JSON) and a description, each in a
    PNG text or a tag of its own.

    Args:
        picture: float32 (H, W, 3) sRGB in [0, 1]; rounded to the nearest value that the format has.
        file: seekable for TIFF.
        alpha: (H, W) of any size in the picture's proportion; a JPEG, which cannot have any, lies over
            white where it is transparent. None: all is opaque.
    """
    height, width, _ = picture.shape
    alpha = _fit(alpha, picture)
    shape = height, width, 3 if alpha is None else 4
    match format:
        case "png":
            _write_png(file, shape, 8, _quantise_rows(picture, np.uint8, alpha), recipe, description)
        case "png16":
            _write_png(file, shape, 16, _quantise_rows(picture, np.uint16, alpha), recipe, description)
        case "tiff16":
            read_rows = _quantise_rows(picture, np.uint16, alpha)
            tags = {RECIPE_EXIF: recipe} if recipe else {}
            tiff.write_tiff(file, width, height, read_rows, SRGB, description or "", tags, shape[2])
        case "webp" if alpha is not None:
            image = to_image(picture)
            image.putalpha(Image.fromarray(alpha))
            write_eight_bit(image, format, file, recipe, description)
        case _:
            write_eight_bit(to_image(picture, alpha=alpha), format, file, recipe, description)


def write_eight_bit(
    image: Image.Image,
    format: str,
    file: BinaryIO,
    recipe: str | None = None,
    description: str | None = None,
) -> None:
    """Write 8-bit RGB or RGBA in sRGB as `write` does, for the formats of 8 bits."""
    exif = Image.Exif()
    if description:
        exif[EXIF_DESCRIPTION] = description.encode()
    if recipe:
        exif[RECIPE_EXIF] = recipe
    match format:
        case "png":
            image.load()  # here, and not in every thread that reads rows
            shape = image.height, image.width, len(image.getbands())
            _write_png(file, shape, 8, lambda top, end: _crop_rows(image, top, end), recipe, description)
        case "jpeg":
            if image.mode == "RGBA":
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                image = image.convert("RGB")
            write_jpeg(image, file, quality=95, subsampling=0, exif=exif)
        case "webp":
            image.save(file, "WEBP", quality=92, icc_profile=SRGB, exif=exif)


def _write_png(
    file: BinaryIO,
    shape: tuple[int, int, int],
    bits: int,
    read_rows: ReadRows,
    recipe: str | None,
    description: str | None,
) -> None:
    """Write a PNG in sRGB; shape: height, width and channels."""
    height, width, channels = shape
    texts = {"Description": description, RECIPE_TAG: recipe}
    text = {keyword: value for keyword, value in texts.items() if value}
    png.write_png(file, width, height, bits, read_rows, SRGB, text, channels)


def _quantise_rows(
    picture: Picture, kind: type[np.unsignedinteger[Any]], alpha: Pixels | None
) -> ReadRows:
    """Return a function that quantises some rows of a picture."""
    if alpha is None:
        return lambda top, end: _quantise(picture[top:end], kind)
    return lambda top, end: _quantise(picture[top:end], kind, alpha[top:end])


def _crop_rows(image: Image.Image, top: int, end: int) -> NDArray[np.uint8]:
    return np.asarray(image.crop((0, top, image.width, end)))


def write_view(picture: Picture, file: BinaryIO, alpha: Pixels | None = None) -> None:
    """Write a JPEG at full size for browsers: a tenth of the PNG's bytes and the same to the eye."""
    write_jpeg(to_image(picture, alpha=_fit(alpha, picture)), file, quality=90)


def encode_preview(
    picture: Picture, longest: int = PREVIEW_PIXELS, alpha: Pixels | None = None
) -> bytes:
    """Encode float32 (H, W, 3) in [0, 1] as a JPEG of at most `longest` px for pages.

    Args:
        alpha: see `write`; what is transparent lies over white.
    """
    image = to_image(picture, max(1, max(picture.shape) // (2 * longest)), _fit(alpha, picture))
    if max(image.size) > longest:
        image = ImageOps.contain(image, (longest, longest), Image.Resampling.LANCZOS)
    return encode_jpeg(image, quality=88)


def read_embedded_recipe(data: bytes) -> str | None:
    """Read the recipe (JSON) that a result file carries."""
    return read_result(io.BytesIO(data))[1]


def read_result(file: BinaryIO) -> tuple[Image.Image, str | None]:
    """Read a result file of any of our formats: 8-bit RGB, or RGBA where it is transparent, and the
    recipe (JSON) that it carries."""
    with Image.open(file, formats=WRITTEN) as image:
        image.load()
        exif = image.getexif()
        places = (image.info.get(RECIPE_TAG), exif.get(RECIPE_EXIF), exif.get(EXIF_DESCRIPTION))
        found = (text for text in places if isinstance(text, str) and text.startswith("{"))
        return image.convert("RGBA" if "A" in image.getbands() else "RGB"), next(found, None)
