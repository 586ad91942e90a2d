"""Which files may hold transparency, by their first bytes."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from farm.pictures.transparency import may_be_transparent


def save(mode: str, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (20, 16)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        save("RGBA", "PNG"),
        save("LA", "PNG"),
        save("P", "PNG", transparency=0),
        save("RGBA", "WEBP"),
        save("RGBA", "WEBP", lossless=True),
        save("RGBA", "AVIF"),
        save("RGB", "TIFF"),  # it may, as far as one knows
    ],
)
def test_what_may_have_transparency(data: bytes) -> None:
    assert may_be_transparent(data)


@pytest.mark.parametrize(
    "data",
    [
        save("RGB", "PNG"),
        save("P", "PNG"),
        save("RGB", "JPEG"),
        save("RGB", "WEBP"),
        save("RGB", "WEBP", lossless=True),
        save("RGB", "AVIF"),
        b"",
        b"RIFF\0\0\0\0WEBPVP8L",
    ],
)
def test_what_has_none(data: bytes) -> None:
    assert not may_be_transparent(data)
