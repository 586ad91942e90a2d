"""RGB and RGBA in TIFF of 16 bits, which Pillow reads but cannot write, compressed on all processors.

Adobe, "TIFF 6.0", with Deflate and the horizontal predictor of its section 14.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from farm.pictures import deflate
from farm.pictures.deflate import ReadRows

PREDICTOR = 2  # each sample less the one a pixel to the left


def write_tiff(
    file: BinaryIO,
    width: int,
    height: int,
    read_rows: ReadRows,
    profile: bytes,
    description: str,
    tags: dict[int, str],
    channels: int = 3,
) -> None:
    """Write a whole little-endian TIFF.

    Args:
        file: seekable. read_rows: returns uint16 in sRGB. profile: ICC. tags: texts by
            number, in ASCII. channels: 3, or 4 with alpha.
    """
    import tifffile  # only here: it takes a tenth of a second

    rows = deflate.choose_strip_rows(2 * channels * width)

    def compress(top: int) -> bytes:
        strip = read_rows(top, min(height, top + rows))
        differences = strip.astype("<u2")
        np.subtract(strip[:, 1:], strip[:, :-1], out=differences[:, 1:])
        return deflate.compress_whole(differences)

    with tifffile.TiffWriter(file, byteorder="<") as tiff:
        tiff.write(
            deflate.map_in_order(compress, range(0, height, rows)),
            shape=(height, width, channels),
            dtype="<u2",
            photometric="rgb",
            extrasamples=["unassalpha"] if channels == 4 else None,
            rowsperstrip=rows,
            compression="adobe_deflate",
            predictor=PREDICTOR,
            iccprofile=profile,
            description=description.encode() or None,
            metadata=None,
            software=False,
            extratags=[(number, "s", 0, value, True) for number, value in tags.items()],
        )
