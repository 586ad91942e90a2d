"""Maps, such as masks, and the transparency of photographs: from files to levels of grey."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from farm.errors import InvalidInput
from farm.pictures.decode import Channels, check_map, decode_map_to_size, decode_to_size
from farm.pictures.decoder_child import Child
from farm.pictures.decoder_request import Limits, PictureFile
from farm.pictures.encode import encode_picture, encode_preview, read_result, write_eight_bit
from farm.pictures.jpeg import SRGB
from farm.pictures.png import write_png
from farm.recipe.formats import Format
from farm.recipe.picture_sizes import Size

LEVELS = np.array([[0, 51, 102, 255]], np.uint8).repeat(4, axis=0)  # (4, 4)


def keep(size: Size) -> Size:
    return size


def save(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "PNG")
    return buffer.getvalue()


def read(data: bytes, compute: Callable[[Size], Size] = keep) -> np.ndarray:
    return decode_map_to_size(data, "mask", 10, compute)


def png_of(samples: np.ndarray) -> bytes:
    """A PNG of 16 bits."""
    buffer = io.BytesIO()
    height, width, channels = samples.shape
    write_png(buffer, width, height, 16, lambda top, end: samples[top:end], SRGB, {}, channels)
    return buffer.getvalue()


def stack(*channels: int | np.ndarray) -> np.ndarray:
    return np.stack([np.broadcast_to(np.uint8(each), LEVELS.shape) for each in channels], axis=-1)


@pytest.mark.parametrize(
    "data",
    [
        save(LEVELS),
        save(stack(LEVELS, LEVELS, LEVELS)),
        png_of(np.stack([LEVELS.astype(np.uint16) * 257] * 3, axis=-1)),
        save(stack(200, 30, 30, LEVELS)),  # strokes of one colour on nothing
        save(stack(0, 0, 0, LEVELS)),  # black ones, too
        save(stack(LEVELS, LEVELS, LEVELS, 255)),  # an alpha that says nothing
        save(stack(0, LEVELS)),  # grey and alpha
    ],
    ids=["grey", "rgb", "16 bits", "red strokes", "black strokes", "opaque", "grey strokes"],
)
def test_levels_are_the_brightness_or_of_strokes_on_nothing_the_alpha(data: bytes) -> None:
    assert read(data).tolist() == LEVELS.tolist()


def test_several_colours_under_an_alpha_count_by_their_brightness_over_black() -> None:
    white_then_black = np.array([[255, 0, 255, 255]], np.uint8).repeat(4, axis=0)
    found = read(save(stack(white_then_black, white_then_black, white_then_black, LEVELS)))
    assert found.tolist() == [[0, 0, 102, 255]] * 4


def test_a_map_is_averaged_down() -> None:
    board = np.indices((8, 8)).sum(axis=0) % 2 * 255
    assert read(save(board.astype(np.uint8)), lambda _: (4, 4)).tolist() == [[128] * 4] * 4


def test_black_all_over_marks_nothing() -> None:
    for data in (save(stack(0, 0, 0)), save(stack(0, 0, 0, 255)), save(stack(255, 255, 255, 0))):
        with pytest.raises(InvalidInput, match="mask 2: is black all over, so that it marks nothing"):
            check_map(data, "mask 2", 10, shortest=1)
    assert check_map(save(stack(0, 0, 0, LEVELS)), "mask", 10, shortest=1).width == 4


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.end()


@pytest.mark.usefixtures("decoders_as_processes")
def test_a_decoder_of_its_own_gives_the_same_maps_and_transparency(child: Child) -> None:
    limits = Limits.from_largest_upload(10, 2)
    alpha = np.array([[0, 255, 128, 255]], np.uint8).repeat(4, axis=0)
    photograph = save(stack(200, LEVELS, 30, alpha))

    marked = child.decode_map(PictureFile(photograph, "mask", 1, Channels.MAP), limits, keep)
    assert marked.tolist() == read(photograph).tolist()

    # Colours and alpha come apart, with white where nothing shows
    asked = PictureFile(photograph, "content", 1, Channels.COLOUR_AND_ALPHA)
    apart = child.decode(asked, limits, keep)
    assert apart.alpha is not None
    assert apart.alpha.tolist() == alpha.tolist()
    assert apart.pixels[0].tolist() == [[255] * 3, [200, 51, 30], [200, 102, 30], [200, 255, 30]]
    here = decode_to_size(photograph, "content", 10, keep, channels=Channels.COLOUR_AND_ALPHA)
    assert here.alpha is not None
    assert (here.pixels == apart.pixels).all()
    # And a photograph that is opaque has none, whatever its file could hold
    opaque = PictureFile(save(stack(200, LEVELS, 30, 255)), "content", 1, Channels.COLOUR_AND_ALPHA)
    assert child.decode(opaque, limits, keep).alpha is None


def test_16_bits_keep_their_transparency_when_they_are_made_smaller() -> None:
    rgba = np.full((16, 16, 4), 40_000, np.uint16)
    rgba[:, :8, 3] = 0
    rgba[:, 8:, 3] = 65_535
    found = decode_to_size(png_of(rgba), "content", 10, lambda _: (8, 8), 1, Channels.COLOUR_AND_ALPHA)
    assert found.alpha is not None
    assert (found.alpha[:, 0] == 0).all()
    assert (found.alpha[:, 7] == 255).all()
    assert abs(int(found.pixels[0, 7, 0]) - 40_000 / 257) <= 1


@pytest.mark.parametrize("format", ["png", "png16", "webp", "tiff16"])
def test_results_carry_alpha_and_come_back_with_it(format: Format) -> None:
    picture, alpha = np.full((70, 40, 3), 0.25, np.float32), np.zeros((35, 20), np.uint8)
    alpha[20:] = 255
    data = encode_picture(picture, format, alpha=alpha)

    found = decode_to_size(data, "result", 10, keep, channels=Channels.COLOUR_AND_ALPHA)
    assert found.alpha is not None
    assert (found.alpha[:36] == 0).all()
    assert (found.alpha[44:] == 255).all()
    assert abs(found.pixels[50:].astype(int) - 64).max() <= 2
    image, _ = read_result(io.BytesIO(data))
    assert (image.mode, image.getpixel((5, 5))[3], image.getpixel((5, 60))[3]) == ("RGBA", 0, 255)  # type: ignore[index]


def test_jpegs_and_previews_lie_over_white() -> None:
    picture, alpha = np.zeros((70, 40, 3), np.float32), np.zeros((70, 40), np.uint8)
    alpha[32:] = 255
    buffer = io.BytesIO()
    write_eight_bit(
        read_result(io.BytesIO(encode_picture(picture, "png", alpha=alpha)))[0], "jpeg", buffer
    )
    for data in (
        encode_picture(picture, "jpeg", alpha=alpha),
        encode_preview(picture, alpha=alpha),
        buffer.getvalue(),
    ):
        pixels = decode_to_size(data, "result", 10, keep).pixels
        assert pixels[:24].min() > 250
        assert pixels[40:].max() < 5
