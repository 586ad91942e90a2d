"""The pictures and the clip that come with the farm, for a first try. Asked for by name, not by path."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

import farm
from farm.clips.look import check_clip
from farm.pictures import decode

FOLDER = Path(farm.__file__).resolve().parent.parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A photograph or a clip to paint, or a painting to learn from."""

    # As in addresses and of its file.
    name: str
    # As people read it.
    title: str
    # Of its file.
    suffix: str = ".jpg"

    @property
    def is_clip(self) -> bool:
        """True of what becomes a film."""
        return self.suffix == ".mp4"

    @property
    def path(self) -> Path:
        """Path of its file."""
        return FOLDER / f"{self.name}{self.suffix}"

    @property
    def sha256(self) -> str:
        """Digest of its file."""
        return _hash_file(self.path, self.path.stat().st_mtime_ns)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height, px; None: it is a clip, of which nobody knows before it is looked at."""
        return None if self.is_clip else _read_size(self.path)

    def read_thumbnail(self) -> bytes:
        """Return it small, JPEG."""
        return _read_thumbnail(self, self.path.stat().st_mtime_ns)


@cache
def _hash_file(path: Path, _changed_at: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _read_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@cache
def _read_thumbnail(sample: Sample, _changed_at: int) -> bytes:
    data = sample.path.read_bytes()
    if sample.is_clip:
        return check_clip(data, "sample")[1]
    return decode.check(data, "sample", megapixels=100).thumbnail


CONTENTS = (
    Sample("mountain_lake", "Mountain lake"),
    Sample("street", "Street"),
    Sample("flight", "Flight", ".mp4"),
)
STYLES = (
    Sample("brushwork", "Brushwork"),
    Sample("ink_wash", "Ink wash"),
    Sample("mosaic", "Mosaic"),
)


def list_offered(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Return those that are there: a package without them still works. A clip is offered where clips can
    be read."""
    reads_clips = importlib.util.find_spec("av") is not None
    return tuple(
        sample for sample in samples if sample.path.is_file() and (reads_clips or not sample.is_clip)
    )


def find(name: str) -> Sample | None:
    """Return the sample of this name if it is offered, else None."""
    return next((sample for sample in list_offered(CONTENTS + STYLES) if sample.name == name), None)
