"""Deflate on all processors: threads compress a picture's strips, whose streams are joined in order.

RFC 1951: a stream may be flushed to a whole byte, so independent streams may follow one another as one.
RFC 1950: its checksum, Adler-32, is of all bytes, and is combined from those of the parts.

Filtered samples of a photograph or a painting repeat nothing but runs. `Z_RLE` looks for no more, which
takes a fourth of the time of a search for matches, and leaves them smaller.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from farm import cgroups

STRIP_BYTES = 2**18  # of samples: few enough to stay in a processor's cache, enough for a table of codes
MAX_THREADS = 16  # each holds a few strips
HEADER = b"\x78\x01"  # of RFC 1950: a window of 32 KB, compressed fast
MEMORY_LEVEL = 9  # the largest blocks
MODULUS = 65521  # of Adler-32

ReadRows = Callable[[int, int], NDArray[Any]]  # (top, bottom) to (bottom - top, W, C), in any thread

T = TypeVar("T")
Item = TypeVar("Item")


def count_threads() -> int:
    """Return how many processors this process may use, at most `MAX_THREADS`."""
    return min(MAX_THREADS, cgroups.count_cpus())


def choose_strip_rows(row_bytes: int) -> int:
    """Return the rows of a strip, given the bytes of one."""
    return max(1, STRIP_BYTES // row_bytes)


def map_in_order(function: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
    """Yield the function's value of each item, in order, as threads compute them.

    At most two values for each thread are held, however slowly they are taken.
    """
    threads = count_threads()
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "strips") as pool:
        for item in items:
            if len(pending) == 2 * threads:
                yield pending.popleft().result()
            pending.append(pool.submit(function, item))
        while pending:
            yield pending.popleft().result()


def compress_part(data: NDArray[np.uint8]) -> bytes:
    """Compress contiguous bytes to a part of a raw stream, which ends at a whole byte."""
    return _compress(data, -zlib.MAX_WBITS, zlib.Z_SYNC_FLUSH)


def compress_whole(data: NDArray[Any]) -> bytes:
    """Compress a contiguous array to a stream by itself, with header and checksum."""
    return _compress(data, zlib.MAX_WBITS, zlib.Z_FINISH)


def end_stream(checksum: int) -> bytes:
    """Return what ends a stream of parts: an empty last block, and the checksum of all their data."""
    return zlib.compressobj(wbits=-zlib.MAX_WBITS).flush() + checksum.to_bytes(4, "big")


def combine_checksums(first: int, second: int, length: int) -> int:
    """Return the Adler-32 of two pieces one after the other; length: of the second, bytes.

    Its low half is 1 and the sum of all bytes, its high half the sum of all values that the low one had.
    """
    low, other_low = first & 0xFFFF, second & 0xFFFF
    sums = (first >> 16) + (second >> 16) + length * (low - 1)
    return (sums % MODULUS) << 16 | (low + other_low - 1) % MODULUS


def _compress(data: NDArray[Any], window: int, end: int) -> bytes:
    """Compress an array; window: zlib's `wbits`, end: how the stream is flushed."""
    stream = zlib.compressobj(1, zlib.DEFLATED, window, MEMORY_LEVEL, zlib.Z_RLE)
    return stream.compress(data.data) + stream.flush(end)
