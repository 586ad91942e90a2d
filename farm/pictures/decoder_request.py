"""Requests to a process that decodes pictures: a file, and the limits that it has for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from farm.pictures.decode import SHORTEST_SIDE, Channels
from farm.settings import settings

BYTES_PER_PIXEL = 24  # measured: 20 for a WebP with transparency that lies on its side
BYTES_BESIDES = 32_000_000  # whatever the size
COPIES_OF_FILE = 3
CPU_SECONDS = 5.0  # of any picture
CPU_SECONDS_PER_MEGAPIXEL = 0.25  # measured: 0.05
PATIENCE = 2  # times the processor's time: others use the processor, too


@dataclass(frozen=True)
class PictureFile:
    """A file to be checked or decoded."""

    data: bytes
    # Its name in the form, for messages.
    field: str
    # Minimum of its shorter side, px.
    shortest: int = SHORTEST_SIDE
    # What is wanted of its samples.
    channels: Channels = Channels.COLOUR

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the data, in hex; computed once, as files are large."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ProcessLimits:
    """Limits of a process."""

    # Bytes beside those of the process itself.
    memory: int
    # On a processor.
    cpu_seconds: int
    # By the clock, while its parent waits for it.
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Limits(ProcessLimits):
    """The limits of one picture, sufficient for the largest permitted."""

    megapixels: int

    @classmethod
    def from_largest_upload(cls, megapixels: int, megabytes: int) -> Limits:
        """Compute what the largest picture needs, in the format and mode that need most, with a margin.

        Args:
            megabytes: of the largest file.
        """
        pixels = megapixels * 1_000_000 * BYTES_PER_PIXEL
        memory = BYTES_BESIDES + pixels + megabytes * 1_000_000 * COPIES_OF_FILE
        cpu_seconds = round(CPU_SECONDS + megapixels * CPU_SECONDS_PER_MEGAPIXEL)
        return cls(
            megapixels=megapixels,
            memory=memory,
            cpu_seconds=cpu_seconds,
            seconds=float(PATIENCE * cpu_seconds),
        )

    @classmethod
    def from_settings(cls) -> Limits:
        """Compute what the largest picture needs that the settings permit."""
        return cls.from_largest_upload(settings().max_upload_megapixels, settings().max_upload_mb)
