"""Files as people's programs write them: samples of each kind come out as what they mean, or are refused
in words; what is cut is refused; nothing beside the pixels matters, and none of it leaves the farm."""

from __future__ import annotations

import base64
import io
import re
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from farm.errors import InvalidInput, NotAPicture
from farm.pictures import decode, kinds, read_jpeg
from farm.pictures.kinds import KINDS
from farm.pictures.pixels import Picture
from farm.recipe.formats import UPLOADED
from tests.pictures.chart import (
    ALPHA,
    CHART,
    GREY,
    RGB,
    Pixels,
    chunk,
    compress_lzw,
    decode_srgb,
    differentiate,
    differentiate_floats,
    encode_srgb,
    pack_bits,
    png,
    png_of_rows,
    profile,
    quantise,
    save,
    tiff,
)

STEP = 1.01 / 255
SIZE = (48, 32)
BEST_AVIF: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4"}
ON_ITS_SIDE = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + bytes(4)
OVER_WHITE = RGB * ALPHA[..., None] + 1 - ALPHA[..., None]
LIGHT = decode_srgb(RGB)


def read(data: bytes) -> Picture:
    return decode.decode(data, "content", 100)


def refusal(data: bytes) -> str:
    """The one message by which upload and worker refuse it."""
    said = []
    for judge in (decode.check, decode.decode):
        with pytest.raises(NotAPicture) as caught:
            judge(data, "content", 100)
        said.append(caught.value.problems[0].message)
    assert said[0] == said[1]
    return said[0]


def assert_shows(data: bytes, expected: Pixels, tolerance: float = STEP) -> None:
    expected = expected if expected.ndim == 3 else expected[..., None]
    picture = read(data)
    assert picture.shape == (32, 48, 3)
    assert np.abs(picture - expected).max() <= tolerance


# TIFF --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f2", "f4", "f8"])
def test_tiffs_of_any_depth_and_layout_are_read(kind: str, order: Literal["<", ">"]) -> None:
    packings: list[dict[str, Any]] = [{}, {"tile": (48, 32)}, {"compression": "zlib", "rowsperstrip": 5}]
    for options in packings:
        for samples, more, expected in layouts(kind):
            buffer = io.BytesIO()
            with tifffile.TiffWriter(buffer, byteorder=order) as file:
                file.write(samples, metadata=None, software=False, **options, **more)
            assert_shows(buffer.getvalue(), expected, 3 / 255 if "assocalpha" in str(more) else STEP)


def layouts(kind: str) -> Iterator[tuple[NDArray[Any], dict[str, Any], Pixels]]:
    """Samples, how they are to be written, and what they show."""
    rgb, grey = quantise(RGB, kind), quantise(GREY, kind)
    alpha = quantise(ALPHA, kind)[..., None]
    rgba = np.concatenate([rgb, alpha], axis=-1)
    premultiplied = np.concatenate([quantise(RGB * ALPHA[..., None], kind), alpha], axis=-1)
    together: dict[str, Any]
    straight: dict[str, Any]
    together, apart = {"planarconfig": "contig"}, {"planarconfig": "separate"}
    straight = {"extrasamples": ["unassalpha"]}
    yield rgb, {"photometric": "rgb"} | together, RGB
    yield rgb.transpose(2, 0, 1).copy(), {"photometric": "rgb"} | apart, RGB
    yield grey, {"photometric": "minisblack"}, GREY
    yield quantise(1 - GREY, kind), {"photometric": "miniswhite"}, GREY
    yield rgba, {"photometric": "rgb"} | together | straight, OVER_WHITE
    yield rgba.transpose(2, 0, 1).copy(), {"photometric": "rgb"} | apart | straight, OVER_WHITE
    yield premultiplied, {"photometric": "rgb", "extrasamples": ["assocalpha"]} | together, OVER_WHITE
    both = np.stack([grey, alpha[..., 0]], axis=-1)
    yield both, {"photometric": "minisblack"} | together | straight, GREY * ALPHA + 1 - ALPHA


@pytest.mark.parametrize("order", "<>")
def test_compressed_differences_of_samples_are_undone(order: str) -> None:
    deep = quantise(RGB, "u2").astype(f"{order}u2")
    lzw: dict[str, Any] = {"tag_259": 5}
    differences: dict[str, Any] = {"tag_317": 2}
    assert_shows(tiff([compress_lzw(deep.tobytes())], SIZE, 16, 3, 2, order, **lzw), RGB)
    packed = compress_lzw(differentiate(deep).tobytes())
    assert_shows(tiff([packed], SIZE, 16, 3, 2, order, **lzw, **differences), RGB)
    halves = [
        compress_lzw(differentiate(deep[rows, :, channel : channel + 1]).tobytes())
        for channel in range(3)
        for rows in (slice(16), slice(16, 32))
    ]
    assert_shows(tiff(halves, SIZE, 16, 3, 2, order, **lzw, **differences, tag_284=2), RGB)
    for kind in ("f2", "f4", "f8"):
        bits = np.dtype(kind).itemsize * 8
        packed = zlib.compress(differentiate_floats(RGB.astype(kind)))
        floats: dict[str, Any] = {"tag_259": 8, "tag_317": 3, "tag_339": (3, 3, 3)}
        assert_shows(tiff([packed], SIZE, bits, 3, 2, order, **floats), RGB)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 10, 12, 14])
def test_tiffs_of_odd_bits_are_scaled_to_white(bits: int) -> None:
    most = 2**bits - 1
    grey, rgb = np.round(GREY * most).astype(np.uint16), np.round(RGB * most).astype(np.uint16)
    rows = b"".join(pack_bits(row, bits) for row in grey)
    assert_shows(tiff([rows], SIZE, bits, 1, 1), grey / most)
    assert_shows(tiff([rows], SIZE, bits, 1, 0), 1 - grey / most)
    rows = b"".join(pack_bits(row.ravel(), bits) for row in rgb)
    assert_shows(tiff([rows], SIZE, bits, 3, 2), rgb / most)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_inks_with_and_without_transparency_are_read(kind: str) -> None:
    inks = np.concatenate([1 - RGB, np.zeros((32, 48, 1)), ALPHA[..., None]], axis=-1)
    samples, bits = quantise(inks, kind), np.dtype(kind).itemsize * 8
    near = 3 / 255
    four = np.ascontiguousarray(samples[..., :4]).tobytes()
    assert_shows(tiff([four], SIZE, bits, 4, 5), RGB, near)
    assert_shows(tiff([samples.tobytes()], SIZE, bits, 5, 5, tag_338=2), OVER_WHITE, near)
    assert_shows(tiff([samples.tobytes()], SIZE, bits, 5, 5, tag_338=0), RGB, near)  # a spot colour
    planes = [np.ascontiguousarray(plane).tobytes() for plane in samples.transpose(2, 0, 1)]
    assert_shows(tiff(planes, SIZE, bits, 5, 5, tag_338=2, tag_284=2), OVER_WHITE, near)


@pytest.mark.parametrize("times", [4, 1000])
def test_a_picture_of_high_range_is_not_black(times: float) -> None:
    # Given floats in 0..1, but for a light that is many times as bright as white
    values = RGB.astype(np.float32)
    values[:4, :4] = times
    data = tiff([values.tobytes()], SIZE, 32, 3, 2, tag_339=(3, 3, 3))
    expected = RGB.copy()
    expected[:4, :4] = 1
    assert_shows(data, expected)


def test_floats_that_are_no_numbers_are_black() -> None:
    values = RGB.astype(np.float32)
    values[:4, :4] = np.nan
    expected = RGB.copy()
    expected[:4, :4] = 0
    assert_shows(tiff([values.tobytes()], SIZE, 32, 3, 2, tag_339=(3, 3, 3)), expected)


def test_a_reduced_page_is_no_second_picture_and_another_is() -> None:
    small = CHART[::2, ::2].copy()
    page: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    for first, second in (((CHART, 0), (small, 1)), ((small, 1), (CHART, 0))):
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as file:
            for pixels, kind in (first, second):
                file.write(pixels, subfiletype=kind, **page)
        assert_shows(buffer.getvalue(), RGB)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for _ in range(2):
            file.write(CHART, **page)
    with pytest.raises(InvalidInput, match="has several pages"):
        read(buffer.getvalue())


def test_tags_that_pixels_are_not_made_of_may_be_anything() -> None:
    odd: dict[str, Any] = {
        "tag_282": b"\x48",
        "tag_283": b"x" * 70,
        "tag_296": bytes(5),
        "tag_34665": 3,
        "tag_700": b"<",
    }
    assert_shows(tiff([CHART.tobytes()], SIZE, 8, 3, 2, **odd), RGB)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (tiff([CHART.tobytes()], SIZE, 8, 3, 2, tag_50706=b"\1\4\0\0"), "raw camera file"),
        (tiff([CHART[..., 0].tobytes()], SIZE, 8, 1, 32803), "raw camera file"),
        (tiff([quantise(GREY, "i2").tobytes()], SIZE, 16, 1, 1, tag_339=2), "signed"),
        (tiff([quantise(RGB, "u2").tobytes()], SIZE, 16, 3, 8), "another kind of colour"),
        (tiff([quantise(RGB, "u2").tobytes()], SIZE, 16, 3, 2, tag_259=34712), "compression 34712"),
    ],
)
def test_tiffs_that_are_not_read_are_named(data: bytes, says: str) -> None:
    message = refusal(data)
    assert says in message
    assert "damaged" not in message


@pytest.mark.parametrize("rows", [16, 300])
@pytest.mark.parametrize(
    ("kind", "options"),  # two dimensions, and lines that end with a byte
    [("group3", 0), ("group3", 1), ("group3", 4), ("group3", 5), ("group4", 0), ("tiff_ccitt", 0)],
)
def test_a_fax_with_bad_codes_is_damaged(kind: str, options: int, rows: int) -> None:
    lines = np.add.outer(np.arange(300), np.arange(400)) // 7 % 5 < 2
    tags = {278: rows} | ({292: options} if kind == "group3" else {})
    good = save(Image.fromarray(lines), "TIFF", compression=kind, tiffinfo=tags)
    assert np.array_equal(read(good)[..., 0] > 0.5, lines)
    for seed in range(3):
        data, random = bytearray(good), np.random.default_rng(seed)
        at = int(random.integers(200, len(data) - 400))
        data[at : at + 20] = random.bytes(20)
        assert "damaged" in refusal(bytes(data))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_that_lacks_data_is_damaged(bits: int) -> None:
    packed = zlib.compress(quantise(RGB, f"u{bits // 8}").tobytes())
    assert_shows(tiff([packed], SIZE, bits, 3, 2, tag_259=8), RGB)
    assert "damaged" in refusal(tiff([packed[:-100]], SIZE, bits, 3, 2, tag_259=8))


# PNG ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_pngs_of_any_depth_are_read_and_one_value_may_be_transparent(
    bits: int, interlaced: bool
) -> None:
    most = 2**bits - 1
    grey = np.round(GREY * most).astype(np.uint16 if bits == 16 else np.uint8)
    options: dict[str, Any] = {"bits": bits, "interlaced": interlaced}
    assert_shows(png(grey, **options), grey / most)
    key = int(grey[0, 40])
    seen = np.where(grey == key, 1, grey / most)
    assert_shows(png(grey, chunk(b"tRNS", struct.pack(">H", key)), **options), seen)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_pngs_of_any_kind_of_colour_are_read(kind: str, interlaced: bool) -> None:
    rgb, grey, alpha = (
        quantise(RGB, kind),
        quantise(GREY, kind)[..., None],
        quantise(ALPHA, kind)[..., None],
    )
    assert_shows(png(rgb, interlaced=interlaced), RGB)
    assert_shows(png(np.concatenate([rgb, alpha], axis=-1), interlaced=interlaced), OVER_WHITE)
    seen = GREY * ALPHA + 1 - ALPHA
    assert_shows(png(np.concatenate([grey, alpha], axis=-1), interlaced=interlaced), seen)


def test_sixteen_bits_are_not_eight() -> None:
    fine = np.tile(np.linspace(0.2, 0.21, 48), (32, 1))[..., None].repeat(3, axis=2)
    for data in (png(quantise(fine, "u2")), tiff([quantise(fine, "u2").tobytes()], SIZE, 16, 3, 2)):
        assert_shows(data, fine, 1e-4)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_the_very_colour_that_is_named_is_transparent(kind: str) -> None:
    # Given black parts, the colour named, and one that is near to it or has the same high bytes
    pixels = quantise(RGB, kind)
    pixels[8:16, :8], pixels[8:16, 8:16] = (5, 6, 7), (5, 6, 7 if kind == "u1" else 263)
    if kind == "u1":
        pixels[8:16, 8:16] = (5, 6, 8)
    seen = pixels / np.iinfo(kind).max
    seen[8:16, :8] = 1
    assert_shows(png(pixels, chunk(b"tRNS", struct.pack(">3H", 5, 6, 7))), seen)


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def iccp(data: bytes) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(data))


def cicp(*codes: int) -> bytes:
    return chunk(b"cICP", bytes(codes))


P3 = np.array([[0.8225, 0.1775, 0.0000], [0.0332, 0.9668, 0.0000], [0.0171, 0.0724, 0.9105]])
BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def encode_pq(light: Pixels) -> Pixels:
    """Light, 1 for 203 cd/m2 -> SMPTE ST 2084."""
    y = (light * 203 / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 18.8515625 * y) / (1 + 18.6875 * y)) ** (2523 / 32)


def encode_hlg(light: Pixels) -> Pixels:
    """Light, 1 for 203 cd/m2, on a display of 1000 -> ITU-R BT.2100."""
    shown = light * 0.203
    luminance = np.maximum(shown @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None]
    scene = shown * luminance ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


@pytest.mark.parametrize(
    ("signal", "chunks"),
    [
        (LIGHT, [gama(1)]),
        (LIGHT ** (1 / 1.8), [gama(1 / 1.8)]),
        (RGB, [gama(0.45455)]),
        (RGB, [gama(0)]),
        (RGB, [gama(1), chunk(b"sRGB", b"\0")]),
        (RGB, [gama(1), cicp(1, 13, 0, 1)]),
        (LIGHT, [gama(0.45455), iccp(profile(b"RGB "))]),
        (RGB, [iccp(b"no profile")]),
        (RGB, [chunk(b"iCCP", b"profile\0\0no deflate")]),
        (RGB, [iccp(profile(b"GRAY"))]),
        (RGB, [cicp(1, 13, 0, 1), iccp(profile(b"RGB "))]),
        (encode_srgb(LIGHT @ P3.T), [cicp(12, 13, 0, 1)]),
        (
            encode_srgb(LIGHT @ P3.T),
            [gama(0.45455), chrm(0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)],
        ),
        (RGB, [chrm(*[0] * 8)]),
        (encode_pq(LIGHT @ BT2020.T), [cicp(9, 16, 0, 1)]),
        (encode_hlg(LIGHT @ BT2020.T), [cicp(9, 18, 0, 1)]),
        ((RGB * 219 + 16) / 255, [cicp(1, 13, 0, 0)]),
    ],
)
def test_colour_chunks_count_in_their_order(signal: Pixels, chunks: list[bytes]) -> None:
    assert_shows(png(quantise(np.clip(signal, 0, 1), "u2"), *chunks), RGB, 2 / 255)


@pytest.mark.parametrize("codes", [(1, 10, 0, 1), (99, 13, 0, 1), (1, 13, 1, 1)])
def test_colours_that_nobody_knows_are_refused_by_name(codes: tuple[int, ...]) -> None:
    message = refusal(png(CHART, cicp(*codes)))
    assert "cICP" in message
    assert "save it as sRGB" in message


@pytest.mark.parametrize("deep", [False, True])
def test_grey_of_linear_light_is_right_where_it_is_dark(deep: bool) -> None:
    light = decode_srgb(GREY)
    samples = quantise(light, "u2" if deep else "u1")
    seen = encode_srgb(samples / (65535 if deep else 255))
    for space in (b"GRAY", b"RGB "):
        assert_shows(png(samples, iccp(profile(space))), seen, 2 / 255)
        alpha = np.full_like(samples, np.iinfo(samples.dtype).max)
        assert_shows(png(np.stack([samples, alpha], axis=-1), iccp(profile(space))), seen, 2 / 255)


def test_profiles_hold_for_sixteen_bits_and_floats_alike() -> None:
    deep = tiff([quantise(LIGHT, "u2").tobytes()], SIZE, 16, 3, 2, tag_34675=profile(b"RGB "))
    floats = LIGHT.astype(np.float32).tobytes()
    assert_shows(deep, RGB)
    assert_shows(tiff([floats], SIZE, 32, 3, 2, tag_339=(3, 3, 3), tag_34675=profile(b"RGB ")), RGB)


def test_a_profile_as_large_as_those_of_printers_is_used() -> None:
    large = profile(b"RGB ") + np.random.default_rng(0).bytes(3_000_000)
    large = struct.pack(">I", len(large)) + large[4:]
    assert_shows(png(quantise(LIGHT, "u2"), iccp(large)), RGB)


def test_text_is_not_inflated_however_much_there_is() -> None:
    bomb = zlib.compress(bytes(50_000_000), 9)
    text = [chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iTXt", b"b\0\1\0\0\0" + bomb)] * 3
    data = png(CHART, *text, *[chunk(b"tEXt", b"c\0" + b"x" * 1000)] * 200)
    tracemalloc.start()
    assert_shows(data, RGB)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000


ROWS = b"".join(b"\0" + row.tobytes() for row in CHART)


def test_a_png_without_its_end_is_whole_and_one_without_all_rows_is_not() -> None:
    whole = png_of_rows(ROWS, SIZE, 8, 2)
    assert_shows(whole[:-12], RGB)
    assert_shows(whole[:-16], RGB)  # nor the checksum before it
    assert "damaged" in refusal(png_of_rows(ROWS[: len(ROWS) // 2], SIZE, 8, 2))
    assert "damaged" in refusal(png_of_rows(ROWS[:-1], SIZE, 8, 2))
    assert "damaged" in refusal(whole[:-80])


# JPEG --------------------------------------------------------------------------------------------

JPEG = save(Image.fromarray(CHART), "JPEG", quality=95, subsampling=0)
PROGRESSIVE = save(Image.fromarray(CHART), "JPEG", quality=95, subsampling=0, progressive=True)
JPEGS = {
    "sequential": JPEG,
    "progressive": PROGRESSIVE,
    "4:2:0": save(Image.fromarray(CHART), "JPEG"),
    "with restarts": save(Image.fromarray(CHART), "JPEG", restart_marker_rows=1),
    "grey": save(Image.fromarray(CHART).convert("L"), "JPEG"),
    "CMYK": save(Image.fromarray(CHART).convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_may_lack_its_end_marker_and_nothing_else(name: str) -> None:
    whole = JPEGS[name]
    assert np.array_equal(read(whole[:-2]), read(whole))
    assert np.array_equal(read(whole[:-1]), read(whole))
    for cut in range(whole.index(b"\xff\xda") + 14, len(whole) - 4, 29):
        for end in (b"", b"\xff\xd9"):
            assert "damaged or incomplete" in refusal(whole[:cut] + end)


def test_a_jpeg_may_end_as_decoders_fill_up_what_is_missing() -> None:
    # Given a picture whose last block is in the middle, and the code that a missing one begins with, too
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48), np.uint8)
    pixels[-8:, -8:] = 128
    whole = save(Image.fromarray(pixels), "JPEG", quality=95)
    assert read_jpeg._decode_extended(read_jpeg._take_apart(whole), 1) is None
    # Then it is whole, and without its last blocks it is not
    assert read(whole).shape == (32, 48, 3)
    assert "damaged or incomplete" in refusal(whole[:-40] + b"\xff\xd9")


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_part_of_the_sides_is_decoded_once_to_the_last_line(
    factor: int, subsampling: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a picture of a few whole blocks and a line more
    pixels = np.random.default_rng(0).integers(0, 256, (65, 97, 3), np.uint8)
    data = save(Image.fromarray(pixels), "JPEG", quality=90, subsampling=subsampling)
    with Image.open(io.BytesIO(data)) as plain:
        plain.draft(None, (97 // factor, 65 // factor))
        expected = np.asarray(plain)
    # When fewer pixels are enough
    decoded = []
    load = read_jpeg._load
    monkeypatch.setattr(read_jpeg, "_load", lambda *given: decoded.append(given) or load(*given))
    raster, _ = read_jpeg.open_picture(data).read(97 // factor)
    # Then one pass over its data was enough, too, and no line is another
    assert np.array_equal(np.asarray(raster.samples), expected)
    assert len(decoded) == 1


def drop_scan(data: bytes, dropped: int) -> bytes:
    """The file without one of its scans, header and data."""
    begins = [found.start() for found in re.finditer(b"\xff\xda", data)] + [len(data) - 2]
    tables = re.compile(b"\xff\xc4").search(data, begins[dropped] + 2)  # of the next one
    end = min(tables.start() if tables else len(data), begins[dropped + 1])
    return data[: begins[dropped]] + data[end:]


def test_a_progressive_jpeg_without_one_of_its_scans_is_incomplete() -> None:
    scans = len(re.findall(b"\xff\xda", PROGRESSIVE))
    assert scans == 10
    for number in range(scans):
        assert "damaged or incomplete" in refusal(drop_scan(PROGRESSIVE, number))


def test_a_jpeg_cut_between_two_scans_is_incomplete() -> None:
    for found in list(re.finditer(b"\xff\xda", PROGRESSIVE))[1:]:
        assert "damaged or incomplete" in refusal(PROGRESSIVE[: found.start()] + b"\xff\xd9")


@pytest.mark.parametrize(
    "options",
    [
        {"restart_marker_rows": 1},
        {"restart_marker_blocks": 1, "subsampling": 2},
        {"restart_marker_blocks": 4, "subsampling": 0},
        {"restart_marker_blocks": 5, "progressive": True},
    ],
    ids=str,
)
def test_a_jpeg_that_lacks_what_is_between_two_restarts_is_incomplete(options: dict[str, Any]) -> None:
    whole = save(Image.fromarray(CHART), "JPEG", quality=85, **options)
    assert read(whole).shape == (32, 48, 3)
    restarts = [found.start() for found in re.finditer(b"\xff[\xd0-\xd7]", whole)]
    for first, second in zip(restarts, [*restarts[1:], len(whole) - 2], strict=True):
        assert "data are missing" in refusal(whole[:first] + b"\xff\xd9")
        assert "damaged or incomplete" in refusal(whole[: first + 1])
        assert "data are missing" in refusal(whole[:first] + whole[second:])


@pytest.mark.parametrize("marker", [b"\xff\xc0", b"\xff\xda"])
@pytest.mark.parametrize("body", [b"", b"\x08\0", b"\x08\0\x20\0\x30\xc8\1\x11\0"])
def test_headers_that_are_too_short_are_said_to_make_no_sense(marker: bytes, body: bytes) -> None:
    at = JPEG.index(marker)
    (length,) = struct.unpack_from(">H", JPEG, at + 2)
    forged = marker + struct.pack(">H", 2 + len(body)) + body
    assert "its header makes no sense" in refusal(JPEG[:at] + forged + JPEG[at + 2 + length :])


def comment(text: bytes) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(30)]
)
def test_nothing_but_pixels_matters_to_a_jpeg(exif: bytes) -> None:
    odd = save(Image.fromarray(CHART), "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + exif)
    odd = odd[:2] + b"\xff\xff\xff" + comment(b"x" * 65_000) * 3 + odd[2:] + b"rubbish" * 100
    assert np.array_equal(read(odd), read(JPEG))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_one_tag_of_exif_turns_a_picture_however_odd_the_others_are(kind: str) -> None:
    resolution = struct.pack("<HHII", 0x11A, 1, 1, 0x48)  # a RATIONAL that says to be one BYTE
    orientation = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
    odd = b"II*\0\x08\0\0\0\x02\0" + resolution + orientation + bytes(4)
    sideways = np.ascontiguousarray(np.rot90(CHART))
    if kind == "PNG":
        data = png(sideways, chunk(b"eXIf", odd))
    else:
        options: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "AVIF": BEST_AVIF}
        usual = {"quality": 95, "subsampling": 0}
        written = ON_ITS_SIDE if kind == "AVIF" else b"Exif\0\0" + odd  # Pillow cannot write it there
        data = save(Image.fromarray(sideways), kind, exif=written, **options.get(kind, usual))
    assert_shows(data, RGB, 6 / 255)


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(orientation: int, kind: str) -> None:
    stored = {
        1: CHART,
        2: CHART[:, ::-1],
        3: CHART[::-1, ::-1],
        4: CHART[::-1],
        5: CHART.transpose(1, 0, 2),
        6: np.rot90(CHART),
        7: CHART[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(CHART, -1),
    }[orientation]
    samples = quantise(np.ascontiguousarray(stored) / 255, kind)
    bits, (height, width, _) = np.dtype(kind).itemsize * 8, samples.shape
    assert_shows(tiff([samples.tobytes()], (width, height), bits, 3, 2, tag_274=orientation), RGB)


# AVIF, HEIC, and what is none of all these -------------------------------------------------------

# The grey chart, 4:2:0, to be turned, with EXIF that holds SECRET; made once: tests need no encoder.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAA"
    "AAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAPEAAgAAAAAC3QABAAAAAAAAAD4AAAA4aWluZgAAAAAAAgAAAB"
    "VpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAA"
    "HZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMA"
    "kAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGU"
    "AAAAAAAAAQAAAAEAAAAAoY2xhcAAAACAAAAABAAAAMAAAAAH////gAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAAA"
    "lpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAATdtZGF0AAAA7SgBr"
    "wa4R1pBzz/TLy8ZPPNvu1e7hzBA2i/kbvl9MIJLp+f58oYVb7on/acMmlotYTjbVRpQVtWConfRTBLGW1f+fQsglzM1cfqJ"
    "U8BYOj5iX/ZOUitsx0MQteisXndHodPEacEy2/Lsg+X8nCQ6iX2UCKfUabsYz3+23fZKxC5P9/O/zNa+m724hxfWXtcsk7y"
    "4ppPHYq45M/AKNYE2xZz6grvnQDd/YBNOXzjLwN4eu9LLr0zyGN7zjj4P+J/pv+K3bNZVJOrUG6sD1Ych2oG2Y/WGcDJlzF"
    "2ZKS9zW3QDKgvb0x33+OPqXfjNPgAAAAZFeGlmAABNTQAqAAAACAACAQ4AAgAAAA4AAAAmARIAAwAAAAEABgAAAAAAAHRha"
    "2VuIGF0IGhvbWUA"
)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_webp_and_avif_have_transparency_and_profiles(kind: str) -> None:
    best: dict[str, Any] = {"lossless": True} if kind == "WEBP" else BEST_AVIF
    assert_shows(save(Image.fromarray(CHART), kind, **best), RGB, 6 / 255)
    rgba = np.concatenate([CHART, quantise(ALPHA, "u1")[..., None]], axis=-1)
    assert_shows(save(Image.fromarray(rgba), kind, **best), OVER_WHITE, 6 / 255)
    power = Image.fromarray(quantise(LIGHT ** (1 / 1.8), "u1"))
    assert_shows(save(power, kind, icc_profile=profile(b"RGB ", 1.8), **best), RGB, 10 / 255)


def test_a_heic_is_read() -> None:
    assert_shows(HEIC, GREY, 8 / 255)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full(kind: bytes, *parts: bytes) -> bytes:
    """A box with version 0 and without flags."""
    return box(kind, bytes(4), *parts)


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def grid(tiles: list[bytes], thumbnail: bytes) -> bytes:
    """A HEIC as telephones make them: tiles of 64 px beside each other, coded like HEIC's picture."""
    record, bodies = HEIC[HEIC.index(b"hvcC") - 4 :], [bytes((0, 0, 0, len(tiles) - 1))]
    bodies = [*tiles, thumbnail, bodies[0] + words(64 * len(tiles), 64)]
    primary, small = len(bodies), len(bodies) - 1
    numbers = range(1, primary + 1)
    kinds = [b"grid" if item == primary else b"hvc1" for item in numbers]
    entries = [box(b"infe", b"\2\0\0\0", words(item, 0), kinds[item - 1], b"\0") for item in numbers]
    sizes = [full(b"ispe", struct.pack(">II", width, 64)) for width in (64, 64 * len(tiles))]
    owned = [words(item) + (b"\1\3" if item == primary else b"\2\x81\2") for item in numbers]
    links = [box(b"dimg", words(primary, len(tiles), *range(1, small)))]
    links.append(box(b"thmb", words(small, 1, primary)))
    start = box(b"ftyp", b"heic", bytes(4), b"mif1heic")

    def build(at: int) -> bytes:
        places = []
        for item, body in zip(numbers, bodies, strict=True):
            places.append(words(item, 0, 1) + struct.pack(">II", at, len(body)))
            at += len(body)
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", words(primary)),
            full(b"iloc", b"\x44\0", words(primary), *places),
            full(b"iinf", words(primary), *entries),
            full(b"iref", *links),
            box(
                b"iprp",
                box(b"ipco", record[: int.from_bytes(record[:4])], *sizes),
                full(b"ipma", struct.pack(">I", primary), *owned),
            ),
        )

    return start + build(len(start) + len(build(0)) + 8) + box(b"mdat", *bodies)


def test_a_heic_with_wrong_codes_is_damaged_but_not_for_its_thumbnail() -> None:
    # Given coded data, and the same with some wrong bytes in the middle
    good = HEIC[0x1EC : 0x1EC + 0xF1]
    bad = good[:120] + bytes(range(40, 50)) + good[130:]
    damaged = HEIC.replace(good, bad)
    assert damaged != HEIC
    assert "found wrong codes" in refusal(damaged)

    # Then a grid is damaged where one of its tiles is, and whole where it is another picture
    assert read(grid([good, good], thumbnail=bad)).shape == (64, 128, 3)
    assert "found wrong codes" in refusal(grid([good, bad], thumbnail=good))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIC"])
def test_what_is_cut_is_damaged_in_each_format(kind: str) -> None:
    data = HEIC if kind == "HEIC" else save(Image.fromarray(CHART), kind, quality=90)
    end = data.index(b"Exif\0\0MM") if kind == "HEIC" else len(data)
    assert "damaged or incomplete" in refusal(data[: end - 20])
    assert "0x" not in refusal(data[: len(data) // 3])


def test_an_avif_of_high_range_is_converted() -> None:
    coded = quantise(encode_pq(LIGHT @ BT2020.T), "u1")
    data = bytearray(save(Image.fromarray(coded), "AVIF", quality=100, subsampling="4:4:4"))
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">HH", 9, 16)
    assert_shows(bytes(data), RGB, 40 / 255)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"\xff\x0a", "is a JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL"),
        (b"FUJIFILMCCD-RAW 0201", "is a raw camera file; develop it"),
        (b"\0\0\0\x18ftypcrx ", "is a raw camera file; develop it"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a raw camera file; develop it"),
        (b"%PDF-1.7", "is a PDF"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x20\0\x30\1\1\x11\0\xff\xda\0\x08\1\1\0\0\0\0", "is JPEG-LS"),
    ],
)
def test_what_is_not_read_is_named(head: bytes, says: str) -> None:
    assert says in refusal(head.ljust(100, b"\0") if says != "is JPEG-LS" else head)


@pytest.mark.parametrize("data", [JPEG, HEIC, png(CHART), png(quantise(OVER_WHITE, "u2"))])
def test_an_upload_is_measured_as_it_is_decoded(data: bytes) -> None:
    checked = decode.check(data, "content", 100)
    assert (checked.height, checked.width, 3) == read(data).shape


def test_what_is_read_is_what_is_told() -> None:
    assert [kind.mime for kind in KINDS] == list(UPLOADED)


# What leaves the farm ----------------------------------------------------------------------------

SECRET = b"taken at home"


def files_with_secrets() -> dict[str, bytes]:
    image = Image.fromarray(CHART)
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, CHART, photometric="rgb", description=SECRET.decode(), metadata=None)
    return {
        "JPEG": save(image, "JPEG", comment=SECRET, exif=exif),
        "PNG": png(CHART, chunk(b"tEXt", b"Comment\0" + SECRET), chunk(b"eXIf", exif.tobytes()[6:])),
        "WebP": save(image, "WEBP", exif=exif, xmp=SECRET),
        "AVIF": save(image, "AVIF", exif=exif, xmp=SECRET),
        "HEIC": HEIC,
        "TIFF": buffer.getvalue(),
    }


@pytest.mark.parametrize("kind", files_with_secrets())
def test_thumbnails_hold_nothing_but_pixels(kind: str) -> None:
    data = files_with_secrets()[kind]
    assert SECRET in data
    thumbnail = decode.check(data, "content", 100).thumbnail
    assert SECRET not in thumbnail
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "icc_profile"}


@pytest.mark.parametrize("kind", files_with_secrets())
def test_a_clean_file_has_the_same_pixels_and_nothing_else(kind: str) -> None:
    data = files_with_secrets()[kind]
    found = kinds.find_kind(data[: kinds.HEAD])
    assert found
    cleaned = found.clean(data)
    assert SECRET not in cleaned
    assert kinds.find_kind(cleaned[: kinds.HEAD]) == found
    assert np.array_equal(read(cleaned), read(data))


def turned_and_coloured() -> dict[str, bytes]:
    """Files on their side, with a profile; the chart's sides differ, so that a lost turn shows."""
    image = Image.fromarray(CHART)
    both = {"exif": ON_ITS_SIDE, "icc_profile": profile(b"RGB ", 1.8)}
    deep = quantise(RGB, "u2").tobytes()
    tags: dict[str, Any] = {"tag_274": 6, "tag_34675": profile(b"RGB ", 1.8)}
    return {
        "JPEG": save(image, "JPEG", comment=SECRET, **both),
        "JPEG in inks": save(image.convert("CMYK"), "JPEG", **both),
        "PNG": png(CHART, iccp(profile(b"RGB ", 1.8)), chunk(b"eXIf", ON_ITS_SIDE[6:])),
        "WebP": save(image, "WEBP", **both),
        "AVIF": save(image, "AVIF", **both),
        "TIFF": tiff([deep[:4608], deep[4608:]], SIZE, 16, 3, 2, **tags, tag_278=16),
    }


@pytest.mark.parametrize("kind", turned_and_coloured())
def test_a_clean_file_keeps_its_turn_and_its_colours(kind: str) -> None:
    data = turned_and_coloured()[kind]
    found = kinds.find_kind(data[: kinds.HEAD])
    assert found
    picture = read(data)
    assert picture.shape == (48, 32, 3)
    assert np.array_equal(read(found.clean(data)), picture)
