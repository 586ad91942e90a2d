"""The exit statuses by which a rendering process says why it ended; its parent starts another."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """The reason for which a rendering process ends itself."""

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
