"""Errors and warnings of libtiff, which goes on after them: files that cause them are damaged.

Pillow sets no handler of errors, so one is set here. Warnings, of lines of a fax that have too few or
too many pixels, it switches off whenever it reads, so a fax is decompressed a second time, without it.
"""

from __future__ import annotations

import ctypes
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import _imaging

FAX = b"Fax"  # what the decoders' names begin with
WHOLE = -1  # as many bytes as a strip has

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_Read = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t)
_Seek = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int)
_Close = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_Size = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)

_noted = threading.local()


@contextmanager
def watch_decompression() -> Iterator[None]:
    """Raise errors that libtiff finds in compressed data and goes on after, as with bad codes of a fax.

    Raises:
        ValueError: there was one.
    """
    _noted.decoder = None
    yield
    if _noted.decoder:
        raise ValueError(f"{_noted.decoder} found wrong codes")


def decompress_fax(data: bytes) -> None:
    """Decompress the strips or tiles of a file's first page, so that `watch_decompression` notes lines
    that do not have as many pixels as the picture is wide."""
    if (library := _library) is None:
        return
    file = io.BytesIO(data)

    def read(_handle: int | None, target: int, size: int) -> int:
        found = file.read(size)
        ctypes.memmove(target, found, len(found))
        return len(found)

    calls = (
        _Read(read),
        _Read(lambda *_: -1),  # it writes nothing
        _Seek(lambda _, offset, whence: file.seek(offset, whence)),
        _Close(lambda _: 0),
        _Size(lambda _: len(data)),
    )
    library.TIFFSetWarningHandler(_warning_handler)
    page = ctypes.c_void_p(library.TIFFClientOpen(b"fax", b"rm", None, *calls, None, None))
    if page:
        _decompress_parts(library, page, b"Tile" if library.TIFFIsTiled(page) else b"Strip")
        library.TIFFClose(page)


def _decompress_parts(library: ctypes.CDLL, page: ctypes.c_void_p, part: bytes) -> None:
    name = part.decode()
    target = ctypes.create_string_buffer(library[f"TIFF{name}Size"](page))
    for number in range(library[f"TIFFNumberOf{name}s"](page)):
        library[f"TIFFReadEncoded{name}"](page, number, target, ctypes.c_ssize_t(WHOLE))


def _note_error(module: bytes | None, _text: bytes | None, _arguments: int | None) -> None:
    _noted.decoder = (module or b"a decoder").decode("latin-1")


def _note_warning(module: bytes | None, _text: bytes | None, _arguments: int | None) -> None:
    if (module or b"").startswith(FAX):
        _note_error(module, _text, _arguments)


_error_handler, _warning_handler = _Handler(_note_error), _Handler(_note_warning)


def _load_library() -> ctypes.CDLL | None:
    """Return libtiff as Pillow has it; None: linked in another way, and such files pass."""
    library = ctypes.CDLL(_imaging.__file__)
    with suppress(AttributeError):
        library.TIFFClientOpen.restype = ctypes.c_void_p
        library.TIFFStripSize.restype = library.TIFFTileSize.restype = ctypes.c_ssize_t
        library.TIFFSetErrorHandler(_error_handler)  # which would write to the terminal
        return library
    return None


_library = _load_library()
