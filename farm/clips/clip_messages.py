"""What a process that handles a clip and its parent tell each other; see `clip_process.py`."""

from __future__ import annotations

import struct

LOOK, READ, WRITE = b"L", b"R", b"W"  # requests
REQUEST = struct.Struct(">cIQ")  # one of these, bytes of the order, of the file
FRAME, NEXT, PUT = b"F", b"N", b"P"  # messages of the process, beside decoder_process's
POSITION = struct.Struct(">Q")  # of what is put into the film's file
