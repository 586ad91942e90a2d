"""Clips told from pictures, where either may be sent."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from farm.clips import recognise
from farm.clips.recognise import is_clip

SAMPLES = Path(__file__).parents[2] / "samples"


def encode(kind: str, frames: int) -> bytes:
    file = io.BytesIO()
    first, *others = (Image.new("RGB", (16, 16), (90 * number,) * 3) for number in range(frames))
    first.save(file, kind, save_all=True, append_images=others, duration=100)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_a_clip_and_a_picture_is_none(kind: str) -> None:
    assert is_clip(encode(kind, 3))
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    assert not is_clip(file.getvalue())


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GIF89a", True),
        (b"PK\x03\x04", True),
        (b"\x1a\x45\xdf\xa3", True),
        (b"\x00\x00\x00\x18ftypisom", True),
        (b"\x00\x00\x00\x14ftypqt  ", True),
        (b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", True),
        (b"\x00\x00\x10\x00moov", True),
        (b"\x00\x00\x00\x14pnot", True),
        (b"\x00\x00\x00\x18ftypheic", False),
        (b"\x00\x00\x00\x18ftypcrx ", False),  # a raw photograph
        (b"\x00\x00\x00\x18ftypavif", False),
        (b"\xff\xd8\xff\xe0", False),
        (b"II*\x00", False),
        (b"", False),
    ],
)
def test_files_are_told_by_their_heads(head: bytes, expected: bool) -> None:
    assert is_clip(head + bytes(40)) is expected


def test_a_png_of_very_many_chunks_is_not_searched_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognise, "MOST_CHUNKS", 3)
    text, control = b"\0\0\0\0tEXtcrc.", b"\0\0\0\0acTLcrc."
    assert is_clip(recognise.PNG + 2 * text + control)
    assert not is_clip(recognise.PNG + 3 * text + control)


def test_a_photograph_is_no_clip() -> None:
    assert not is_clip((SAMPLES / "street.jpg").read_bytes())
