"""The exit statuses by which a rendering process, or a whole worker, says why it ended.

After a rendering process its parent starts another; after a worker whoever supervises it, unless it was
drained or has a twin.
"""

from __future__ import annotations

from enum import IntEnum

from farm.fleet.registry import TWIN_STATUS


class ExitStatus(IntEnum):
    """The reason for which a rendering process, or a worker, ends itself."""

    # Of a whole worker: an operator wanted it to end.
    DRAINED = 0
    # Its job made no progress.
    STUCK = 70
    # The memory that it holds may be what another process needs.
    OUT_OF_MEMORY = 71
    # It alone was sent SIGTERM.
    STOPPED = 72
    # Its card does not compute any more.
    DEVICE_FAILED = 73
    # The card that FARM_DEVICE asks for cannot be used; the whole worker ends.
    NO_DEVICE = 74
    # Of a whole worker: another process has its name.
    TWIN = TWIN_STATUS
