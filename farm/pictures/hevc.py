"""Wrong codes in HEVC (ITU-T H.265), which libde265 mends with no more than a warning.

libheif does not pass warnings on, so what a picture is made of is decoded again, by libde265 alone.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import suppress

import _pi_heif

# Of libde265's warnings: a parameter out of its range; a slice segment ends too early, begins
# elsewhere or has no end where it should; coding tree blocks beyond the picture; another address.
DAMAGE = frozenset((8, 1002, 1003, 1004, 1017, 1020))
STEPS = 10  # beside those for each unit, until there is a picture
LENGTH_SIZE, ARRAYS = 21, 22  # bytes of the configuration record (ISO/IEC 14496-15)


def find_damage(record: bytes, coded: bytes) -> bool:
    """Return whether a coded picture has codes that cannot be; False without libde265.

    Args:
        record: its decoder configuration record, the body of `hvcC`. coded: its NAL units, each behind
            its length.

    Raises:
        struct.error, IndexError: the record is cut.
    """
    if (library := _library) is None:
        return False
    units = [*_iterate_parameters(record), *_iterate_units(coded, (record[LENGTH_SIZE] & 3) + 1)]
    decoder = ctypes.c_void_p(library.de265_new_decoder())
    try:
        for unit in units:
            library.de265_push_NAL(decoder, unit, len(unit), ctypes.c_int64(0), None)
        library.de265_flush_data(decoder)
        more = ctypes.c_int(1)
        for _ in range(2 * len(units) + STEPS):
            error = library.de265_decode(decoder, ctypes.byref(more))  # libheif has passed errors on
            if error or not more.value or library.de265_get_next_picture(decoder):
                break
        return bool(DAMAGE & set(iter(lambda: library.de265_get_warning(decoder), 0)))
    finally:
        library.de265_free_decoder(decoder)


def _iterate_parameters(record: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a decoder configuration record."""
    at = ARRAYS + 1
    for _ in range(record[ARRAYS]):
        (count,) = struct.unpack_from(">H", record, at + 1)
        at += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", record, at)
            yield record[at + 2 : at + 2 + size]
            at += 2 + size


def _iterate_units(coded: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at + length_size <= len(coded):
        size = int.from_bytes(coded[at : at + length_size])
        at += length_size
        yield coded[at : at + size]
        at += size


def _load_library() -> ctypes.CDLL | None:
    """Return libde265 as pi-heif has it; None: linked in another way, and wrong codes pass."""
    library = ctypes.CDLL(_pi_heif.__file__)
    with suppress(AttributeError):
        library.de265_new_decoder.restype = ctypes.c_void_p
        library.de265_get_next_picture.restype = ctypes.c_void_p
        return library
    return None


_library = _load_library()
