"""Clips told from pictures by their first bytes, where either may be sent.

An animated WebP or PNG is a clip; one that stands still is a picture, as it always was.
"""

from __future__ import annotations

STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"crx ")
# Boxes that an MP4 or MOV begins with; old ones with others than the first.
MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
PNG = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 1000  # of a PNG that are looked at: it may have millions
CHUNK_FRAME = 12  # bytes of a PNG's chunk besides its data: length, name and check sum
STARTS = (b"GIF8", b"PK\x03\x04", b"\x1a\x45\xdf\xa3")  # GIF, ZIP, and what WebM and MKV are
ANIMATED = 2  # flag of a WebP with a VP8X chunk


def is_clip(data: bytes) -> bool:
    """Check whether a file begins as a clip does; whether it is one, `check_clip` finds out."""
    if data.startswith(STARTS):
        return True
    if data[4:8] in MOV_BOXES:
        return data[8:12] not in STILL_BRANDS
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X":
        return len(data) > 20 and bool(data[20] & ANIMATED)
    return data.startswith(PNG) and _is_animated(data)


def _is_animated(data: bytes) -> bool:
    """Check whether a PNG says before its pixels, and in its first chunks, that there are several
    pictures."""
    place = len(PNG)
    for _ in range(MOST_CHUNKS):
        name = data[place + 4 : place + 8]
        if name in (b"acTL", b"IDAT", b""):
            return name == b"acTL"
        place += CHUNK_FRAME + int.from_bytes(data[place : place + 4], "big")
    return False
