"""Which files may hold transparency, by their first bytes: enough to foretell memory.

Nothing is decoded here, so it is safe with the bytes of strangers; whether a pixel is less than opaque
is known when a worker has decoded the picture.
"""

from __future__ import annotations

from farm.pictures.read_png import SIGNATURE

LOOKED = 1 << 16  # bytes in which chunks and boxes before the pixels are sought
PNG_WITH_ALPHA = (4, 6)  # colour types
VP8X_ALPHA, VP8L_ALPHA = 0x10, 0x10  # bits of byte 20 of an extended WebP, of byte 24 of a lossless one


def may_be_transparent(data: bytes) -> bool:
    """Check whether a picture's file may hold transparency; of a TIFF that is not known."""
    head = data[:LOOKED]
    if head.startswith(SIGNATURE):
        before_pixels = head.partition(b"IDAT")[0]
        return head[25:26] in [bytes([kind]) for kind in PNG_WITH_ALPHA] or b"tRNS" in before_pixels
    if head[:4] + head[8:12] == b"RIFFWEBP":
        at, bit = (20, VP8X_ALPHA) if head[12:16] == b"VP8X" else (24, VP8L_ALPHA)
        return head[12:16] != b"VP8 " and bool(head[at] & bit if len(head) > at else 0)
    if head[4:8] == b"ftyp":  # AVIF and HEIC: a picture of their alpha beside that of their colours
        return b"auxid:1" in head or b"auxiliary:alpha" in head
    return head[:2] in (b"II", b"MM")
