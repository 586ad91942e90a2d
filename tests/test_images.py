"""Pictures in and out: what is odd is read right, what is wrong is named."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from farm import images
from farm.errors import InvalidInput, NotAPicture, TooLarge
from farm.recipe import Recipe


def save(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode(data: bytes) -> images.Picture:
    return images.decode(data, "content", 100)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_an_ordinary_picture_is_float_rgb() -> None:
    picture = decode(save(Image.new("RGB", (40, 30), (255, 0, 51)), "PNG"))
    assert picture.shape == (30, 40, 3)
    assert picture.dtype == np.float32
    assert picture[0, 0].tolist() == pytest.approx([1, 0, 0.2])


def test_sixteen_bit_grey_is_rescaled_and_not_clipped() -> None:
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    picture = decode(save(Image.fromarray(values), "PNG"))
    assert picture[..., 0].mean() == pytest.approx(0.5, abs=0.01)
    assert picture[0, 0, 0] == 0
    assert picture[-1, -1, 0] == 1


def test_hidden_colours_of_transparent_pixels_stay_hidden() -> None:
    transparent_red = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (decode(save(transparent_red, "PNG")) == 1).all()


@pytest.mark.parametrize("transparency", [0, b"\x00"])
def test_transparent_palettes_are_composited(transparency: object) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([255, 0, 0] + [0, 0, 0] * 255)
    assert (decode(save(image, "PNG", transparency=transparency)) == 1).all()


@pytest.mark.parametrize("options", [{}, {"icc_profile": images.SRGB}])
def test_cmyk_becomes_rgb_even_with_a_profile_for_something_else(options: dict[str, bytes]) -> None:
    picture = decode(save(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", **options))
    red, green, blue = picture[10, 10]
    assert red > 0.8
    assert green < 0.3
    assert blue < 0.3


def test_a_profile_is_converted_to_srgb() -> None:
    # Given a profile whose red primary is sRGB's blue and the other way round
    swapped = images.SRGB.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    picture = decode(save(Image.new("RGB", (20, 20), (255, 64, 0)), "PNG", icc_profile=swapped))
    assert picture[0, 0].tolist() == pytest.approx([0, 64 / 255, 1], abs=0.02)


def test_a_broken_profile_is_taken_as_srgb() -> None:
    image = Image.new("RGB", (20, 20), (10, 200, 30))
    assert np.array_equal(
        decode(save(image, "PNG", icc_profile=b"no profile")), decode(save(image, "PNG"))
    )


def test_a_photograph_held_sideways_comes_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to view
    data = save(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    assert decode(data).shape == (60, 40, 3)
    assert (images.check(data, "content", 100).width, images.check(data, "content", 100).height) == (
        40,
        60,
    )


def frames() -> list[Image.Image]:
    return [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_moving_pictures_are_refused(format: str) -> None:
    first, *rest = frames()
    data = save(first, format, save_all=True, append_images=rest)
    with pytest.raises(InvalidInput, match="content: is animated") as caught:
        decode(data)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "content: is empty"),
        (b"Dear farm, this is a letter", "content: is not a JPEG, PNG, WebP or TIFF picture"),
        (save(Image.new("RGB", (300, 300), "teal"), "JPEG")[:600], "content: is damaged or incomplete"),
        (save(Image.new("RGB", (30, 30)), "GIF"), "content: is not a JPEG, PNG, WebP or TIFF"),
        (png_header(300, 300), "content: is damaged or incomplete"),
        (save(Image.new("RGB", (640, 20)), "PNG"), "content: is 640 x 20 px; sides may be 1 : 20"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(data)
    assert says in str(caught.value)
    assert isinstance(caught.value, NotAPicture) == ("empty" not in says and "sides" not in says)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    bomb = png_header(60_000, 60_000)
    assert len(bomb) < 2000
    with pytest.raises(TooLarge, match=r"60000 x 60000 px \(3600 megapixels\); the limit is 100"):
        decode(bomb)


def test_a_small_style_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidInput, match="style: is 20 x 20 px; it needs at least 64 px"):
        images.check(save(Image.new("RGB", (20, 20)), "PNG"), "style", 100, shortest=64)


@pytest.mark.parametrize("suffix", images.SUFFIXES)
def test_every_format_carries_the_recipe_and_the_profile(suffix: str) -> None:
    recipe = Recipe(size=300).model_dump_json()
    data = images.encode(Image.new("RGB", (30, 20), "teal"), suffix, recipe)
    assert images.embedded_recipe(data) == recipe
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == images.SRGB


def test_the_same_picture_gives_the_same_file() -> None:
    picture = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    one, other = (images.encode(images.to_image(picture), ".png", "{}") for _ in range(2))
    assert one == other


def test_rounding_is_to_nearest() -> None:
    picture = np.array([[[0.0, 1.0, 0.5], [-1.0, 2.0, 254.6 / 255]]], dtype=np.float32)
    assert np.asarray(images.to_image(picture)).tolist() == [[[0, 255, 128], [0, 255, 255]]]


def test_a_preview_is_no_larger_than_asked_for() -> None:
    picture = np.zeros((300, 600, 3), dtype=np.float32)
    with Image.open(io.BytesIO(images.preview(picture, 200))) as image:
        assert image.size == (200, 100)
