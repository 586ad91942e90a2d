"""Pictures in and out: what is odd is read right, what is wrong is named."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from farm.engine.optimise import to_numpy
from farm.engine.pyramid import shrink, to_tensor
from farm.errors import InvalidInput, NotAPicture, TooLarge
from farm.pictures import decode, deflate, encode, jpeg, pixels
from farm.pictures.encode import (
    EXIF_DESCRIPTION,
    compose_description,
    encode_picture,
    read_embedded_recipe,
)
from farm.pictures.pixels import Picture
from farm.recipe import Recipe, formats
from farm.recipe.formats import FORMATS, Format


def save(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Picture:
    return decode.decode(data, "content", 100)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_ordinary_picture_is_float_rgb() -> None:
    picture = decoded(save(Image.new("RGB", (40, 30), (255, 0, 51)), "PNG"))
    assert picture.shape == (30, 40, 3)
    assert picture.dtype == np.float32
    assert picture[0, 0].tolist() == pytest.approx([1, 0, 0.2])


def test_sixteen_bit_grey_is_rescaled_and_not_clipped() -> None:
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    picture = decoded(save(Image.fromarray(values), "PNG"))
    assert picture[..., 0].mean() == pytest.approx(0.5, abs=0.01)
    assert picture[0, 0, 0] == 0
    assert picture[-1, -1, 0] == 1


def test_hidden_colours_of_transparent_pixels_stay_hidden() -> None:
    transparent_red = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (decoded(save(transparent_red, "PNG")) == 1).all()


@pytest.mark.parametrize("transparency", [0, b"\x00"])
def test_transparent_palettes_are_composited(transparency: object) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([255, 0, 0] + [0, 0, 0] * 255)
    assert (decoded(save(image, "PNG", transparency=transparency)) == 1).all()


@pytest.mark.parametrize("options", [{}, {"icc_profile": jpeg.SRGB}])
def test_cmyk_becomes_rgb_even_with_a_profile_for_something_else(options: dict[str, bytes]) -> None:
    picture = decoded(save(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", **options))
    red, green, blue = picture[10, 10]
    assert red > 0.8
    assert green < 0.3
    assert blue < 0.3


def test_a_profile_is_converted_to_srgb() -> None:
    # Given a profile whose red primary is sRGB's blue and the other way round
    swapped = jpeg.SRGB.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    picture = decoded(save(Image.new("RGB", (20, 20), (255, 64, 0)), "PNG", icc_profile=swapped))
    assert picture[0, 0].tolist() == pytest.approx([0, 64 / 255, 1], abs=0.02)


def test_a_broken_profile_is_taken_as_srgb() -> None:
    image = Image.new("RGB", (20, 20), (10, 200, 30))
    assert np.array_equal(
        decoded(save(image, "PNG", icc_profile=b"no profile")), decoded(save(image, "PNG"))
    )


def test_a_photograph_held_sideways_comes_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to view
    data = save(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    assert decoded(data).shape == (60, 40, 3)
    assert (decode.check(data, "content", 100).width, decode.check(data, "content", 100).height) == (
        40,
        60,
    )


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_large_picture_held_sideways_is_told_of_upright(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    checked = decode.check(save(Image.new("RGB", (4001, 301)), format, exif=exif), "content", 100)
    assert (checked.width, checked.height) == (301, 4001)
    with Image.open(io.BytesIO(checked.thumbnail)) as thumbnail:
        assert thumbnail.size == (72, 960)


def photograph(height: int, width: int) -> Image.Image:
    """Smooth and sharp things, and noise."""
    y, x = np.mgrid[0:height, 0:width]
    values = np.stack([x * 255 / width, y * 255 / height, (x // 40 + y // 40) % 2 * 200], axis=-1)
    values += np.random.default_rng(0).normal(0, 6, values.shape)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(("format", "options"), [("JPEG", {}), ("PNG", {"compress_level": 1})])
def test_a_thumbnail_looks_as_if_made_of_every_pixel(format: str, options: dict[str, int]) -> None:
    data = save(photograph(250, 4000), format, **options)
    made = decode.check(data, "content", 100).thumbnail
    with Image.open(io.BytesIO(data)) as image:
        plainly = save(image.resize((960, 60), Image.Resampling.LANCZOS), "JPEG", quality=85)
    with Image.open(io.BytesIO(made)) as one, Image.open(io.BytesIO(plainly)) as other:
        difference = np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32))
    assert difference.mean() < 2  # of 255; before they were written as JPEG it was 0.5 to 0.7


@pytest.mark.slow
def test_a_damaged_jpeg_is_refused_at_a_half_of_its_size_as_at_the_whole() -> None:
    # Given JPEGs large enough to be read at a half of their size, each cut or damaged somewhere
    whole, chance = save(photograph(200, 3900), "JPEG"), np.random.default_rng(1)
    progressive = save(photograph(200, 3900), "JPEG", progressive=True)
    refused = []
    for number in range(60):
        data = bytearray(progressive if number % 2 else whole)
        at = int(chance.integers(20, len(data)))
        if number % 3:
            data[at : at + 20] = chance.bytes(20)
        else:
            del data[at:]

        # Then what reads each pixel and what makes a thumbnail say the same
        said = [refusal(read, bytes(data)) for read in (decode.decode, decode.check)]
        assert said[0] == said[1]
        refused.append(said[0] is not None)
    assert 10 < sum(refused) < 60


def refusal(read: Callable[..., object], data: bytes) -> str | None:
    try:
        read(data, "content", 100)
    except InvalidInput as error:
        return f"{type(error).__name__} {error}"
    return None


def lossless_jpeg(width: int, height: int) -> bytes:
    """Even grey, in the process of JPEG that has no smaller sizes (ITU-T T.81, annex H): each sample is
    as foretold, which is one bit 0."""

    def segment(kind: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body

    frame = segment(0xC3, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    table = segment(0xC4, b"\0" + b"\1" + bytes(15) + b"\0")
    scan = segment(0xDA, b"\1" + b"\1\0" + b"\1\0\0")
    return b"\xff\xd8" + frame + table + scan + bytes(width * height // 8 + 1) + b"\xff\xd9"


def test_a_large_lossless_jpeg_is_taken() -> None:
    checked = decode.check(lossless_jpeg(4000, 300), "content", 100)
    assert (checked.width, checked.height) == (4000, 300)


def frames() -> list[Image.Image]:
    return [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]


def test_a_cameras_jpeg_with_several_pictures_is_its_first() -> None:
    first, *rest = frames()
    data = save(first, "MPO", save_all=True, append_images=rest)
    assert decoded(data).mean(axis=(0, 1)) == pytest.approx([1, 0, 0], abs=0.02)
    assert decode.check(data, "content", 1).width == 40


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_moving_pictures_are_refused(format: str) -> None:
    first, *rest = frames()
    data = save(first, format, save_all=True, append_images=rest)
    with pytest.raises(InvalidInput, match="content: is animated") as caught:
        decoded(data)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "content: is empty"),
        (
            b"Dear farm, this is a letter",
            "content: is not a JPEG, PNG, WebP, TIFF, AVIF or HEIC picture",
        ),
        (save(Image.new("RGB", (300, 300), "teal"), "JPEG")[:600], "content: is damaged or incomplete"),
        (
            save(Image.new("RGB", (30, 30)), "GIF"),
            "content: is a GIF, not a JPEG, PNG, WebP, TIFF, AVIF or HEIC picture",
        ),
        (png_header(300, 300), "content: is damaged or incomplete"),
        (save(Image.new("RGB", (640, 20)), "PNG"), "content: is 640 x 20 px; sides may be 1 : 20"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decoded(data)
    assert says in str(caught.value)
    assert isinstance(caught.value, NotAPicture) == ("empty" not in says and "sides" not in says)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    bomb = png_header(60_000, 60_000)
    assert len(bomb) < 2000
    with pytest.raises(TooLarge, match=r"60000 x 60000 px \(3600 megapixels\); the limit is 100"):
        decoded(bomb)


def test_a_small_style_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidInput, match="style: is 20 x 20 px; it needs at least 64 px"):
        decode.check(save(Image.new("RGB", (20, 20)), "PNG"), "style", 100, shortest=64)


def random_picture(height: int, width: int) -> Picture:
    return np.random.default_rng(0).random((height, width, 3), dtype=np.float32)


def png_values(data: bytes) -> NDArray[np.integer]:
    """uint16 (H, W, 3) of a 16-bit RGB PNG: the plainest reader."""
    at, header, packed = 8, b"", b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    width, height, bits, colour = struct.unpack(">IIBB", header[:10])
    assert (bits, colour) == (16, 2)
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 6 * width)
    return unfiltered(rows, 6).view(">u2").reshape(height, width, 3)


def unfiltered(rows: NDArray[np.uint8], pixel: int) -> NDArray[np.uint8]:
    """Each row without its filter (PNG, section 9), one byte after the other."""
    out = np.zeros((len(rows) + 1, pixel + rows.shape[1] - 1), np.uint8)  # zeros above and to the left
    for y, (number, *row) in enumerate(rows.tolist(), 1):
        for x, byte in enumerate(row, pixel):
            a, b, c = (int(out[at]) for at in ((y, x - pixel), (y - 1, x), (y - 1, x - pixel)))
            out[y, x] = (byte + [0, a, b, (a + b) // 2, paeth(a, b, c)][number]) % 256
    return out[1:, pixel:].copy()


def paeth(a: int, b: int, c: int) -> int:
    """As PNG's section 9.4 has it."""
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    if pa <= pb and pa <= pc:
        return a
    return b if pb <= pc else c


def values_of(data: bytes, format: Format) -> NDArray[np.integer]:
    """What a file holds, by a reader that did not write it."""
    if format == "png16":
        return png_values(data)
    if format == "tiff16":
        return tifffile.imread(io.BytesIO(data))
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


# One row, one column, a whole strip, a strip and a row, odd sizes.
SIZES = [(1, 7), (7, 1), (pixels.STRIP, 20), (pixels.STRIP + 1, 33), (131, 67)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("format", ["png", "png16", "tiff16"])
def test_what_is_lossless_comes_back_within_one_quantum(format: Format, height: int, width: int) -> None:
    picture = random_picture(height, width)
    top = 2 ** FORMATS[format].bits - 1
    values = values_of(encode_picture(picture, format), format)
    assert values.shape == (height, width, 3)
    assert np.abs(values - picture.astype(np.float64) * top).max() <= 0.51


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_what_is_not_lossless_comes_back_nearly(format: Format) -> None:
    y, x = np.mgrid[0:131, 0:67] / np.float32(131)
    picture = np.stack([y, x, 1 - y], axis=-1).astype(np.float32)
    values = values_of(encode_picture(picture, format), format)
    assert np.abs(values / 255 - picture).mean() < 0.01


@pytest.mark.parametrize("format", ["png", "png16", "tiff16"])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_strips_may_have_any_number_of_rows(
    format: Format, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = random_picture(5, 9)
    expected = values_of(encode_picture(picture, format), format)
    monkeypatch.setattr(deflate, "choose_strip_rows", lambda _: rows)
    assert np.array_equal(values_of(encode_picture(picture, format), format), expected)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_carries_the_recipe_and_the_profile(format: Format) -> None:
    recipe = Recipe(size=300, format=format).model_dump_json()
    data = encode_picture(random_picture(20, 30), format, recipe)
    assert read_embedded_recipe(data) == recipe
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == jpeg.SRGB
        assert (image.get_format_mimetype(), image.size) == (FORMATS[format].mime, (30, 20))


@pytest.mark.parametrize("format", FORMATS)
def test_the_description_is_a_sentence_beside_the_recipe(format: Format) -> None:
    sentence = compose_description("Hafen bei Föhr.jpg", ["wave.jpg", None])
    assert sentence == "Hafen bei Föhr.jpg in the style of wave.jpg and a painting, made with Style Farm"
    data = encode_picture(random_picture(20, 30), format, '{"size":300}', sentence)
    assert read_embedded_recipe(data) == '{"size":300}'
    assert sentence.encode() in data
    with Image.open(io.BytesIO(data)) as image:
        found = image.info.get("Description") or image.getexif()[EXIF_DESCRIPTION].encode("latin-1")
    assert found in (sentence, sentence.encode())


def test_what_is_not_known_of_the_sources_is_left_out_of_the_description() -> None:
    told = "A photograph in the style of a painting, made with Style Farm"
    assert compose_description(None, [None]) == told
    assert "of a, b and c, made" in compose_description("x", ["a", "b", "c"])


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF"])
def test_a_recipe_in_the_description_of_an_earlier_version_is_read(format: str) -> None:
    exif = Image.Exif()
    exif[EXIF_DESCRIPTION] = '{"size":300}'
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format, exif=exif)
    assert read_embedded_recipe(file.getvalue()) == '{"size":300}'


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_can_be_sent_to_a_farm_again(format: Format) -> None:
    picture = np.full((20, 30, 3), 0.5, np.float32)
    again = decoded(encode_picture(picture, format))
    assert np.abs(again - picture).max() <= 1.5 / 255


@pytest.mark.parametrize("format", FORMATS)
def test_without_a_recipe_nothing_is_embedded(format: Format) -> None:
    assert read_embedded_recipe(encode_picture(random_picture(20, 30), format)) is None


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_picture_gives_the_same_file(format: Format) -> None:
    one, other = (encode_picture(random_picture(20, 30), format, "{}") for _ in range(2))
    assert one == other


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_large_picture_is_encoded_without_a_copy_of_it(
    format: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deflate, "count_threads", lambda: 2)  # each holds some strips
    # Given a picture of 50 MB, whose size in 16 bits is 25
    picture = np.broadcast_to(np.linspace(0, 1, 4096, dtype=np.float32)[:, None], (1024, 4096, 3))
    picture = np.ascontiguousarray(picture)

    # When it is written to a file
    with (tmp_path / "picture").open("w+b") as file:
        tracemalloc.start()
        encode.write(picture, format, file, "{}")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    # Then NumPy and Python held a few strips, never a picture (Pillow's own 8 bits are not counted)
    assert most < picture.nbytes / 4


def test_a_large_picture_is_decoded_into_itself_and_strips() -> None:
    data = save(Image.new("RGB", (4096, 1024), "teal"), "PNG")
    tracemalloc.start()
    picture = decoded(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.1 * picture.nbytes


@pytest.mark.parametrize(
    ("ending", "wanted", "chosen"),
    [
        (".png", None, "png"),
        (".png", "png16", "png16"),
        (".TIF", None, "tiff16"),
        (".tiff", "tiff16", "tiff16"),
        (".jpeg", None, "jpeg"),
        (".webp", "webp", "webp"),
    ],
)
def test_the_ending_chooses_the_format(ending: str, wanted: Format | None, chosen: str) -> None:
    assert formats.find_format(ending, wanted).name == chosen


@pytest.mark.parametrize(
    ("ending", "wanted", "says"),
    [
        (".bmp", None, "output: ends in .bmp; it must be one of .png, .jpg, .jpeg, .webp, .tif, .tiff"),
        ("", "png", "output: ends in nothing"),
        (".jpg", "png16", "format: png16 goes into a file that ends in .png; the output ends in .jpg"),
        (".png", "tiff16", "format: tiff16 goes into a file that ends in .tif or .tiff"),
    ],
)
def test_an_ending_that_contradicts_is_named(ending: str, wanted: Format | None, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        formats.find_format(ending, wanted)
    assert says in str(caught.value)


@pytest.mark.parametrize("format", ["png16", "tiff16"])
def test_sixteen_bit_colours_are_read_as_eight(format: Format) -> None:
    ramp = np.linspace(0, 1, 20 * 30 * 3, dtype=np.float32).reshape(20, 30, 3)
    picture = decoded(encode_picture(ramp, format))
    assert np.abs(picture - ramp).max() <= 1 / 255


def test_rounding_is_to_nearest() -> None:
    picture = np.array([[[0.0, 1.0, 0.5], [-1.0, 2.0, 254.6 / 255]]], dtype=np.float32)
    assert np.asarray(encode.to_image(picture)).tolist() == [[[0, 255, 128], [0, 255, 255]]]


@pytest.mark.parametrize(("height", "width"), [(300, 600), (900, 1801), (150, 300), (1303, 2605)])
def test_a_preview_is_no_larger_than_asked_for(height: int, width: int) -> None:
    # Given a picture that is dark on the left and bright on the right
    picture = np.zeros((height, width, 3), dtype=np.float32)
    picture[:, width // 2 :] = 1
    with Image.open(io.BytesIO(encode.encode_preview(picture, 200))) as image:
        assert image.size == (200, 100)
        values = np.asarray(image)
    assert values[:, :95].max() < 20
    assert values[:, 105:].min() > 235


@pytest.mark.parametrize(("height", "width"), [(150, 300), (450, 901), (652, 1303), (1303, 652)])
def test_a_preview_of_what_a_device_has_shrunk_is_that_of_the_whole_picture(
    height: int, width: int
) -> None:
    picture = np.asarray(photograph(height, width), np.float32) / np.float32(255)
    small = to_numpy(shrink(to_tensor(picture, torch.device("cpu")), 100))
    assert max(small.shape) < 4 * 100 < max(small.shape) + 201
    one, other = (
        np.asarray(Image.open(io.BytesIO(encode.encode_preview(each, 100))), np.float32)
        for each in (small, picture)
    )
    assert one.shape == other.shape
    assert np.abs(one - other).mean() < 1


def test_shrinking_averages_squares_of_pixels() -> None:
    picture = np.zeros((pixels.STRIP * 3 + 1, 7, 3), dtype=np.float32)
    picture[::3, ::3] = 1
    values = np.asarray(encode.to_image(picture, 3))
    assert values.shape == (pixels.STRIP + 1, 3, 3)
    assert (values[:-1, :-1] == 28).all()  # 255 / 9


def test_a_picture_is_viewed_at_its_full_size() -> None:
    buffer = io.BytesIO()
    encode.write_view(random_picture(131, 67), buffer)
    with Image.open(buffer) as image:
        assert (image.format, image.size, image.info["icc_profile"]) == ("JPEG", (67, 131), jpeg.SRGB)
